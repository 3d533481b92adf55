"""The way of pixels that lie in the model's frame already, as clients of other servers send them."""

import time
from functools import partial
from typing import Any, TypeVar

from service.admission import Place
from service.engines import Engine
from service.engines.calls import Computed
from service.images import codec
from service.inference.batching import Batcher
from service.inference.ways import Order, Stages

T = TypeVar("T")


class Fitted:
    """Nothing is decoded, and all pixels are one tile."""

    def __init__(self, engine: Engine, stages: Stages, batcher: Batcher[Any, Any]) -> None:
        self._stages, self._batcher = stages, batcher
        self._one_by_one = engine.max_batch == 1
        self._photo = codec.without_pixels(stages.spec.width, stages.spec.height)

    async def __call__(self, order: Order[T], place: Place) -> T:
        """See a tensor through."""
        stages, tensor = self._stages, order.tensor
        assert tensor is not None
        queued = time.perf_counter()
        item = partial(stages.compute, tensor) if self._one_by_one else tensor
        computed: Computed = await self._batcher.submit(item, order.errand)
        stages.took("queue", order, queued, computed.started)
        order.times.add("engine", computed.seconds)
        return order.finish(self._photo, computed.row)
