"""One live model: the bytes of an image -> an answer, through decoding, batching, the engine and its task."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.admission import Admission, Room
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.engines.calls import run_all
from service.errors import EmptyBody, ImageError, ImageTooLarge, StriateError
from service.formats import names
from service.images import codec, fitting, headers, tiling
from service.images.codec import Photo
from service.inference import tiles
from service.inference.batching import Batcher
from service.inference.explaining import Covered
from service.inference.fitted import Fitted
from service.inference.ways import Order, Stages, Way, way_of
from service.manifest import Manifest
from service.options import ExplainOptions, Options, PictureOptions
from service.priority import HANDS, step_back
from service.responses import Explanation
from service.schemas import Detection, Result
from service.tasks import explanation
from service.tasks.registry import TASKS
from service.tasks.task import Row, Size, familiarity
from service.telemetry.metrics import Metrics
from service.work import Claim, Errand

T = TypeVar("T")
Tell = Callable[[Photo, Row, Manifest, ExplainOptions], T]


class Predictor:
    """Answers images with one version of one model.

    `hands` are the threads that decode and encode; the engine has threads of its own, one per lane.
    Who has found a predictor holds it (`with predictor:`) until its answers are there, so that `close`,
    when another version has taken its place, waits for those who still read their request's body.
    """

    def __init__(
        self, manifest: Manifest, engine: Engine, settings: Settings, hands: Hands, metrics: Metrics
    ) -> None:
        self.manifest = manifest
        self.engine = engine
        self._task = TASKS[manifest.task]
        # None where all are taken.
        self._formats = settings.formats_taken if len(settings.formats_taken) < len(names.KINDS) else None
        self._seconds_at_most = settings.deadline_ms / 1000
        self._stuck_seconds = settings.stuck_seconds
        self.admission = Admission(settings.max_queue)
        self._held = 0
        self._left: asyncio.Event | None = None
        self._metrics = metrics
        self._images_ok = metrics.images.labels(manifest.name, "ok")
        # Of a model that does not tell it there is no such metric either.
        self._familiarity = metrics.familiarity.labels(manifest.name) if manifest.familiarity else None
        self._objects = metrics.objects.labels(manifest.name) if manifest.detection else None
        # These wait for the engine, whose own threads compute; what they do themselves is the hands' work.
        self._lanes = ThreadPoolExecutor(
            engine.lanes,
            f"engine-{manifest.name}",
            initializer=step_back,
            initargs=(min(HANDS, settings.engine_niceness),),
        )
        self._stages = Stages(manifest, engine, settings, hands, metrics)
        self.statistics = self._stages.statistics
        self._numbers = sum(math.prod(output.shape) for output in manifest.outputs)
        self._tiles = manifest.input.resize == "tile"
        self._asked = self._task.tiles.asked if self._task.tiles and not self._tiles else None
        # Images are counted by the admission; each may have so many tiles here.
        at_once = engine.max_batch * engine.lanes if self._tiles or self._asked else 1
        self._batcher: Batcher[Any, Any] = Batcher(
            run_all if engine.max_batch == 1 else self._stages.calls.compute,
            self._lanes,
            max_batch=engine.max_batch,
            max_queue=settings.max_queue * at_once,
            concurrency=engine.lanes,
            inline=engine.inline,
        )
        self._stages.calls.alone = self._batcher.is_alone
        self._see_through = way_of(manifest, engine, self._stages, self._batcher)
        self._see_fitted = Fitted(engine, self._stages, self._batcher)
        self._covered = Covered(manifest, engine, self._stages, self._batcher)
        # As a request has them that asks for the outputs themselves.
        self._plain: Options = (self._task.outputs or self._task.face.options)()

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

    def answer(
        self, data: bytes, options: Options, *claims: Claim, room: Room | None = None
    ) -> Coroutine[Any, Any, Result]:
        """Answer one image, on a place of `room` if there is one. Raises an ImageError or a BatchError.

        `claims` are held until nothing works on its bytes any more, whenever the caller leaves.
        """
        cost = self._task.pixel_cost(options, False)
        finish = partial(self._answer, options)
        whole = self._in_tiles(options)
        return self._take_on(Order(Errand(*claims), data, options, whole, cost, finish), room)

    def picture(self, data: bytes, options: PictureOptions, *claims: Claim) -> Coroutine[Any, Any, bytes]:
        """Answer one image with a PNG: the mask, or with `overlay` the photo with the answer on it."""
        cost = self._task.pixel_cost(options, True)
        whole = options.overlay or self._in_tiles(options)
        finish = partial(self._draw, options)
        return self._take_on(Order(Errand(*claims), data, options, whole, cost, finish))

    def row(
        self, image: bytes | NDArray[np.uint8], *claims: Claim, room: Room | None = None
    ) -> Coroutine[Any, Any, Row]:
        """Return the outputs for one image, as `answer` does the answer.

        It is encoded, or uint8 `[height, width, channels]` in the model's frame. Boxes are fractions of it;
        masks are those of the frame, or in tiles of the image.
        """
        if isinstance(image, bytes):
            order = Order(Errand(*claims), image, self._plain, self._tiles, 0, self._row)
        else:
            order = Order(Errand(*claims), b"", self._plain, False, 0, self._own_row, tensor=image)
        return self._take_on(order, room)

    def check_idle(self) -> None:
        """Raise Overloaded where there is no time for an explanation: before an image is read for it."""
        self._covered.check(self.admission)

    def explain(
        self, data: bytes, options: ExplainOptions, *claims: Claim
    ) -> Coroutine[Any, Any, Explanation]:
        """Tell what a label's score depends on, for one image. Raises an ImageError or a BatchError."""
        finish = partial(self._explained, explanation.explain, options)
        return self._cover(Order(Errand(*claims), data, options, False, 0, finish))

    def explanation_picture(
        self, data: bytes, options: ExplainOptions, *claims: Claim
    ) -> Coroutine[Any, Any, bytes]:
        """Lay the same over the photo, as a PNG."""
        finish = partial(self._explained, explanation.draw, options)
        return self._cover(Order(Errand(*claims), data, options, True, 0, finish))

    async def _cover(self, order: Order[T]) -> T:
        self.check_idle()
        with self._covered.admission.room(1, self._seconds_at_most) as room:
            return await self._take_on(order, room, self._covered)

    def numbers(self, image: bytes | NDArray[np.uint8]) -> int:
        """Return how many numbers `row` has for an image, at most; 0 where its header already fails."""
        if not (self._tiles and isinstance(image, bytes)):
            return self._numbers
        spec, most = self.manifest.input, self._stages.max_pixels
        try:
            head = headers.read(image, most)
        except ImageError:
            return 0
        if head.width * head.height > most:
            return 0
        plan = tiling.tiled((head.width, head.height), (spec.width, spec.height), spec.overlap)
        return tiles.numbers(self.manifest.outputs, plan)

    async def aside(self, work: Callable[[], T], *claims: Claim) -> T:
        """Do something with rows in a thread: what would hold up the event loop. `claims` as of `answer`."""
        return await Errand(*claims).run(self._stages.hands, work)

    def _in_tiles(self, options: Options | PictureOptions) -> bool:
        return self._tiles or (self._asked is not None and self._asked(options) is not None)

    async def _take_on(self, order: Order[T], room: Room | None = None, way: Way | None = None) -> T:
        """Take an image on, if there is room, and see it through: that way, or as the model's images go."""
        try:
            if order.tensor is None:
                if not order.data:
                    raise EmptyBody("The image is empty: it has 0 bytes. Send the whole file.")
                if self._formats is not None and names.kind_of(order.data) not in self._formats:
                    raise headers.refused(names.refusal(order.data, self._formats))
            place = room.enter() if room else self.admission.enter(self._seconds_at_most)
            order.errand.claims.append(place)
            try:
                see_through = way or (self._see_through if order.tensor is None else self._see_fitted)
                answer = await see_through(order, place)
                place.answered = True
            finally:
                place.release()
        except StriateError as error:
            self._metrics.images.labels(self.manifest.name, error.code).inc()
            raise
        self._images_ok.inc()
        self.statistics.images += 1
        return answer

    def _measure(self, row: Row) -> None:
        if self._familiarity and (found := familiarity(row)) is not None:
            self._familiarity.observe(found)

    def _answer(self, options: Options, photo: Photo, row: Row) -> Result:
        self._measure(row)
        found = self._task.answer(row, self.manifest, options, Size(photo.width, photo.height))
        if self._objects and isinstance(found, Detection):
            self._objects.observe(len(found.objects))
        return found

    def _explained(self, tell: Tell[T], options: ExplainOptions, photo: Photo, row: Row) -> T:
        return tell(photo, row, self.manifest, options)

    def _own_row(self, _: Photo, row: Row) -> Row:
        self._measure(row)
        return row

    def _row(self, photo: Photo, row: Row) -> Row:
        self._measure(row)
        return self._task.carried(row, self.manifest, Size(photo.width, photo.height))

    def _draw(self, options: PictureOptions, photo: Photo, row: Row) -> bytes:
        assert self._task.draw is not None
        self._measure(row)
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
            price = headers.read(data, 2**28).price(fitting.least_side(spec), 2**28)
            if price > self._stages.budget.total:
                raise ImageTooLarge("It takes more memory to decode than decode_budget_bytes allows.")
        tensors = [codec.read(data, spec, 2**28, whole=False)[1] for data in encoded]
        rows = []
        for start in range(0, len(tensors), self.engine.max_batch):
            for computed in self._stages.calls.compute(tensors[start : start + self.engine.max_batch]):
                if isinstance(computed, Exception):
                    raise computed
                rows.append(computed.row)
        return rows

    async def close(self) -> None:
        """Finish what was taken on, then stop the engine's threads and let go of its memory."""
        if self._held:
            self._left = asyncio.Event()
            await self._left.wait()
        await self._batcher.drain()
        self._lanes.shutdown()
        # It and the calls that it makes hold each other: memory would wait for the garbage collector.
        self._batcher.release()
