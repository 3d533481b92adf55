"""Admission: a queue bounded in time, memory bounded in bytes, nothing kept by those who have left."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import LONGEST_RETRY_SECONDS, Admission, Lease, Memory, retry_after
from service.errors import Overloaded


def busy(inside: int, seconds_per_image: float, most: int = 100) -> Admission:
    """An admission with so many images inside, each of which takes so long."""
    admission = Admission(most)
    for _ in range(inside):
        admission.enter(1000)
    admission.seconds_per_image = seconds_per_image
    return admission


def test_nobody_waits_longer_than_half_of_the_time_given() -> None:
    """(F1, F3) Ten images of 0.1 s each: who has 2 s or more is let in, who has less is told so at once."""
    admission = busy(10, 0.1)
    admission.enter(2.01)
    with pytest.raises(Overloaded) as caught:
        admission.enter(2.01)
    assert caught.value.retry_after >= 1
    assert admission.inside == 11


def test_a_queue_that_stays_long_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """(F3, F11) A burst may wait for seconds; after two of them nobody is let in for more than one, until the
    queue has been worked off to half of that.
    """
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = busy(20, 0.1)
    admission.enter(10)
    now += 1.9
    admission.enter(10)
    now += 0.2
    with pytest.raises(Overloaded):
        admission.enter(10)
    while admission.inside > 6:
        admission.leave(False)
    admission.enter(10)
    assert admission.standing()
    while admission.inside > 4:
        admission.leave(False)
    for _ in range(20):
        admission.enter(10)
    assert not admission.standing()


def test_an_idle_model_takes_whoever_comes() -> None:
    """However slow the last image was, who finds nobody waiting is taken on."""
    admission = busy(0, 50)
    admission.check(0.001)
    admission.enter(0.001)


def test_the_count_is_a_limit_too() -> None:
    """Not more than `most` are inside, however fast they are."""
    admission = busy(3, 0.0, most=3)
    with pytest.raises(Overloaded):
        admission.enter(1000)
    admission.leave(False)
    admission.enter(1000)


def test_a_requests_images_get_all_places_or_none() -> None:
    """Requests never hold the last places against each other: the one that does not fit holds none."""
    admission = Admission(3)
    with admission.room(2, 5) as room:
        with pytest.raises(Overloaded), admission.room(2, 5):
            pass
        assert admission.inside == 2
        place = room.enter()
        admission.enter(5).release()
        place.release()
        assert admission.inside == 1
        with admission.room(2, 5):
            assert admission.inside == 3
    assert admission.inside == 0


def test_a_request_is_as_long_as_all_its_images() -> None:
    """On an idle model it is taken on however long it is; behind others, where all of it may be in time."""
    admission = Admission(100)
    admission.seconds_per_image = 0.25
    with admission.room(16, 5):
        pass
    waiting = admission.enter(5)
    with admission.room(10, 5):
        assert admission.inside == 11
    with pytest.raises(Overloaded), admission.room(11, 5):
        pass
    waiting.release()
    assert admission.inside == 0


def test_time_per_image_is_what_one_more_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that end together count as one interval between them all; those who left count as none."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = busy(4, 0.0)
    now += 0.5
    admission.leave(True)
    assert admission.seconds_per_image == 0.0
    now += 0.02
    admission.leave(True)
    assert admission.seconds_per_image == pytest.approx(0.02)
    admission.leave(True)
    assert admission.seconds_per_image == pytest.approx(0.01)
    admission.leave(False)
    assert admission.seconds_per_image == pytest.approx(0.01)


def test_a_burst_that_wakes_a_model_is_taken_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first answer after a rest takes says nothing of the others: nobody is sent away for it."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = Admission(100)
    for first in (1.0, 3.0):
        places = [admission.enter(5.0) for _ in range(32)]
        now += first
        for place in places[:8]:
            place.answered = True
            place.release()
            admission.check(5.0)
            now += 0.01
        for place in places[8:]:
            place.release()
        now += 60
    assert admission.seconds_per_image == pytest.approx(0.01)


def test_a_slower_machine_is_noticed_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """(F8) When images take four times as long of a sudden, the expected wait is right to a tenth within
    10 s, and when they are fast again, sooner.
    """
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = busy(5, 0.02)
    admission._since = now
    for seconds, span in ((0.08, 10.0), (0.02, 3.0)):
        start = now
        while now - start < span:
            now += seconds
            admission.leave(True)
            admission.enter(1000)
        assert admission.seconds_per_image == pytest.approx(seconds, rel=0.1)


@given(st.floats(0, 1e6))
def test_retries_are_spread_and_bounded(seconds: float) -> None:
    """(F14) Whole seconds, from 1 to the longest, never sooner than asked."""
    found = retry_after(seconds)
    assert isinstance(found, int)
    assert min(seconds, LONGEST_RETRY_SECONDS) <= found <= LONGEST_RETRY_SECONDS or found == 1


def test_retries_differ() -> None:
    """(F14) Those who were sent away together do not return together."""
    assert len({retry_after(10) for _ in range(200)}) > 3


@given(st.lists(st.lists(st.integers(0, 60), max_size=5), max_size=6))
def test_memory_is_given_back_whole(requests: list[list[int]]) -> None:
    """Whatever requests ask for, granted or not: never more than there is, and nothing when all have left."""
    memory = Memory(100)
    leases = []
    for sizes in requests:
        lease = Lease(memory)
        leases.append(lease)
        for size in sizes:
            try:
                lease.grow(size)
            except Overloaded:
                break
            assert lease.size >= size
            assert 0 <= memory.held <= 100
    assert memory.held == sum(lease.size for lease in leases)
    for lease in leases:
        lease.release()
        lease.release()
    assert memory.held == 0
