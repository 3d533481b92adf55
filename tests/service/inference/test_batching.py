"""Batching: many callers, one call; nobody gets another's result, nobody's fate touches another's."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Overloaded
from service.inference.batching import Batcher

Call = Callable[[Sequence[int]], Sequence[int | Exception]]


class Gate:
    """A call that squares and keeps its batches; it waits at the gate while that is shut."""

    def __init__(self, *, shut: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Semaphore(0)
        self._open = threading.Event()
        if not shut:
            self._open.set()

    def open(self) -> None:
        """Let every call end."""
        self._open.set()

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        """Square the items."""
        self.batches.append(list(items))
        self.started.release()
        assert self._open.wait(30)
        return [item * item for item in items]

    async def wait_started(self) -> None:
        """Return when one more call has begun."""
        assert await asyncio.to_thread(self.started.acquire, timeout=30)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def make(
    call: Call, executor: ThreadPoolExecutor, max_batch: int = 4, max_queue: int = 100, concurrency: int = 1
) -> Batcher[int, int]:
    return Batcher(call, executor, max_batch=max_batch, max_queue=max_queue, concurrency=concurrency)


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_gets_its_own(threads: ThreadPoolExecutor) -> None:
    """Every caller gets the result of its own item."""
    batcher = make(Gate(), threads)
    assert await asyncio.gather(*map(batcher.submit, range(50))) == [n * n for n in range(50)]


async def test_idle_starts_at_once(threads: ThreadPoolExecutor) -> None:
    """With an idle engine a lone item is computed without waiting for company."""
    gate = Gate()
    assert await make(gate, threads).submit(3) == 9
    assert gate.batches == [[3]]


async def test_busy_lets_the_batch_grow(threads: ThreadPoolExecutor) -> None:
    """What arrives during a call is computed in batches as large as allowed, in the order of arrival."""
    gate = Gate(shut=True)
    batcher = make(gate, threads, max_batch=4)
    first = asyncio.create_task(batcher.submit(0))
    await gate.wait_started()
    rest = [asyncio.create_task(batcher.submit(n)) for n in range(1, 7)]
    await turn()
    assert len(batcher) == 6
    gate.open()
    assert [await task for task in (first, *rest)] == [n * n for n in range(7)]
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert len(batcher) == 0


async def test_concurrent_calls_are_bounded(threads: ThreadPoolExecutor) -> None:
    """As many calls as allowed run side by side, and no more."""
    gate = Gate(shut=True)
    batcher = make(gate, threads, max_batch=1, concurrency=2)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(5)]
    await gate.wait_started()
    await gate.wait_started()
    await turn()
    assert len(gate.batches) == 2
    assert len(batcher) == 3
    gate.open()
    assert await asyncio.gather(*tasks) == [0, 1, 4, 9, 16]


async def test_raised_exception_goes_to_the_whole_batch(threads: ThreadPoolExecutor) -> None:
    """A call that raises fails each of its callers; the next batch is computed as if nothing had been."""

    def call(items: Sequence[int]) -> list[int | Exception]:
        if 1 in items:
            raise RuntimeError("broken")
        return list(items)

    batcher = make(call, threads, max_batch=2)
    results = await asyncio.gather(*map(batcher.submit, range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [int, RuntimeError, RuntimeError, int, int]


async def test_returned_exception_goes_to_its_own_caller(threads: ThreadPoolExecutor) -> None:
    """An exception as a result is raised for that item's caller alone."""

    def call(items: Sequence[int]) -> list[int | Exception]:
        return [ValueError(item) if item == 2 else item for item in items]

    batcher = make(call, threads)
    results = await asyncio.gather(*map(batcher.submit, range(4)), return_exceptions=True)
    assert [repr(result) for result in results] == ["0", "1", "ValueError(2)", "3"]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_wrong_number_of_results_is_an_error(threads: ThreadPoolExecutor, count: int) -> None:
    """A call that gives fewer or more results than items answers nobody with one: it fails them all."""
    gate = Gate(shut=True)

    def call(items: Sequence[int]) -> list[int | Exception]:
        gate(items)
        return [7] * count if len(items) == 2 else [7]

    batcher = make(call, threads)
    first = asyncio.create_task(batcher.submit(0))
    await gate.wait_started()
    pair = [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await turn()
    gate.open()
    assert await first == 7
    results = await asyncio.gather(*pair, return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError]
    assert await batcher.submit(5) == 7


async def test_dead_executor_is_an_error_not_a_hang() -> None:
    """Where the threads are gone, callers get an exception instead of waiting forever."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(make(Gate(), executor).submit(1), 30)


async def test_cancelled_callers_are_never_computed(threads: ThreadPoolExecutor) -> None:
    """A caller who leaves while waiting is passed over; its neighbours are answered."""
    gate = Gate(shut=True)
    batcher = make(gate, threads)
    first = asyncio.create_task(batcher.submit(0))
    await gate.wait_started()
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(1, 6)]
    await turn()
    for leaver in (tasks[0], tasks[3]):
        leaver.cancel()
    await turn()
    gate.open()
    results = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [0, 4, 9, 25]
    assert gate.batches == [[0], [2, 3, 5]]


async def test_leaving_during_the_call_touches_nobody_else(threads: ThreadPoolExecutor) -> None:
    """A caller who leaves while its batch is computed does not disturb the others of the batch."""
    loop = asyncio.get_running_loop()

    def call(items: Sequence[int]) -> list[int | Exception]:
        if len(items) == 3:
            loop.call_soon_threadsafe(tasks[1].cancel)
        return [item * item for item in items]

    batcher = make(call, threads)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(4)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[1].cancelled()
    assert [results[0], *results[2:]] == [0, 4, 9]


async def test_batch_of_leavers_does_not_stop_the_engine(threads: ThreadPoolExecutor) -> None:
    """Where all who waited have left, no empty call is made and the next caller is answered."""
    gate = Gate(shut=True)
    batcher = make(gate, threads)
    first = asyncio.create_task(batcher.submit(0))
    await gate.wait_started()
    leavers = [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await turn()
    for leaver in leavers:
        leaver.cancel()
    gate.open()
    await first
    await asyncio.wait(leavers)
    assert await batcher.submit(3) == 9
    assert gate.batches == [[0], [3]]


async def test_full_queue_says_so_at_once(threads: ThreadPoolExecutor) -> None:
    """One more than the queue holds is refused with a time to retry; those who wait are answered."""
    gate = Gate(shut=True)
    batcher = make(gate, threads, max_queue=2)
    tasks = [asyncio.create_task(batcher.submit(0))]
    await gate.wait_started()
    tasks += [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await turn()
    with pytest.raises(Overloaded) as caught:
        await batcher.submit(3)
    assert caught.value.retry_after >= 1
    gate.open()
    assert await asyncio.gather(*tasks) == [0, 1, 4]
    assert await batcher.submit(4) == 16


async def test_those_who_left_make_room(threads: ThreadPoolExecutor) -> None:
    """A queue full of callers who have left takes new ones."""
    gate = Gate(shut=True)
    batcher = make(gate, threads, max_queue=2)
    first = asyncio.create_task(batcher.submit(0))
    await gate.wait_started()
    leavers = [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await turn()
    for leaver in leavers:
        leaver.cancel()
    await turn()
    late = asyncio.create_task(batcher.submit(5))
    await turn()
    gate.open()
    assert [await first, await late] == [0, 25]
    assert gate.batches == [[0], [5]]


async def test_drain_waits_for_all_that_was_taken_on(threads: ThreadPoolExecutor) -> None:
    """Draining ends when the calls under way and everything in the queue are answered, not before."""
    gate = Gate(shut=True)
    batcher = make(gate, threads, max_batch=2)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(6)]
    await gate.wait_started()
    draining = asyncio.create_task(batcher.drain())
    await turn()
    assert not draining.done()
    gate.open()
    await draining
    await turn()
    assert [task.result() for task in tasks] == [0, 1, 4, 9, 16, 25]
    assert len(batcher) == 0


async def test_drain_of_an_idle_batcher_ends_at_once(threads: ThreadPoolExecutor) -> None:
    """There is nothing to wait for where nothing was taken on."""
    await make(Gate(), threads).drain()


@settings(max_examples=60, deadline=None)
@given(
    plans=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("kkkkkcr")), min_size=1, max_size=80),
    max_batch=st.integers(1, 7),
    concurrency=st.integers(1, 3),
)
async def test_results_never_swap(plans: list[tuple[int, str]], max_batch: int, concurrency: int) -> None:
    """Among callers who stay, leave or fail, at any time, each gets what belongs to its own item."""

    def call(items: Sequence[int]) -> list[int | Exception]:
        assert len(items) <= max_batch
        return [KeyError(item) if plans[item][1] == "r" else ~item for item in items]

    async def one(number: int) -> str:
        pause, plan = plans[number]
        for _ in range(pause):
            await asyncio.sleep(0)
        task = asyncio.create_task(batcher.submit(number))
        if plan == "c":
            await asyncio.sleep(0)
            task.cancel()
        try:
            return str(await task)
        except KeyError as error:
            return f"refused {error}"
        except asyncio.CancelledError:
            return "left"

    with ThreadPoolExecutor(concurrency) as executor:
        batcher = make(call, executor, max_batch, 1000, concurrency)
        results = await asyncio.gather(*map(one, range(len(plans))))
        await batcher.drain()
    allowed = {"k": {"{}"}, "r": {"refused"}, "c": {"left", "{}"}}
    for number, (result, (_, plan)) in enumerate(zip(results, plans, strict=True)):
        expected = {"{}": str(~number), "refused": f"refused {number}", "left": "left"}
        assert result in {expected[outcome] for outcome in allowed[plan]}


async def test_thousands_never_swap(threads: ThreadPoolExecutor) -> None:
    """Five thousand items through small batches on several threads come back to their own callers."""
    batcher = make(Gate(), threads, max_batch=7, max_queue=5000, concurrency=3)
    assert await asyncio.gather(*map(batcher.submit, range(5000))) == [n * n for n in range(5000)]


async def test_inline_computes_what_is_alone_on_the_loop() -> None:
    """With inline, an item that is alone is computed without a thread, and its failure is its own."""
    threads: list[int] = []

    def call(items: Sequence[int]) -> list[int]:
        threads.append(threading.get_ident())
        return [1 // item for item in items]

    with ThreadPoolExecutor(1) as executor:
        batcher: Batcher[int, int] = Batcher(call, executor, max_batch=8, max_queue=8, inline=True)
        assert await batcher.submit(1) == 1
        with pytest.raises(ZeroDivisionError):
            await batcher.submit(0)
        assert await batcher.submit(1) == 1
    assert threads == [threading.get_ident()] * 3
    assert batcher.calls == 0


async def test_inline_batches_what_comes_together() -> None:
    """With inline, what comes in one turn of the loop goes into threads, half of it in each call."""
    batches: list[tuple[int, bool]] = []
    here = threading.get_ident()

    def call(items: Sequence[int]) -> list[int]:
        batches.append((len(items), threading.get_ident() == here))
        return list(items)

    with ThreadPoolExecutor(1) as executor:
        batcher: Batcher[int, int] = Batcher(call, executor, max_batch=8, max_queue=8, inline=True)
        assert await asyncio.gather(*(batcher.submit(number) for number in range(5))) == list(range(5))
    assert batches == [(3, False), (2, False)]


async def test_spare_items_wait_for_a_rest(threads: ThreadPoolExecutor) -> None:
    """What is spare is computed a few at a time, one call at a time, behind all that waits; nobody who has
    left is.
    """
    gate = Gate(shut=True)
    batcher = make(gate, threads, max_batch=8, concurrency=2)
    spare = [asyncio.create_task(batcher.submit_spare(n)) for n in range(10, 20)]
    await gate.wait_started()
    await turn()
    # The second call is kept for others.
    assert gate.batches == [[10, 11, 12, 13]]
    spare[5].cancel()
    first = asyncio.create_task(batcher.submit(1))
    await gate.wait_started()
    waiting = [asyncio.create_task(batcher.submit(n)) for n in (2, 3)]
    await turn()
    assert gate.batches == [[10, 11, 12, 13], [1]]
    gate.open()
    assert await asyncio.gather(first, *waiting) == [1, 4, 9]
    assert await asyncio.gather(*spare[:5], *spare[6:]) == [n * n for n in range(10, 20) if n != 15]
    assert gate.batches == [[10, 11, 12, 13], [1], [2, 3], [14, 16, 17, 18], [19]]
    await batcher.drain()
    assert len(batcher) == batcher.calls == 0
