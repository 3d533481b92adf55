"""What is decided about one model: pure, so that a machine can try every order of events."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.versions.plan import Plan, View, decide
from service.versions.policy import Policy

VERSIONS = st.integers(1, 6)


def view(usable: set[int], loaded: set[int], live: int | None, **policy: object) -> View:
    """Return a view without a version before."""
    return View(frozenset(usable), frozenset(loaded), live, None, Policy.model_validate(policy))


def test_the_newest_is_loaded_first() -> None:
    """(G14) Of many the newest is next; the live one answers until it is there, and then drops out."""
    assert decide(view({1, 2, 3}, {1}, 1), keep_previous=True) == Plan(1, None, frozenset({1}), 3)
    assert decide(view({1, 2, 3}, {1, 3}, 1), keep_previous=True) == Plan(3, None, frozenset({1, 3}), None)
    assert decide(view({1, 2, 3}, {1, 3}, 1), keep_previous=False).keep == {3}


def test_a_pin_that_cannot_be_had_changes_nothing() -> None:
    """(G11) A pinned version that is refused or gone leaves the live one; nothing else goes live."""
    assert decide(view({1, 2}, {2}, 2, pin=7), keep_previous=True) == Plan(2, None, frozenset({2}), None)
    assert decide(view({1, 2}, set(), None, pin=7), keep_previous=True) == Plan(None, None, frozenset(), None)


class Lifecycle(RuleBasedStateMachine):
    """One model: versions come and go, loads succeed or fail, policies change; each step follows the plan."""

    def __init__(self) -> None:
        super().__init__()
        self.disk: set[int] = set()
        self.barred: set[int] = set()
        self.loaded: set[int] = set()
        self.live: int | None = None
        self.previous: int | None = None
        self.canary: int | None = None
        self.policy = Policy()
        self.plan = Plan(None, None, frozenset(), None)

    def follow(self) -> None:
        """Do what the watcher does in a step, but for the load."""
        current = frozenset(self.loaded)
        usable = frozenset(self.disk - self.barred)
        self.plan = decide(View(usable, current, self.live, self.previous, self.policy), keep_previous=True)
        if self.plan.live != self.live:
            self.previous = self.live
        self.live, self.canary = self.plan.live, self.plan.canary
        self.loaded &= self.plan.keep

    @rule(version=VERSIONS)
    def appears(self, version: int) -> None:
        self.disk.add(version)
        self.follow()

    @rule(version=VERSIONS)
    def disappears(self, version: int) -> None:
        self.disk.discard(version)
        self.barred.discard(version)
        self.follow()

    @rule(pin=st.none() | VERSIONS, canary=st.none() | VERSIONS, share=st.sampled_from([0.0, 0.5]))
    def is_wanted(self, pin: int | None, canary: int | None, share: float) -> None:
        labels = {} if canary is None else {"canary": canary}
        self.policy = Policy(pin=pin, labels=labels, canary_share=share if canary else 0.0)
        self.follow()

    @precondition(lambda self: self.plan.load is not None)
    @rule(good=st.booleans())
    def is_loaded(self, good: bool) -> None:
        assert self.plan.load is not None
        (self.loaded if good else self.barred).add(self.plan.load)
        self.follow()

    @precondition(lambda self: self.barred)
    @rule()
    def is_mended(self) -> None:
        self.barred.clear()
        self.follow()

    @invariant()
    def what_answers_is_loaded(self) -> None:
        assert self.live is None or self.live in self.loaded
        assert self.canary is None or self.canary in self.loaded

    @invariant()
    def what_is_loaded_next_can_be(self) -> None:
        assert self.plan.load is None or self.plan.load in self.disk - self.barred - self.loaded

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.loaded) <= 3 + len(self.policy.labels)

    @invariant()
    def what_is_wanted_answers_where_nothing_is_left_to_do(self) -> None:
        if self.plan.load is not None:
            return
        wanted = self.policy.stable
        if wanted is not None and wanted in self.disk - self.barred:
            assert self.live == wanted
        if wanted is None and self.disk - self.barred:
            assert self.live is not None
            assert self.live >= max(self.disk - self.barred)


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
