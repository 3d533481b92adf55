"""The batcher under any order of events: submit, leave, a call that ends, raises, or fails an item."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from service.errors import Overloaded
from service.inference.batching import Batcher

R = TypeVar("R")


class Broken(Exception):
    """What a call raises for all, or gives for one of its items."""


class Held(Executor):
    """An executor whose calls begin at once and end when the test says so."""

    def __init__(self) -> None:
        self.running: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Keep the call."""
        future: Future[R] = Future()
        self.running.append((future, lambda: fn(*args, **kwargs)))
        return future

    def end(self, index: int) -> None:
        """Make a kept call and hand its result, or what it raises, on."""
        future, call = self.running.pop(index)
        try:
            future.set_result(call())
        except Broken as error:
            future.set_exception(error)


@dataclass
class Caller:
    """One item and the task that waits for it."""

    number: int
    task: "asyncio.Task[int]"
    spare: bool = False
    left: bool = False
    never: bool = False
    """Whether it left before its call began."""
    computed: int = 0
    fate: type[Exception] | None = None
    ends: int = 0


class BatcherMachine(RuleBasedStateMachine):
    """Drives one batcher, turn by turn of an event loop of its own.

    Whatever happens in whatever order: each item that was taken on ends exactly once, with the square of its
    own number or the error that was meant for it; never more calls at a time than allowed, nor items in one;
    a caller who left before the call began is never computed.
    """

    callers = Bundle("callers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.held = Held()
        self.all: list[Caller] = []
        self.bad_items: set[int] = set()
        self.bad_call = False
        self.here = threading.get_ident()

    @initialize(
        max_batch=st.integers(1, 4),
        max_queue=st.integers(1, 6),
        concurrency=st.integers(1, 3),
        inline=st.booleans(),
    )
    def make(self, max_batch: int, max_queue: int, concurrency: int, inline: bool) -> None:
        self.max_batch, self.max_queue, self.concurrency = max_batch, max_queue, concurrency
        self.batcher: Batcher[int, int] = Batcher(
            self.call,
            self.held,
            max_batch=max_batch,
            max_queue=max_queue,
            concurrency=concurrency,
            inline=inline,
        )

    def call(self, numbers: Sequence[int]) -> list[int | Exception]:
        """Square the numbers, or fail as the test has it."""
        assert 1 <= len(numbers) <= self.max_batch
        for number in numbers:
            self.all[number].computed += 1
        if self.bad_call:
            for number in numbers:
                self.all[number].fate = Broken
            raise Broken
        for number in self.bad_items & set(numbers):
            self.all[number].fate = Broken
        return [Broken() if number in self.bad_items else number * number for number in numbers]

    def turn(self) -> None:
        """Let every task that can run do so."""
        for _ in range(8):
            self.loop.run_until_complete(asyncio.sleep(0))

    @rule(target=callers, count=st.integers(1, 5), bad=st.booleans(), spare=st.booleans())
    def submit(self, count: int, bad: bool, spare: bool) -> Any:
        """Have some callers come in the same turn; one of them, perhaps, with an item that fails."""
        submit = self.batcher.submit_spare if spare else self.batcher.submit
        found: list[Caller] = []
        for _ in range(count):
            number = len(self.all)
            if bad and not found:
                self.bad_items.add(number)
            caller = Caller(number, self.loop.create_task(submit(number)), spare)
            caller.task.add_done_callback(partial(self.note, caller))
            self.all.append(caller)
            found.append(caller)
        self.turn()
        return multiple(*found)

    @staticmethod
    def note(caller: Caller, task: "asyncio.Task[int]") -> None:
        """Count an end."""
        caller.ends += 1

    @rule(caller=consumes(callers))
    def leave(self, caller: Caller) -> None:
        """Have a caller go away; whoever was not being computed then never is."""
        if caller.task.done():
            return
        waiting = not any(caller.number in self.numbers(call) for _, call in self.held.running)
        caller.task.cancel()
        caller.left = True
        self.turn()
        if waiting:
            caller.never = True
            self.bad_items.discard(caller.number)

    @precondition(lambda self: self.held.running)
    @rule(data=st.data(), raises=st.booleans())
    def end_call(self, data: st.DataObject, raises: bool) -> None:
        """End one of the calls under way, with its results or with an exception."""
        self.bad_call = raises
        self.held.end(data.draw(st.integers(0, len(self.held.running) - 1)))
        self.bad_call = False
        self.turn()

    @staticmethod
    def numbers(call: Callable[[], Any]) -> Sequence[int]:
        """Return the items that a kept call was made for."""
        cells = dict(zip(call.__code__.co_freevars, call.__closure__ or (), strict=True))
        numbers: Sequence[int] = cells["args"].cell_contents[0]
        return numbers

    @invariant()
    def calls_are_bounded(self) -> None:
        if not hasattr(self, "batcher"):
            return
        assert len(self.held.running) <= self.concurrency
        assert self.batcher.calls == len(self.held.running)

    @invariant()
    def queue_is_bounded(self) -> None:
        if hasattr(self, "batcher"):
            assert len(self.batcher) <= self.max_queue

    @invariant()
    def nothing_waits_beside_an_idle_call(self) -> None:
        """Work-conserving: callers wait only where every call is under way, what is spare where any is."""
        kept = {number for _, call in self.held.running for number in self.numbers(call)}
        waiting = [
            caller
            for caller in self.all
            if not caller.task.done() and not caller.computed and caller.number not in kept
        ]
        if any(not caller.spare for caller in waiting):
            assert len(self.held.running) == self.concurrency
        if waiting:
            assert self.held.running

    @invariant()
    def what_is_spare_goes_alone(self) -> None:
        """In no call with others, and in one call at a time."""
        calls = [{self.all[number].spare for number in self.numbers(call)} for _, call in self.held.running]
        assert all(len(kinds) == 1 for kinds in calls)
        assert calls.count({True}) <= 1

    @invariant()
    def each_ends_once_and_rightly(self) -> None:
        for caller in self.all:
            assert caller.ends == int(caller.task.done())
            assert caller.computed <= (0 if caller.never else 1)
            if caller.task.done():
                self.check(caller)

    def check(self, caller: Caller) -> None:
        if caller.task.cancelled():
            assert caller.left
            return
        error = caller.task.exception()
        if error is None:
            assert caller.task.result() == caller.number * caller.number
            assert caller.fate is None
        elif isinstance(error, Overloaded):
            assert not caller.computed
        else:
            assert isinstance(error, Broken)
            assert caller.fate is Broken

    def teardown(self) -> None:
        """Let all calls end: every caller must have an end then, and the queue be empty."""
        while self.held.running:
            self.held.end(0)
            self.turn()
        if hasattr(self, "batcher"):
            self.loop.run_until_complete(self.batcher.drain())
            assert len(self.batcher) == 0
            assert self.batcher.calls == 0
            assert all(caller.task.done() for caller in self.all)
            self.each_ends_once_and_rightly()
        self.loop.close()


class TestBatcherMachine(BatcherMachine.TestCase):  # type: ignore[misc, valid-type]
    """In any order of events each item ends once, with its own result, and nobody who left is computed
    (F3, F6, G20, G21).
    """

    # Without shrinking: that takes minutes here, and the test's time-out would hide what was found.
    settings = settings(
        max_examples=60,
        stateful_step_count=25,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow],
    )
