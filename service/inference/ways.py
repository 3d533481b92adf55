"""The ways of an image from its bytes to its answer: three, of which each model's images go one (`way_of`).

What they have in common are the stages: header, tensor, row, answer. An image's place and what its errand
claims are held until the work on it has ended, whichever way it goes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.admission import Admission, Place
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.engines.calls import Calls, Computed
from service.formats import colours, names
from service.images import codec, fitting, headers
from service.images.codec import Photo
from service.images.headers import Head
from service.inference import tiles
from service.inference.batching import Batcher
from service.inference.statistics import Statistics
from service.manifest import Manifest
from service.tasks.registry import TASKS
from service.tasks.task import Row
from service.telemetry import timing
from service.telemetry.metrics import STAGES, Metrics
from service.work import Abandoned, Errand

T = TypeVar("T")

SMALL_PIXELS = 16_384
"""An image of no more than these and `codec.SMALL_BYTES` is decoded on the event loop, in at most about 0.2
ms: the way to a thread and back takes longer than that under load."""


@dataclass(slots=True)
class Order(Generic[T]):
    """One image to be answered; with `whole`, drawn on. `finish` makes the answer of its row.

    `pixel_cost` is what making its answer takes, in bytes per pixel. `tensor` is given where there are no
    data but pixels that lie in the frame already.
    """

    errand: Errand
    data: bytes
    options: Any
    whole: bool
    pixel_cost: int
    finish: Callable[[Photo, Row], T]
    head: Head | None = None
    """What the image's header says, once it is read."""
    tensor: NDArray[np.uint8] | None = None
    times: timing.Times = field(default_factory=timing.current)


class Stages:
    """What is done with an image of one model; decoding and encoding count their time, once for an image."""

    def __init__(
        self, manifest: Manifest, engine: Engine, settings: Settings, hands: Hands, metrics: Metrics
    ) -> None:
        name = manifest.name
        self.statistics = Statistics(partial(metrics.stage_sums, name))
        self.spec = manifest.input
        self.max_pixels = settings.max_pixels
        self.seconds_at_most = settings.deadline_ms / 1000
        self.hands, self.budget = hands, hands.budget
        # Large images wait for one another: how long tells nothing of the wait of small ones.
        self.large = Admission(settings.max_queue)
        self.seconds = {stage: metrics.stage_seconds.labels(stage, name) for stage in STAGES}
        sizes = metrics.batch_size.labels(name)
        self.calls = Calls(engine, self.seconds["engine"], sizes, self.statistics.called)
        self._least_side = fitting.least_side(manifest.input)

    def read(self, order: Order[T]) -> Head:
        """Read the header, once. Raises the ImageError of what need not be decoded at all."""
        if order.head is None:
            order.head = headers.read(order.data, self.max_pixels)
        return order.head

    def price(self, order: Order[T], head: Head) -> int:
        """Return the bytes that decoding the image takes. ImageTooLarge where its mask would be."""
        if order.pixel_cost:
            headers.check_mask(head, self.max_pixels)
        return head.price(None if order.whole else self._least_side, self.max_pixels)

    def line_up(self, place: Place, price: int) -> None:
        """Have an image of that price wait among those of its kind, where it is a large one."""
        if self.budget.is_large(price):
            place.move(self.large, self.seconds_at_most)

    def decode(self, order: Order[T]) -> tuple[Photo, NDArray[np.uint8]]:
        """Decode, in a thread of the caller's. Raises an ImageError or Abandoned."""
        started, head = time.perf_counter(), order.head
        try:
            return self.hands.decode(order.data, self.spec, self.max_pixels, order.whole, order.errand, head)
        finally:
            self.took("decode", order, started)

    def compute(self, tensor: NDArray[np.uint8]) -> Computed:
        """Compute the row of one tensor, by itself. Raises what it fails with."""
        (computed,) = self.calls.compute([tensor])
        if isinstance(computed, Exception):
            raise computed
        return computed

    def encode(self, order: Order[T], photo: Photo, row: Row) -> T:
        """Make the answer."""
        started = time.perf_counter()
        try:
            return order.finish(photo, row)
        finally:
            self.took("encode", order, started)

    def took(self, stage: str, order: Order[T], started: float, ended: float | None = None) -> None:
        """Count the time since then as that stage's, in the metrics and for the request itself."""
        seconds = (ended or time.perf_counter()) - started
        self.seconds[stage].observe(seconds)
        order.times.add(stage, seconds)


class Way(Protocol):
    """Sees an image through. Raises an ImageError or a BatchError."""

    async def __call__(self, order: Order[T], place: Place) -> T: ...  # noqa: D102


def way_of(manifest: Manifest, engine: Engine, stages: Stages, batcher: Batcher[Any, Any]) -> Way:
    """Return the way of a model's images."""
    if manifest.input.resize == "tile":
        return InTiles(manifest, engine, stages, batcher)
    usual = InOne(stages, batcher) if engine.max_batch == 1 else InSteps(stages, batcher)
    rule = TASKS[manifest.task].tiles
    if rule is None or rule.asked is None:
        return usual
    return AsAsked(usual, InTiles(manifest, engine, stages, batcher), rule.asked)


class AsAsked:
    """In tiles where the request asks for it."""

    def __init__(self, usual: Way, in_tiles: Way, asked: Callable[[Any], int | None]) -> None:
        self._usual, self._in_tiles, self._asked = usual, in_tiles, asked

    async def __call__(self, order: Order[T], place: Place) -> T:
        """See an image through."""
        return await (self._usual if self._asked(order.options) is None else self._in_tiles)(order, place)


class InOne:
    """All stages in one thread of the engine's: for an engine that gains nothing from batches.

    The way between threads costs more than it seems, on cores whose caches a model has emptied.
    """

    def __init__(self, stages: Stages, batcher: Batcher[Any, Any]) -> None:
        self._stages, self._batcher = stages, batcher

    async def __call__(self, order: Order[T], place: Place) -> T:
        """See an image through."""
        stages = self._stages
        head = stages.read(order)
        decode = stages.price(order, head)
        # One after the other: the pixels are gone when the mask is made.
        price = max(decode, head.width * head.height * order.pixel_cost)
        stages.line_up(place, price)
        async with stages.budget.hold(price, order.errand, decode=decode):
            work = partial(self._at_once, order, time.perf_counter())
            answer: T = await self._batcher.submit(work, order.errand)
        return answer

    def _at_once(self, order: Order[T], queued: float) -> T:
        stages = self._stages
        stages.took("queue", order, queued)
        photo, tensor = stages.decode(order)
        if order.errand.gone:
            raise Abandoned
        computed = stages.compute(tensor)
        order.times.add("engine", computed.seconds)
        return stages.encode(order, photo, computed.row)


class InSteps:
    """Each stage where it is done best, the tensor with others': for an engine that gains from batches."""

    def __init__(self, stages: Stages, batcher: Batcher[Any, Any]) -> None:
        self._stages, self._batcher = stages, batcher
        self._exact = codec.without_pixels(stages.spec.width, stages.spec.height)

    async def __call__(self, order: Order[T], place: Place) -> T:
        """See an image through."""
        stages = self._stages
        if len(order.data) <= codec.SMALL_BYTES and (decoded := self._decode_here(order)):
            return await self._computed(*decoded, order)
        price = stages.price(order, stages.read(order))
        stages.line_up(place, price)
        async with stages.budget.hold(price, order.errand):
            decoded = await order.errand.run(stages.hands, partial(stages.decode, order))
            if order.whole:
                # Its pixels stay until they are drawn on.
                return await self._computed(*decoded, order)
        return await self._computed(*decoded, order)

    def _decode_here(self, order: Order[T]) -> tuple[Photo, NDArray[np.uint8]] | None:
        """Decode on the event loop what takes less work than the way to a thread and back, or return None.

        Where decoding is isolated, that is only what `codec.as_tensor` takes; nowhere is it one of the rarer
        formats, or what may have a profile, for to make a transform of that may take milliseconds.
        """
        stages, data, whole = self._stages, order.data, order.whole
        started = time.perf_counter()
        if not whole and (tensor := codec.as_tensor(data, stages.spec)) is not None:
            stages.took("decode", order, started)
            return self._exact, tensor
        if stages.hands.isolated:
            return None
        head = stages.read(order)
        large = head.width * head.height > SMALL_PIXELS
        if large or head.format not in names.PLAIN or colours.mentioned(data, head.format):
            # It is decoded elsewhere, and measured there.
            return None
        try:
            return codec.read(data, stages.spec, stages.max_pixels, whole=whole, head=head)
        finally:
            stages.took("decode", order, started)

    async def _computed(self, photo: Photo, tensor: NDArray[np.uint8], order: Order[T]) -> T:
        stages = self._stages
        queued = time.perf_counter()
        computed = await self._batcher.submit(tensor, order.errand)
        stages.took("queue", order, queued, computed.started)
        order.times.add("engine", computed.seconds)
        if not (order.whole or order.pixel_cost):
            # A few labels and numbers: less work than handing it to a thread.
            return stages.encode(order, photo, computed.row)
        encode = partial(stages.encode, order, photo, computed.row)
        if order.whole:
            return await order.errand.run(stages.hands, encode)
        price = photo.width * photo.height * order.pixel_cost
        async with stages.budget.hold(price, order.errand, decode=0):
            return await order.errand.run(stages.hands, encode)


class InTiles:
    """Tile by tile, at the image's own scale: its pixels stay until all of them are answered."""

    def __init__(
        self, manifest: Manifest, engine: Engine, stages: Stages, batcher: Batcher[Any, Any]
    ) -> None:
        self._stages, self._batcher = stages, batcher
        rule = TASKS[manifest.task].tiles
        assert rule is not None
        self._manifest, self._rule = manifest, rule
        self._at_once = engine.max_batch * engine.lanes
        self._one_by_one = engine.max_batch == 1

    async def __call__(self, order: Order[T], place: Place) -> T:
        """See an image through."""
        stages, errand = self._stages, order.errand
        price = self._price(order)
        stages.line_up(place, price)
        async with stages.budget.hold(price, errand):
            photo, _ = await errand.run(stages.hands, partial(stages.decode, order))
            submit, aside = partial(self._submit, order), partial(errand.run, stages.hands)
            means = tiles.Means(submit, aside, self._at_once, stages.seconds_at_most)
            plan = self._rule.plan((photo.width, photo.height), self._manifest, order.options)
            gathering = self._rule.gather(plan, self._manifest, order.options)
            row = await tiles.answered(photo, stages.spec, plan, gathering, means)
            return await errand.run(stages.hands, partial(stages.encode, order, photo, row))

    def _price(self, order: Order[T]) -> int:
        """Return the bytes that an image in tiles takes; ImageTooLarge where it cannot be answered so."""
        stages = self._stages
        per_pixel = order.pixel_cost + self._rule.cost(self._manifest, order.options)
        pixels_at_most = (stages.max_pixels, self._rule.pixels(order.options))
        return tiles.price(stages.read(order), per_pixel, pixels_at_most, stages.budget.total)

    async def _submit(self, order: Order[T], tensor: NDArray[np.uint8]) -> Computed:
        item = partial(self._stages.compute, tensor) if self._one_by_one else tensor
        computed: Computed = await self._batcher.submit(item, order.errand)
        order.times.add("engine", computed.seconds)
        return computed
