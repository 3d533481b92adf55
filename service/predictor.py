"""One live model: the bytes of an image -> an answer, through decoding, batching, the engine and its task."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service import headers, images, tasks
from service.admission import Admission
from service.batching import Batcher
from service.decoding import Hands
from service.engines import Engine
from service.errors import EmptyBody, EngineFailed, StriateError, Unanswerable
from service.formats import colours, names
from service.images import Photo
from service.manifest import Manifest
from service.metrics import STAGES, Metrics
from service.priority import HANDS, step_back
from service.schemas import ClassifyOptions, LocalizeOptions, Options, Result, SegmentOptions
from service.settings import Settings
from service.tasks import Row, Size

T = TypeVar("T")

SMALL_PIXELS = 16_384
"""An image of no more than these and `images.SMALL_BYTES` is decoded on the event loop, in at most about 0.2
ms: the way to a thread and back takes longer than that under load."""

_FAILED = "The model could not be computed for this image."
_NOT_FINITE = "The model gave a number that is not finite for this image; it cannot be answered."


@dataclass(frozen=True)
class _Computed:
    """One row, and when its batch started on the engine (by the monotonic clock)."""

    row: Row
    started: float


def _run_all(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """Run each job; what one raises is its own result."""
    results: list[object] = []
    for job in jobs:
        try:
            results.append(job())
        except Exception as error:  # noqa: BLE001 - its caller gets it
            results.append(error)
    return results


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
        self._max_pixels = settings.max_pixels
        self._formats = settings.formats_taken
        self._seconds_at_most = settings.deadline_ms / 1000
        self._stuck_seconds = settings.stuck_seconds
        self.admission = Admission(settings.max_queue)
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
        self._batcher: Batcher[Any, Any] = Batcher(
            _run_all if self._one_by_one else self._compute,
            self._lanes,
            max_batch=engine.max_batch,
            max_queue=settings.max_queue,
            concurrency=engine.lanes,
            inline=engine.inline,
        )
        self._exact = images.without_pixels(manifest.input.width, manifest.input.height)
        name = manifest.name
        self._seconds = {stage: metrics.stage_seconds.labels(stage, name) for stage in STAGES}
        self._batch_size = metrics.batch_size.labels(name)
        self._images_ok = metrics.images.labels(name, "ok")

    def __enter__(self) -> Self:
        self._held += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._held -= 1
        if self._left is not None and not self._held:
            self._left.set()

    async def answer(self, data: bytes, options: Options) -> Result:
        """Answer one image. Raises an ImageError or a BatchError."""
        return await self._admit(data, False, lambda photo, row: self._result(photo, row, options))

    async def picture(self, data: bytes, options: LocalizeOptions | SegmentOptions) -> bytes:
        """Answer one image with a PNG: the mask, or with `overlay` the photo with the answer on it."""
        return await self._admit(data, options.overlay, lambda photo, row: self._draw(photo, row, options))

    async def _admit(self, data: bytes, whole: bool, finish: Callable[[Photo, Row], T]) -> T:
        """Take an image on, if there is room, and see it through; `finish` makes the answer of its row."""
        try:
            if not data:
                raise EmptyBody("The image is empty: it has 0 bytes. Send the whole file.")
            if len(self._formats) < len(names.KINDS) and names.kind_of(data) not in self._formats:
                raise headers.refused(names.refusal(data, self._formats))
            self.admission.enter(self._seconds_at_most)
            answered = False
            try:
                if self._one_by_one:
                    async with self._hands.budget.hold(self._price(data, whole)):
                        job = partial(self._at_once, data, whole, finish, time.perf_counter())
                        answer: T = await self._batcher.submit(job)
                else:
                    answer = await self._in_steps(data, whole, finish)
                answered = True
            finally:
                self.admission.leave(answered)
        except StriateError as error:
            self._metrics.images.labels(self.manifest.name, error.code).inc()
            raise
        self._images_ok.inc()
        return answer

    def _at_once(self, data: bytes, whole: bool, finish: Callable[[Photo, Row], T], queued: float) -> T:
        started = time.perf_counter()
        self._seconds["queue"].observe(started - queued)
        with self._seconds["decode"].time():
            photo, tensor = self._hands.decode(data, self.manifest.input, self._max_pixels, whole)
        (computed,) = self._compute([tensor])
        if isinstance(computed, Exception):
            raise computed
        with self._seconds["encode"].time():
            return finish(photo, computed.row)

    async def _in_steps(self, data: bytes, whole: bool, finish: Callable[[Photo, Row], T]) -> T:
        if len(data) <= images.SMALL_BYTES and (decoded := self._decode_here(data, whole)):
            return await self._computed(*decoded, whole, finish)
        async with self._hands.budget.hold(self._price(data, whole)):
            decoded = await self._stage(
                "decode", lambda: self._hands.decode(data, self.manifest.input, self._max_pixels, whole)
            )
            if whole:
                # Its pixels stay until they are drawn on.
                return await self._computed(*decoded, whole, finish)
        return await self._computed(*decoded, whole, finish)

    async def _computed(
        self, photo: Photo, tensor: NDArray[np.uint8], whole: bool, finish: Callable[[Photo, Row], T]
    ) -> T:
        queued = time.perf_counter()
        computed = await self._batcher.submit(tensor)
        self._seconds["queue"].observe(computed.started - queued)
        if self.manifest.task == "segmentation" or whole:
            return await self._stage("encode", lambda: finish(photo, computed.row))
        # A few labels and numbers: less work than handing it to a thread.
        started = time.perf_counter()
        answer = finish(photo, computed.row)
        self._seconds["encode"].observe(time.perf_counter() - started)
        return answer

    async def _stage(self, name: str, work: Callable[[], T]) -> T:
        def timed() -> T:
            with self._seconds[name].time():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._hands, timed)

    def _decode_here(self, data: bytes, whole: bool) -> tuple[Photo, NDArray[np.uint8]] | None:
        """Decode on the event loop what takes less work than the way to a thread and back, or return None.

        Where decoding is isolated, that is only what `images.as_tensor` takes; nowhere is it one of the rarer
        formats, or what may have a profile, for to make a transform of that may take milliseconds.
        """
        started = time.perf_counter()
        if not whole and (tensor := images.as_tensor(data, self.manifest.input)) is not None:
            self._seconds["decode"].observe(time.perf_counter() - started)
            return self._exact, tensor
        if self._hands.isolated:
            return None
        with self._seconds["decode"].time():
            head = headers.read(data, self._max_pixels)
            if head.width * head.height > SMALL_PIXELS or head.format not in names.PLAIN:
                return None
            if colours.mentioned(data):
                return None
            return images.read(data, self.manifest.input, self._max_pixels, whole=whole)

    def _price(self, data: bytes, whole: bool) -> int:
        """Return the bytes that decoding takes. Raises the ImageError of what need not be decoded at all."""
        head = headers.read(data, self._max_pixels)
        spec = self.manifest.input
        return head.price(None if whole else images.least_side(spec))

    def _result(self, photo: Photo, row: Row, options: Options) -> Result:
        size = Size(photo.width, photo.height)
        if isinstance(options, ClassifyOptions):
            return tasks.classify(row, self.manifest, options)
        if isinstance(options, LocalizeOptions):
            return tasks.localize(row, self.manifest, options, size)
        return tasks.segment(row, self.manifest, options, size, images.palette_png)

    def _draw(self, photo: Photo, row: Row, options: LocalizeOptions | SegmentOptions) -> bytes:
        size = Size(photo.width, photo.height)
        if isinstance(options, LocalizeOptions):
            found = tasks.localize(row, self.manifest, options, size)
            box = (found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max)
            return images.overlay_box(photo, box, f"{found.label or '?'} {found.score:.2f}")
        mask = tasks.class_mask(row, self.manifest, options, size)
        colours = tasks.palette(len(self.manifest.labels))
        if options.overlay:
            edges = tasks.separate(row, self.manifest, options, size).edges() if options.instances else None
            return images.overlay_mask(photo, mask, colours, edges)
        return images.palette_png(mask, colours)

    @property
    def stuck(self) -> bool:
        """Whether a call of the engine has taken so long that it will not end by itself."""
        return self._batcher.longest_call() > self._stuck_seconds

    def rows(self, encoded: Sequence[bytes]) -> list[Row]:
        """Compute the rows of these images as a request would, here and now: for the golden replay.

        The limits of requests do not hold here: a model must not be refused because a client may post less.
        """
        spec = self.manifest.input
        tensors = [images.read(data, spec, 2**28, whole=False)[1] for data in encoded]
        rows = []
        for start in range(0, len(tensors), self.engine.max_batch):
            for computed in self._compute(tensors[start : start + self.engine.max_batch]):
                if isinstance(computed, Exception):
                    raise computed
                rows.append(computed.row)
        return rows

    def _compute(self, tensors: Sequence[NDArray[np.uint8]]) -> list[_Computed | Exception]:
        started = time.perf_counter()
        solo = self._batcher.calls <= 1 and not len(self._batcher)
        try:
            outputs = self.engine.run(np.stack(tensors), solo)
        except Exception as error:
            if len(tensors) == 1:
                raise EngineFailed(_FAILED) from error
            # One image may be what the engine stumbles over, or together they are too large for its memory:
            # each for itself, so that the others are answered.
            return [self._alone(tensor) for tensor in tensors]
        self._seconds["engine"].observe(time.perf_counter() - started)
        self._batch_size.observe(len(tensors))
        results: list[_Computed | Exception] = []
        all_finite = all(np.isfinite(values).all() for values in outputs.values())
        for index in range(len(tensors)):
            row = {name: rows[index] for name, rows in outputs.items()}
            finite = all_finite or all(np.isfinite(values).all() for values in row.values())
            results.append(_Computed(row, started) if finite else Unanswerable(_NOT_FINITE))
        return results

    def _alone(self, tensor: NDArray[np.uint8]) -> _Computed | Exception:
        try:
            return self._compute([tensor])[0]
        except EngineFailed as error:
            return error

    async def close(self) -> None:
        """Finish what was taken on, then stop the engine's threads and let go of its memory."""
        if self._held:
            self._left = asyncio.Event()
            await self._left.wait()
        await self._batcher.drain()
        self._lanes.shutdown()
        # It holds a method of this object, which holds it: memory would wait for the garbage collector.
        self._batcher.release()
