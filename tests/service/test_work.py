"""Work whose caller leaves: what it holds is held until it ends, and what has not begun never begins."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from service.admission import Admission, Lease, Memory
from service.decoding.budget import Budget
from service.inference.batching import Batcher
from service.work import Abandoned, Errand

TOTAL = 8000


class Gate:
    """Something that threads work on until it is opened; `began` are the names of those that have begun."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self._begun, self._open = threading.Semaphore(0), threading.Event()

    def work(self, name: str) -> str:
        self.began.append(name)
        self._begun.release()
        assert self._open.wait(10)
        return name

    def works(self, names: Sequence[str]) -> list[str | Exception]:
        return [self.work(name) for name in names]

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.acquire, timeout=10)

    def open(self) -> None:
        self._open.set()


@asynccontextmanager
async def gated() -> AsyncIterator[tuple[Gate, ThreadPoolExecutor]]:
    """A gate, and one thread, which has ended at the end and told the loop so."""
    gate = Gate()
    with ThreadPoolExecutor(1) as thread:
        try:
            yield gate, thread
        finally:
            gate.open()
    await settle()


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def leave(task: asyncio.Task[str]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_price_is_held_until_the_thread_is_done() -> None:
    """(F4, F15) One large image is decoded at a time: one whose caller has left still counts, and the next
    waits for the end of that decode.
    """
    budget = Budget(TOTAL, 1)

    async def decode(name: str) -> str:
        errand = Errand()
        async with budget.hold(TOTAL // 2, errand):
            return await errand.run(threads, lambda: gate.work(name))

    async with gated() as (gate, _):
        with ThreadPoolExecutor(2) as threads:
            leaving = asyncio.create_task(decode("left"))
            await gate.begun()
            await leave(leaving)
            staying = asyncio.create_task(decode("stays"))
            await settle()
            assert gate.began == ["left"]
            gate.open()
            assert await staying == "stays"
    assert gate.began == ["left", "stays"]


async def test_a_place_is_held_until_the_thread_is_done() -> None:
    """(F4) Whoever comes and leaves at once still counts among those whose images are being worked on, and
    so do the bytes that he has sent.
    """
    admission, memory = Admission(10), Memory(1000)

    async def answer() -> str:
        place, lease = admission.enter(10), Lease(memory)
        lease.grow(700)
        try:
            return await Errand(place, lease).run(thread, lambda: gate.work("a"))
        finally:
            place.release()
            lease.release()

    async with gated() as (gate, thread):
        task = asyncio.create_task(answer())
        await gate.begun()
        await leave(task)
        assert (admission.inside, memory.held) == (1, 700)
    assert (admission.inside, memory.held) == (0, 0)


async def test_what_has_not_begun_never_begins() -> None:
    """(F4) Work whose caller leaves while all threads are busy is never done; what it held is free at once,
    its image too, though the executor's queue is not worked off yet.
    """
    admission = Admission(10)

    class Image:
        pass

    async def answer() -> str:
        image = Image()
        images.add(image)
        place = admission.enter(10)
        try:
            return await Errand(place).run(thread, lambda: gate.work(f"never {image}"))
        finally:
            place.release()

    images: weakref.WeakSet[Image] = weakref.WeakSet()
    async with gated() as (gate, thread):
        busy = asyncio.create_task(Errand().run(thread, lambda: gate.work("busy")))
        await gate.begun()
        waiting = asyncio.create_task(answer())
        await settle()
        assert admission.inside == len(images) == 1
        await leave(waiting)
        del waiting
        gc.collect()
        assert admission.inside == len(images) == 0
    assert await busy == "busy"
    assert gate.began == ["busy"]


async def test_a_batch_is_waited_for() -> None:
    """(F6) Whoever leaves amid a call that computes his image holds his place until that call ends; whoever
    leaves before it is free at once.
    """
    admission = Admission(10)

    async def answer(name: str) -> str:
        place = admission.enter(10)
        try:
            return await batcher.submit(name, Errand(place))
        finally:
            place.release()

    async with gated() as (gate, thread):
        batcher: Batcher[str, str] = Batcher(gate.works, thread, max_batch=1, max_queue=10)
        first, second = (asyncio.create_task(answer(name)) for name in ("first", "second"))
        await gate.begun()
        await leave(second)
        assert admission.inside == 1
        await leave(first)
        assert admission.inside == 1
        gate.open()
        await batcher.drain()
        await settle()
        assert admission.inside == 0
    assert gate.began == ["first"]


async def test_what_can_be_stopped_is_stopped() -> None:
    """(D26, F5) A thread that waits for something that can be ended is let go when its caller has left, and
    whatever would come next is not begun.
    """
    errand, ended = Errand(), threading.Event()

    def work() -> str:
        with errand.stopped_by(ended.set):
            gate.work("waits")
            assert ended.wait(10)
        with errand.stopped_by(ended.set):
            gate.work("goes on")
        return ""

    async with gated() as (gate, thread):
        task = asyncio.create_task(errand.run(thread, work))
        await gate.begun()
        gate.open()
        await leave(task)
        # Without another word of the caller's: the time that it is given is over.
        assert await asyncio.to_thread(ended.wait, 10)
        await asyncio.to_thread(thread.shutdown)
    assert gate.began == ["waits"]
    with pytest.raises(Abandoned), errand.stopped_by(ended.set):
        pytest.fail("begun for nobody")
