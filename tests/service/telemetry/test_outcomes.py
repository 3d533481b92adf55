"""Every image of a request has one outcome in the metrics, however the request ends."""

import asyncio

from service.errors import EmptyBody
from service.telemetry.metrics import Metrics
from service.telemetry.outcomes import Unsettled


async def answered() -> str:
    """Stand for an image that is answered."""
    return "cat"


async def refused() -> str:
    """Stand for an image that gets an error."""
    raise EmptyBody("nothing")


async def waiting() -> str:
    """Stand for an image that is never answered."""
    return await asyncio.Future()


async def test_what_ends_a_request_is_the_outcome_of_what_had_none() -> None:
    """Of four images one was answered and one refused: the deadline that passes is the others'."""
    metrics = Metrics()
    unsettled = Unsettled(metrics, "pets")
    unsettled.count = 4
    tasks = [
        asyncio.ensure_future(unsettled.settle(make())) for make in (answered, refused, waiting, waiting)
    ]
    await asyncio.gather(*tasks[:2], return_exceptions=True)
    for task in tasks[2:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    unsettled.end("deadline_exceeded")
    labels = {"model": "pets", "outcome": "deadline_exceeded"}
    assert metrics.registry.get_sample_value("striate_images_total", labels) == 2


def test_a_request_without_images_left_counts_nothing() -> None:
    """Where all are settled, or none was read, the end is nobody's outcome."""
    metrics = Metrics()
    Unsettled(metrics, "pets").end("disconnected")
    labels = {"model": "pets", "outcome": "disconnected"}
    assert metrics.registry.get_sample_value("striate_images_total", labels) is None
