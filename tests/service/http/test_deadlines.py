"""Deadlines as they are computed: from what is held of a connection, at any time one likes."""

import math

import pytest

from service.configuration.settings import Settings
from service.http.deadlines import BODY, HEAD, IDLE, RECENT_SECONDS, STOP_SECONDS, Reading, Writing
from service.http.limits import ConnectionLimits

LIMITS = ConnectionLimits.of(
    Settings(
        head_seconds=10,
        body_seconds=60,
        body_grace_seconds=5,
        min_body_bytes_per_second=1000,
        keep_alive_seconds=75,
        write_seconds=30,
    )
)


@pytest.mark.parametrize(
    ("reading", "due"),
    [
        (Reading(IDLE, 100), 175),
        (Reading(HEAD, 100), 110),
        (Reading(HEAD, 100, head_bytes=1), 110),
        (Reading(BODY, 100), 105),
        (Reading(BODY, 100, body_bytes=20_000), 125),
        (Reading(BODY, 100, body_bytes=10**9), 160),
    ],
)
def test_each_stage_has_its_time(reading: Reading, due: float) -> None:
    """A head has its seconds; a body earns its own with what has come, up to a limit."""
    assert reading.due(LIMITS, answering=False) == due


def test_nobody_is_too_slow_who_waits_for_us() -> None:
    """While a request is answered, an idle client has all the time; one that sends the next has not."""
    assert Reading(IDLE, 100).due(LIMITS, answering=True) == math.inf
    assert Reading(HEAD, 100, head_bytes=1).due(LIMITS, answering=True) == 110


@pytest.mark.parametrize(
    ("reading", "due"),
    [
        (Reading(HEAD, 100, head_bytes=1, stops=103), 103 + STOP_SECONDS[HEAD]),
        (Reading(BODY, 100, stops=103), 103 + STOP_SECONDS[BODY]),
        (Reading(BODY, 98, stops=102.9), 103),
        (Reading(IDLE, 100, stops=103), 103 + STOP_SECONDS[IDLE]),
        (Reading(IDLE, 102.9, stops=103), 102.9 + RECENT_SECONDS),
        (Reading(HEAD, 102.9, shaking=True, stops=103), 103 + STOP_SECONDS[HEAD]),
    ],
)
def test_a_stop_waits_for_who_is_about_to_ask(reading: Reading, due: float) -> None:
    """A stop gives a begun request its moment, and one to whoever has come or was answered just now."""
    assert reading.due(LIMITS, answering=False) == pytest.approx(due)


def test_begun_is_any_byte_of_a_request() -> None:
    """A connection that has sent nothing has begun nothing; a handshake is a beginning."""
    assert not Reading().begun
    assert not Reading(IDLE, head_bytes=9).begun
    assert Reading(HEAD, head_bytes=1).begun
    assert Reading(BODY).begun
    assert Reading(shaking=True).begun


def test_a_beginning_forgets_what_was_before() -> None:
    """What a head or a body has brought is counted from nothing, from now."""
    reading = Reading(IDLE, 1, head_bytes=7, body_bytes=9)
    reading.begin(HEAD, 5)
    assert (reading.stage, reading.since, reading.head_bytes) == (HEAD, 5, 0)
    reading.begin(BODY, 6)
    assert (reading.stage, reading.since, reading.body_bytes) == (BODY, 6, 0)


def test_who_takes_nothing_is_cut() -> None:
    """The time runs from the last byte that was taken, and stops when all are."""
    writing = Writing()
    assert writing.due(LIMITS) == math.inf
    writing.pause(1000, 100)
    assert writing.due(LIMITS) == 130
    writing.watch(1000, 110)
    assert writing.due(LIMITS) == 130
    writing.watch(999, 120)
    assert writing.due(LIMITS) == 150
    writing.watch(0, 121)
    assert writing.due(LIMITS) == math.inf
    writing.ends = 123
    assert writing.due(LIMITS) == 123
