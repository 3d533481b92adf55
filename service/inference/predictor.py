"""One live model: the bytes of an image -> an answer, through decoding, batching, the engine and its task."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.admission import Admission, Place, Room
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.engines.calls import Calls, Computed, run_all
from service.errors import EmptyBody, ImageTooLarge, StriateError
from service.formats import colours, names
from service.images import codec, fitting, headers
from service.images.codec import Photo
from service.inference import tiles
from service.inference.batching import Batcher
from service.manifest import Manifest
from service.options import Options, PictureOptions
from service.priority import HANDS, step_back
from service.schemas import Result
from service.tasks.registry import TASKS
from service.tasks.task import Row, Size
from service.telemetry.metrics import STAGES, Metrics
from service.work import Abandoned, Claim, Errand

T = TypeVar("T")

SMALL_PIXELS = 16_384
"""An image of no more than these and `codec.SMALL_BYTES` is decoded on the event loop, in at most about 0.2
ms: the way to a thread and back takes longer than that under load."""


@dataclass(slots=True)
class _Order(Generic[T]):
    """One image to be answered; with `whole`, drawn on. `finish` makes the answer of its row.

    `pixel_cost` is what making its answer takes, in bytes per pixel.
    """

    errand: Errand
    data: bytes
    options: Any
    whole: bool
    pixel_cost: int
    finish: Callable[[Photo, Row], T]
    head: headers.Head | None = None
    """What the image's header says, once it is read."""


class Predictor:
    """Answers images with one version of one model.

    `hands` are the threads that decode and encode; the engine has threads of its own, one per lane.
    Who has found a predictor holds it (`with predictor:`) until its answers are there, so that `close`,
    when another version has taken its place, waits for those who still read their request's body.
    """

    def __init__(
        self,
        manifest: Manifest,
        engine: Engine,
        settings: Settings,
        hands: Hands,
        metrics: Metrics,
    ) -> None:
        self.manifest = manifest
        self.engine = engine
        self._task = TASKS[manifest.task]
        self._max_pixels = settings.max_pixels
        self._formats = settings.formats_taken
        self._seconds_at_most = settings.deadline_ms / 1000
        self._stuck_seconds = settings.stuck_seconds
        self.admission = Admission(settings.max_queue)
        # Large images wait for one another: how long tells nothing of the wait of small ones.
        self._large = Admission(settings.max_queue)
        self._held = 0
        self._left: asyncio.Event | None = None
        self._hands = hands
        self._metrics = metrics
        # These wait for the engine, whose own threads compute; what they do themselves is the hands' work.
        self._lanes = ThreadPoolExecutor(
            engine.lanes,
            f"engine-{manifest.name}",
            initializer=step_back,
            initargs=(min(HANDS, settings.engine_niceness),),
        )
        # An engine that gains nothing from batches gets whole requests: each goes through its stages in one
        # thread. The way between threads costs more than it seems, on cores whose caches a model has emptied.
        self._one_by_one = engine.max_batch == 1
        self._tiles = manifest.input.resize == "tile"
        # Images are counted by the admission; each may have so many tiles here.
        at_once = engine.max_batch * engine.lanes if self._tiles else 1
        name = manifest.name
        self._seconds = {stage: metrics.stage_seconds.labels(stage, name) for stage in STAGES}
        sizes = metrics.batch_size.labels(name)
        self._compute = Calls(engine, self._has_engine, self._seconds["engine"], sizes).compute
        self._batcher: Batcher[Any, Any] = Batcher(
            run_all if self._one_by_one else self._compute,
            self._lanes,
            max_batch=engine.max_batch,
            max_queue=settings.max_queue * at_once,
            concurrency=engine.lanes,
            inline=engine.inline,
        )
        self._exact = codec.without_pixels(manifest.input.width, manifest.input.height)
        self._images_ok = metrics.images.labels(name, "ok")

    def __enter__(self) -> Self:
        self._held += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._held -= 1
        if self._left is not None and not self._held:
            self._left.set()

    def room(self, count: int) -> AbstractContextManager[Room]:
        """Keep places for that many images of one request. Raises Overloaded where not all of them fit."""
        return self.admission.room(count, self._seconds_at_most)

    async def answer(self, data: bytes, options: Options, *claims: Claim, room: Room | None = None) -> Result:
        """Answer one image, on a place of `room` if there is one. Raises an ImageError or a BatchError.

        `claims` are held until nothing works on its bytes any more, whenever the caller leaves.
        """
        cost = self._task.pixel_cost(options, False)
        order = _Order(Errand(*claims), data, options, self._tiles, cost, partial(self._result, options))
        return await self._admit(order, room)

    async def picture(self, data: bytes, options: PictureOptions, *claims: Claim) -> bytes:
        """Answer one image with a PNG: the mask, or with `overlay` the photo with the answer on it."""
        cost = self._task.pixel_cost(options, True)
        whole = options.overlay or self._tiles
        order = _Order(Errand(*claims), data, options, whole, cost, partial(self._draw, options))
        return await self._admit(order)

    async def _admit(self, order: "_Order[T]", room: Room | None = None) -> T:
        """Take an image on, if there is room, and see it through."""
        try:
            if not order.data:
                raise EmptyBody("The image is empty: it has 0 bytes. Send the whole file.")
            if len(self._formats) < len(names.KINDS) and names.kind_of(order.data) not in self._formats:
                raise headers.refused(names.refusal(order.data, self._formats))
            place = room.enter() if room else self.admission.enter(self._seconds_at_most)
            order.errand.claims.append(place)
            try:
                answer = await self._way()(order, place)
                place.answered = True
            finally:
                place.release()
        except StriateError as error:
            self._metrics.images.labels(self.manifest.name, error.code).inc()
            raise
        self._images_ok.inc()
        return answer

    def _way(self) -> "Callable[[_Order[T], Place], Awaitable[T]]":
        if self._tiles:
            return self._in_tiles
        return self._in_one if self._one_by_one else self._in_steps

    async def _in_one(self, order: "_Order[T]", place: Place) -> T:
        """See an image through in one thread of the engine's."""
        decode, price = self._prices(order, place)
        async with self._hands.budget.hold(price, order.errand, decode=decode):
            answer: T = await self._batcher.submit(
                partial(self._at_once, order, time.perf_counter()), order.errand
            )
        return answer

    def _at_once(self, order: "_Order[T]", queued: float) -> T:
        started = time.perf_counter()
        self._seconds["queue"].observe(started - queued)
        photo, tensor = self._decode(order)
        if order.errand.gone:
            raise Abandoned
        computed = self._compute_one(tensor)
        with self._seconds["encode"].time():
            return order.finish(photo, computed.row)

    def _decode(self, order: "_Order[T]") -> tuple[Photo, NDArray[np.uint8]]:
        spec, pixels = self.manifest.input, self._max_pixels
        with self._seconds["decode"].time():
            return self._hands.decode(order.data, spec, pixels, order.whole, order.errand, order.head)

    async def _in_steps(self, order: "_Order[T]", place: Place) -> T:
        """See an image through, each step where it is done best, its tensor together with others'."""
        if len(order.data) <= codec.SMALL_BYTES and (decoded := self._decode_here(order)):
            return await self._computed(*decoded, order)
        budget = self._hands.budget
        async with budget.hold(self._prices(order, place)[1], order.errand):
            decoded = await order.errand.run(self._hands, partial(self._decode, order))
            if order.whole:
                # Its pixels stay until they are drawn on.
                return await self._computed(*decoded, order)
        return await self._computed(*decoded, order)

    async def _computed(self, photo: Photo, tensor: NDArray[np.uint8], order: "_Order[T]") -> T:
        queued = time.perf_counter()
        computed = await self._batcher.submit(tensor, order.errand)
        self._seconds["queue"].observe(computed.started - queued)
        encode = partial(self._encode, photo, computed.row, order)
        if order.whole:
            return await order.errand.run(self._hands, encode)
        if order.pixel_cost:
            price = photo.width * photo.height * order.pixel_cost
            async with self._hands.budget.hold(price, order.errand, decode=0):
                return await order.errand.run(self._hands, encode)
        # A few labels and numbers: less work than handing it to a thread.
        return encode()

    async def _in_tiles(self, order: "_Order[T]", place: Place) -> T:
        """See an image through tile by tile: its pixels stay until all of them are answered."""
        async with self._hands.budget.hold(self._tiles_price(order, place), order.errand):
            photo, _ = await order.errand.run(self._hands, partial(self._decode, order))
            submit, aside = partial(self._submit, order.errand), partial(order.errand.run, self._hands)
            spec, at_once = self.manifest.input, self.engine.max_batch * self.engine.lanes
            row = await tiles.answered(photo, spec, submit, aside, at_once, self._seconds_at_most)
            return await order.errand.run(self._hands, partial(self._encode, photo, row, order))

    async def _submit(self, errand: Errand, tensor: NDArray[np.uint8]) -> Computed:
        item = partial(self._compute_one, tensor) if self._one_by_one else tensor
        computed: Computed = await self._batcher.submit(item, errand)
        return computed

    def _compute_one(self, tensor: NDArray[np.uint8]) -> Computed:
        (computed,) = self._compute([tensor])
        if isinstance(computed, Exception):
            raise computed
        return computed

    def _encode(self, photo: Photo, row: Row, order: "_Order[T]") -> T:
        with self._seconds["encode"].time():
            return order.finish(photo, row)

    def _decode_here(self, order: "_Order[T]") -> tuple[Photo, NDArray[np.uint8]] | None:
        """Decode on the event loop what takes less work than the way to a thread and back, or return None.

        Where decoding is isolated, that is only what `codec.as_tensor` takes; nowhere is it one of the rarer
        formats, or what may have a profile, for to make a transform of that may take milliseconds.
        """
        started, data, whole = time.perf_counter(), order.data, order.whole
        if not whole and (tensor := codec.as_tensor(data, self.manifest.input)) is not None:
            self._seconds["decode"].observe(time.perf_counter() - started)
            return self._exact, tensor
        if self._hands.isolated:
            return None
        head = order.head = headers.read(data, self._max_pixels)
        large = head.width * head.height > SMALL_PIXELS
        if large or head.format not in names.PLAIN or colours.mentioned(data, head.format):
            # It is decoded elsewhere, and measured there.
            return None
        try:
            return codec.read(data, self.manifest.input, self._max_pixels, whole=whole, head=head)
        finally:
            self._seconds["decode"].observe(time.perf_counter() - started)

    def _prices(self, order: "_Order[T]", place: Place) -> tuple[int, int]:
        """Return the bytes that decoding the image takes, and all that it takes. A large one gets a place in
        the queue of those of its kind.

        Raises the ImageError of what need not be decoded at all.
        """
        head = order.head = order.head or headers.read(order.data, self._max_pixels)
        spec = self.manifest.input
        if order.pixel_cost:
            headers.check_mask(head, self._max_pixels)
        price = decode = head.price(None if order.whole else fitting.least_side(spec), self._max_pixels)
        if self._one_by_one:
            # One after the other: the pixels are gone when the mask is made.
            price = max(price, head.width * head.height * order.pixel_cost)
        if self._hands.budget.is_large(price):
            place.move(self._large, self._seconds_at_most)
        return decode, price

    def _tiles_price(self, order: "_Order[T]", place: Place) -> int:
        """Return the bytes that an image in tiles takes; ImageTooLarge where it cannot be answered so."""
        head = order.head = headers.read(order.data, self._max_pixels)
        answer = order.pixel_cost + 4 * self.manifest.outputs[0].shape[-1]
        per_pixel = answer + self._task.tiled_cost(order.options)
        pixels_at_most = (self._max_pixels, self._task.tiled_pixels(order.options))
        price = tiles.price(head, per_pixel, pixels_at_most, self._hands.budget.total)
        if self._hands.budget.is_large(price):
            place.move(self._large, self._seconds_at_most)
        return price

    def _result(self, options: Options, photo: Photo, row: Row) -> Result:
        return self._task.answer(row, self.manifest, options, Size(photo.width, photo.height))

    def _draw(self, options: PictureOptions, photo: Photo, row: Row) -> bytes:
        assert self._task.draw is not None
        return self._task.draw(photo, row, self.manifest, options)

    @property
    def stuck(self) -> bool:
        """Whether a call of the engine has taken so long that it will not end by itself."""
        return self._batcher.longest_call() > self._stuck_seconds

    def rows(self, encoded: Sequence[bytes]) -> list[Row]:
        """Compute the rows of these images as a request would, here and now: for the golden replay.

        The limits of requests do not hold here: a model must not be refused because a client may post less.
        ImageTooLarge where one image would take more memory than all decodes together may.
        """
        spec = self.manifest.input
        for data in encoded:
            if headers.read(data, 2**28).price(fitting.least_side(spec), 2**28) > self._hands.budget.total:
                raise ImageTooLarge("It takes more memory to decode than decode_budget_bytes allows.")
        tensors = [codec.read(data, spec, 2**28, whole=False)[1] for data in encoded]
        rows = []
        for start in range(0, len(tensors), self.engine.max_batch):
            for computed in self._compute(tensors[start : start + self.engine.max_batch]):
                if isinstance(computed, Exception):
                    raise computed
                rows.append(computed.row)
        return rows

    def _has_engine(self) -> bool:
        """Whether nobody else waits for the engine or computes with it."""
        return self._batcher.calls <= 1 and not len(self._batcher)

    async def close(self) -> None:
        """Finish what was taken on, then stop the engine's threads and let go of its memory."""
        if self._held:
            self._left = asyncio.Event()
            await self._left.wait()
        await self._batcher.drain()
        self._lanes.shutdown()
        # They hold methods of this object, which holds them: memory would wait for the garbage collector.
        self._batcher.release()
        del self._compute
