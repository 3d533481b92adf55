"""The budget: never more than there is, large ones in a line of their own, nobody lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.decoding.budget import BIG, Budget
from service.work import Errand

TOTAL = 8000
LARGE = TOTAL // BIG + 1


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_small_ones_pass_large_ones_that_wait() -> None:
    """(F15) While large images fill their share and more of them wait, a small one goes ahead at once."""
    budget = Budget(TOTAL, 1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(budget.hold(LARGE, Errand()))
        waiting = asyncio.create_task(stack.enter_async_context(budget.hold(LARGE, Errand())))
        await turn()
        assert not waiting.done()
        async with asyncio.timeout(1), budget.hold(TOTAL // BIG, Errand()):
            assert not waiting.done()
        waiting.cancel()
        await turn()


async def test_large_ones_pass_small_ones_that_wait() -> None:
    """(F15) Nor do small ones, however many, hold up a large one."""
    budget = Budget(TOTAL, 1)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(budget.hold(TOTAL // BIG, Errand()))
        waiting = asyncio.create_task(stack.enter_async_context(budget.hold(TOTAL // BIG, Errand())))
        await turn()
        assert not waiting.done()
        async with asyncio.timeout(1), budget.hold(LARGE, Errand()):
            pass
        waiting.cancel()
        await turn()


async def test_one_larger_than_all_has_it_to_itself() -> None:
    """An image within the limits is decoded in the end, though it costs more than the budget."""
    async with asyncio.timeout(1), Budget(TOTAL, 2).hold(10 * TOTAL, Errand()):
        pass


async def test_first_come_first_served() -> None:
    """In one line nobody is overtaken, even by one that would fit."""
    budget, order = Budget(TOTAL, 3), []

    async def decode(name: str, price: int) -> None:
        async with budget.hold(price, Errand()):
            order.append(name)
            await turn()

    async with asyncio.TaskGroup() as tasks:
        for name, price in (("a", 4000), ("b", 5000), ("c", 1500)):
            tasks.create_task(decode(name, price))
    assert order == ["a", "b", "c"]


async def test_whoever_leaves_makes_room_for_the_next() -> None:
    """One that is cancelled at the head of the line lets those behind it go on."""
    budget = Budget(TOTAL, 3)
    async with budget.hold(4000, Errand()):
        blocking = asyncio.create_task(budget.hold(5000, Errand()).__aenter__())
        behind = asyncio.create_task(budget.hold(1500, Errand()).__aenter__())
        await turn()
        blocking.cancel()
        async with asyncio.timeout(1):
            await behind


class Ledger:
    """Counts what is held, beside the budget."""

    def __init__(self, budget: Budget, places: int) -> None:
        self.budget, self.places = budget, places
        self.used = self.large = 0

    async def decode(self, price: int, turns: int) -> None:
        """Hold a price for some turns of the loop."""
        async with self.budget.hold(price, Errand()):
            held, is_large = min(price, TOTAL * 3 // 4), price > TOTAL // BIG
            self.used, self.large = self.used + held, self.large + is_large
            try:
                assert self.used <= TOTAL
                assert self.large <= self.places
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                self.used, self.large = self.used - held, self.large - is_large


async def scenario(jobs: list[tuple[int, int, bool]], places: int) -> None:
    """Start all jobs, one a turn; those that leave are cancelled at once or at the end."""
    ledger = Ledger(Budget(TOTAL, places), places)
    tasks = []
    for price, turns, leaves in jobs:
        tasks.append(asyncio.create_task(ledger.decode(price, turns + 99 * leaves)))
        await asyncio.sleep(0)
        if leaves and turns % 2:
            tasks[-1].cancel()
    for task, (_, _, leaves) in zip(tasks, jobs, strict=True):
        if leaves:
            task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [error for error in found if isinstance(error, AssertionError)]
    for price in (TOTAL * 3 // 4, TOTAL // BIG):
        async with asyncio.timeout(1):
            await ledger.decode(price, 0)


@settings(max_examples=100, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(1, 2 * TOTAL), st.integers(0, 3), st.booleans()), max_size=30),
    places=st.integers(1, 3),
)
def test_never_more_than_there_is(jobs: list[tuple[int, int, bool]], places: int) -> None:
    """Whoever comes, stays or leaves at any time: nothing is held twice, and all given back in the end."""
    asyncio.run(scenario(jobs, places))


@pytest.mark.parametrize("total", [2**20, 512 * 2**20])
async def test_cancelled_in_the_moment_of_admission(total: int) -> None:
    """One that is cancelled when its turn has just come gives back what it was given."""
    budget = Budget(total, 1)
    first = budget.hold(total, Errand())
    await first.__aenter__()
    waiting = asyncio.create_task(budget.hold(total, Errand()).__aenter__())
    await turn()
    await first.__aexit__(None, None, None)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), budget.hold(total, Errand()):
        pass


async def test_what_is_large_by_its_mask_waits_for_memory_alone() -> None:
    """(F15) Places keep a hand free for small decodes: where decoding is small, only bytes count."""
    budget = Budget(TOTAL, 1)
    async with asyncio.timeout(1), AsyncExitStack() as stack:
        await stack.enter_async_context(budget.hold(LARGE, Errand()))
        await stack.enter_async_context(budget.hold(3000, Errand(), decode=TOTAL // BIG))
        third = asyncio.create_task(stack.enter_async_context(budget.hold(3000, Errand(), decode=1)))
        await turn()
        assert not third.done()
        third.cancel()
        await turn()
