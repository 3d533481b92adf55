"""What a score depends on: an image's row, and the score of copies with one part covered each.

Lower than answers: a copy is computed only while no answer waits or is computed, a few at a time, so that an
answer that comes in waits for one short call at most. Nothing of the photo is held meanwhile but what the
model sees of it; to be drawn on, it is decoded once more.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.admission import Admission, Place, retry_after
from service.engines import Engine
from service.engines.calls import Computed
from service.errors import Overloaded
from service.images import fitting
from service.images.codec import Photo
from service.images.covering import Covering
from service.inference.batching import SPARE_AT_ONCE, Batcher
from service.inference.ways import Order, Stages
from service.manifest import Manifest
from service.tasks import explanation
from service.tasks.task import Row

T = TypeVar("T")

_BUSY = "Explanations are made one at a time, while nothing else is asked; this model is busy. Try again."


class Covered:
    """The way of an image whose answer is explained. `admission` has those that are being made: one."""

    def __init__(
        self, manifest: Manifest, engine: Engine, stages: Stages, batcher: Batcher[Any, Any]
    ) -> None:
        self._manifest, self._stages, self._batcher = manifest, stages, batcher
        self._lanes, self._one_by_one = engine.lanes, engine.max_batch == 1
        # Of their own: they tell nothing of how long an answer takes.
        self.admission = Admission(1)

    def check(self, answers: Admission) -> None:
        """Raise Overloaded where another one is being made, or answers wait for the engine."""
        if self.admission.inside or answers.inside > self._lanes:
            raise Overloaded(_BUSY, retry_after(1 + answers.expected_wait()))

    async def __call__(self, order: Order[T], place: Place) -> T:
        """See an image through."""
        stages = self._stages
        photo, tensor = await self._decoded(replace(order, whole=False))
        row = await self._row(photo, tensor, order)
        if not order.whole:
            return stages.encode(order, photo, row)
        async with stages.budget.hold(stages.price(order, stages.read(order)), order.errand):
            photo, _ = await order.errand.run(stages.hands, partial(stages.decode, order))
            return await order.errand.run(stages.hands, partial(stages.encode, order, photo, row))

    async def _decoded(self, order: Order[T]) -> tuple[Photo, NDArray[np.uint8]]:
        stages = self._stages
        async with stages.budget.hold(stages.price(order, stages.read(order)), order.errand):
            return await order.errand.run(stages.hands, partial(stages.decode, order))

    async def _row(self, photo: Photo, tensor: NDArray[np.uint8], order: Order[T]) -> Row:
        """Return the row of the image, and in it what covering makes of the score."""
        (computed,) = await self._computed([tensor], order)
        row, spec = computed.row, self._manifest.input
        index = explanation.target(row, self._manifest, order.options)
        covering = Covering(fitting.placed((photo.width, photo.height), spec).place, order.options.grid)
        copies, scores = covering.covered(tensor), list[float]()
        while some := list(islice(copies, SPARE_AT_ONCE)):
            scores += [float(each.row["scores"][index]) for each in await self._computed(some, order)]
        found = np.asarray(scores, np.float32)
        lost = covering.spread(explanation.weights(row["scores"][index], found))
        return row | {explanation.LOST: lost, explanation.LEAST: found.min()}

    async def _computed(self, tensors: Sequence[NDArray[np.uint8]], order: Order[T]) -> list[Computed]:
        found = await asyncio.gather(*(self._submit(each, order) for each in tensors))
        # Those of one call took its time together.
        order.times.add("engine", sum({each.started: each.seconds for each in found}.values()))
        return found

    async def _submit(self, tensor: NDArray[np.uint8], order: Order[T]) -> Computed:
        item = partial(self._stages.compute, tensor) if self._one_by_one else tensor
        computed: Computed = await self._batcher.submit_spare(item, order.errand)
        return computed
