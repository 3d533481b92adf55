"""Memory of outputs for other servers' clients: set aside before a model is asked, until they are sent."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.types import Message

from service.access.rules import Access
from service.configuration.settings import Settings
from service.context import Context
from service.decoding.pool import Hands
from service.dialects import Pixels
from service.engines import Engine, Outputs
from service.errors import Overloaded, PayloadTooLarge
from service.inference.predictor import Predictor
from service.routes.asking import AS_BYTES, AS_TEXT, LARGE, answered, rows_of
from service.routes.attempt import Attempt
from service.telemetry.metrics import Metrics
from service.versions.repository import Repository
from tests.service.manifests import make_input, make_manifest

SIDE = 64
ROW = SIDE * SIDE
"""Numbers of a row."""
HELD = 2**20


def ask() -> Request:
    return Request({"type": "http", "headers": [], "state": {}})


def rows(count: int) -> Pixels:
    return Pixels(np.zeros((count, SIDE, SIDE, 3), np.uint8))


def red(images: NDArray[np.uint8], solo: bool) -> Outputs:
    return {"mask": images[..., :1].astype(np.float32)}


@asynccontextmanager
async def served(run: object = red) -> AsyncIterator[tuple[Context, Predictor]]:
    """A model of masks, and memory for a million bytes."""
    manifest = make_manifest(
        task="segmentation", labels=("no", "yes"), input=make_input(SIDE, SIDE, 3).model_dump()
    )
    settings = Settings(max_held_bytes=HELD, max_body_bytes=HELD // 4)
    metrics = Metrics()
    with Hands(settings) as hands:
        engine = Engine("openvino", "float32", run, 1, 8, "for a test")  # type: ignore[arg-type]
        predictor = Predictor(manifest, engine, settings, hands, metrics)
        yield Context.of(settings, Repository(metrics), metrics, Access(settings)), predictor
        await predictor.close()


async def test_outputs_are_paid_for_until_they_are_sent() -> None:
    """Rows and tensors at their peak, then the body alone, and nothing when the client has it."""
    held: list[int] = []
    async with served() as (context, predictor):

        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            held.append(context.memory.held)
            sent.append(message.get("body", b""))

        for body in (b"x" * LARGE, b"small"):
            sent: list[bytes] = []
            with Attempt(ask(), context, predictor) as attempt:
                assert len(await rows_of(attempt, rows(4), AS_TEXT)) == 4
                assert context.memory.held == 4 * ROW * AS_TEXT
                answer = await answered(ask(), attempt, body, b"text/plain")
            assert context.memory.held == len(body)
            await answer({"type": "http"}, receive, send)
            assert (context.memory.held, b"".join(sent)) == (0, body)
    assert held == [LARGE] * 3 + [len("small")] * 2


async def test_more_than_there_is_is_not_begun() -> None:
    """413 where it is more than all, as text sooner than as bytes; 503 where others have it; then it is
    there again.
    """
    async with served() as (context, predictor):
        for count, cost in ((5, AS_TEXT), (22, AS_BYTES)):
            told = pytest.raises(PayloadTooLarge, match=f"take {count * ROW * cost:,} bytes")
            with told, Attempt(ask(), context, predictor) as attempt:
                await rows_of(attempt, rows(count), cost)
        with Attempt(ask(), context, predictor) as first:
            await rows_of(first, rows(4), AS_TEXT)
            with pytest.raises(Overloaded), Attempt(ask(), context, predictor) as attempt:
                await rows_of(attempt, rows(1), AS_TEXT)
            first.outputs.release()
        assert context.memory.held == 0


async def test_a_request_that_is_not_let_in_counts_as_failed() -> None:
    """In what the version has done, as Triton counts what its queue refuses."""
    async with served() as (context, predictor):
        predictor.admission.seconds_per_image = 1000
        with predictor.room(1), pytest.raises(Overloaded), Attempt(ask(), context, predictor):
            raise AssertionError
        assert (predictor.statistics.failure.count, predictor.statistics.success.count) == (1, 0)


@pytest.mark.parametrize("aside", [False, True])
async def test_who_leaves_holds_it_until_the_work_has_ended(aside: bool) -> None:
    """An engine at work and a thread that writes an answer keep their memory, whoever waits for them."""
    started, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> Outputs:
        started.set()
        assert go_on.wait(10)
        return {"mask": np.zeros((1, SIDE, SIDE, 1), np.float32)}

    async with served(red if aside else slow) as (context, predictor):

        async def answer() -> None:
            with Attempt(ask(), context, predictor) as attempt:
                await rows_of(attempt, rows(1), AS_BYTES)
                await predictor.aside(slow, attempt.outputs)

        task = asyncio.create_task(answer())
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        await asyncio.wait([task])
        assert context.memory.held == ROW * AS_BYTES
        go_on.set()
        while context.memory.held:  # noqa: ASYNC110 - no event tells of it; the test's own time limit bounds it
            await asyncio.sleep(0)
