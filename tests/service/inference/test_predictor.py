"""One live model: images that spoil a batch, numbers that are none, and engines that fail or hang."""

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.admission import Lease, Memory
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine, Outputs
from service.errors import EngineFailed, ImageTooLarge, NotAnImage, Overloaded, Unanswerable
from service.images.codec import SMALL_BYTES
from service.inference.predictor import Predictor
from service.inference.ways import SMALL_PIXELS
from service.manifest import Manifest
from service.options import ClassifyOptions, LocalizeOptions
from service.schemas import Classification, Localization
from service.telemetry.metrics import Metrics
from tests.images import encode, plain_png
from tests.processes import children
from tests.service.manifests import make_input, make_manifest, with_familiarity

Run = Callable[[NDArray[np.uint8], bool], Outputs]

POISON, NOT_FINITE = 255, 254


def image(value: int) -> bytes:
    """A PNG of one grey; its value is its number."""
    return plain_png(make_input(5, 7, 1), (b"\0" + bytes([value]) * 7) * 5)


def shaky(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Score each image by its number; stumble over a poisonous one, together or alone."""
    numbers = images[:, 0, 0, 0].astype(np.float32)
    if (numbers == POISON).any():
        raise RuntimeError("a poisonous image in /secret/path")
    scores = np.stack((numbers, 0 * numbers, 0 * numbers), axis=1) / np.float32(1000)
    scores[numbers == NOT_FINITE] = np.nan
    return {"scores": scores.astype(np.float32)}


@asynccontextmanager
async def predicting(
    run: Run, max_batch: int = 32, manifest: Manifest | None = None, **settings: object
) -> AsyncIterator[Predictor]:
    manifest = manifest or make_manifest(input=make_input(5, 7, 1).model_dump())
    engine = Engine("openvino", "float32", run, 1, max_batch, "for a test")
    chosen = Settings.model_validate({"decode_threads": 2, **settings})
    with Hands(chosen) as hands:
        predictor = Predictor(manifest, engine, chosen, hands, Metrics())
        yield predictor
        await predictor.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - no event tells of it; the test's own time limit bounds it
        await asyncio.sleep(0)


def score(answer: object) -> float:
    assert isinstance(answer, Classification)
    return answer.score


@pytest.mark.parametrize("max_batch", [1, 32])
async def test_each_stage_counts_an_image_once(max_batch: int) -> None:
    """Whether it is decoded here, in a thread, or is a tensor already: once in decode, queue and encode."""
    buffer = io.BytesIO()
    Image.new("L", (300, 300), 7).save(buffer, "PNG")
    thin = io.BytesIO()
    Image.new("L", (9, 9), 7).save(thin, "PNG")
    assert len(buffer.getvalue()) < SMALL_BYTES
    assert SMALL_PIXELS < 300 * 300
    async with predicting(shaky, max_batch) as predictor:
        for number, data in enumerate((buffer.getvalue(), thin.getvalue(), image(3)), start=1):
            await predictor.answer(data, ClassifyOptions())
            for stage in ("decode", "queue", "encode"):
                labels = {"stage": stage, "model": "shapes"}
                counted = predictor._metrics.registry.get_sample_value("striate_stage_seconds_count", labels)
                assert counted == number, stage


@pytest.mark.parametrize("max_batch", [1, 8, 32])
async def test_a_poisonous_image_spoils_no_other(max_batch: int) -> None:
    """(G20) Among 31 good images one fails the engine and one has no finite scores: only these are errors."""
    numbers = [*range(15), POISON, *range(15, 30), NOT_FINITE]
    async with predicting(shaky, max_batch) as predictor:
        answers = await asyncio.gather(
            *(predictor.answer(image(number), ClassifyOptions()) for number in numbers),
            return_exceptions=True,
        )
    for number, answer in zip(numbers, answers, strict=True):
        if number == POISON:
            assert isinstance(answer, EngineFailed)
            assert "secret" not in answer.detail
        elif number == NOT_FINITE:
            # (D29) The image's own fault, and nobody's bug.
            assert isinstance(answer, Unanswerable)
            assert answer.status == 422
        else:
            assert score(answer) == pytest.approx(number / 1000)


@pytest.mark.parametrize("max_batch", [1, 32])
async def test_rows_are_those_of_answers(max_batch: int) -> None:
    """An image gives the same row as a file and as its pixels, alone and beside others; each is counted as an
    answer is: decoded once or never, and once in what its version has done.
    """
    async with predicting(shaky, max_batch) as predictor:
        for number in range(9):
            answer = await predictor.answer(image(number), ClassifyOptions())
            by_file = await predictor.row(image(number))
            by_pixels = await predictor.row(np.full((5, 7, 1), number, np.uint8))
            assert by_file["scores"].tolist() == by_pixels["scores"].tolist()
            assert score(answer) == pytest.approx(float(by_file["scores"].max()), abs=1e-6)
        with predictor.room(9) as room:
            pixels = [np.full((5, 7, 1), number, np.uint8) for number in range(9)]
            rows = await asyncio.gather(*(predictor.row(each, room=room) for each in pixels))
        assert [round(float(row["scores"][0]) * 1000) for row in rows] == list(range(9))
        assert predictor.admission.inside == 0
        assert predictor.statistics.images == 36
        assert sum(total.count * size for size, total in predictor.statistics.batches().items()) == 36
        counted = predictor._metrics.registry.get_sample_value(
            "striate_stage_seconds_count", {"stage": "decode", "model": "shapes"}
        )
        assert counted == 18
        for faulty, error in ((POISON, EngineFailed), (NOT_FINITE, Unanswerable)):
            with pytest.raises(error):
                await predictor.row(np.full((5, 7, 1), faulty, np.uint8))


@pytest.mark.parametrize(("resize", "expected"), [("stretch", 0.25), ("letterbox", 0.0)])
async def test_boxes_of_rows_are_fractions_of_the_image(resize: str, expected: float) -> None:
    """Of a file they are carried out of the model's frame, as those of answers are; of pixels that lie in the
    frame they stay as they are.
    """

    def boxed(images: NDArray[np.uint8], solo: bool) -> Outputs:
        boxes = np.tile(np.array([0.25, 0.25, 0.75, 0.75], np.float32), (len(images), 1))
        return {"scores": np.full((len(images), 3), 0.5, np.float32), "box": boxes}

    spec = make_input(12, 12, 1, resize).model_dump()
    manifest = make_manifest(task="localization", format=3, input=spec)
    buffer = io.BytesIO()
    Image.new("L", (40, 20)).save(buffer, "PNG")
    async with predicting(boxed, manifest=manifest) as predictor:
        box = (await predictor.row(buffer.getvalue()))["box"]
        assert box.tolist() == pytest.approx([0.25, expected, 0.75, 1 - expected])
        answer = await predictor.answer(buffer.getvalue(), LocalizeOptions())
        assert isinstance(answer, Localization)
        assert list(asdict(answer.box_normalized).values()) == pytest.approx(box.tolist())
        own = (await predictor.row(np.zeros((12, 12, 1), np.uint8)))["box"]
        assert own.tolist() == pytest.approx([0.25, 0.25, 0.75, 0.75])


async def test_who_leaves_while_waiting_is_not_computed() -> None:
    """(F6) A caller who is cancelled before the engine is free is never computed; the others are."""
    computed: list[int] = []
    started, release = threading.Event(), threading.Event()

    def slow(images: NDArray[np.uint8], solo: bool) -> Outputs:
        computed.extend(images[:, 0, 0, 0].tolist())
        started.set()
        assert release.wait(10)
        return shaky(images, solo)

    async with predicting(slow) as predictor:
        first = asyncio.create_task(predictor.answer(image(1), ClassifyOptions()))
        await asyncio.to_thread(started.wait, 10)
        leaving = asyncio.create_task(predictor.answer(image(2), ClassifyOptions()))
        staying = asyncio.create_task(predictor.answer(image(3), ClassifyOptions()))
        await until(lambda: predictor.admission.inside == 3)
        leaving.cancel()
        release.set()
        assert score(await first) == pytest.approx(0.001)
        assert score(await staying) == pytest.approx(0.003)
        assert leaving.cancelled() or leaving.cancelling()
    assert computed == [1, 3]
    assert predictor.admission.inside == 0


async def test_who_leaves_amid_the_work_holds_what_it_takes() -> None:
    """(F4, F15) Where one thread sees an image through, its place and its bytes are given back when that
    thread is done with it, not when its caller leaves; what comes after the engine is not done for nobody.
    """
    started, release = threading.Event(), threading.Event()

    def slow(images: NDArray[np.uint8], solo: bool) -> Outputs:
        started.set()
        assert release.wait(10)
        return shaky(images, solo)

    memory = Memory(1000)
    lease = Lease(memory)
    lease.grow(600)
    async with predicting(slow, max_batch=1) as predictor:
        leaving = asyncio.create_task(predictor.answer(image(1), ClassifyOptions(), lease))
        await asyncio.to_thread(started.wait, 10)
        leaving.cancel()
        await asyncio.wait([leaving])
        lease.release()
        assert (predictor.admission.inside, memory.held) == (1, 600)
        release.set()
        await until(lambda: not predictor.admission.inside)
        assert memory.held == 0
        assert score(await predictor.answer(image(2), ClassifyOptions())) == pytest.approx(0.002)


@pytest.mark.parametrize("max_batch", [1, 8])
async def test_large_images_queue_for_themselves(max_batch: int) -> None:
    """(F15) However long large images have waited for one another, a small one is taken on."""
    large = encode(Image.new("L", (3000, 3000)), "PNG")
    async with predicting(shaky, max_batch, decode_budget_bytes=2**20, deadline_ms=100) as predictor:
        predictor._stages.large.seconds_per_image = 1000
        asked = [asyncio.create_task(predictor.answer(large, ClassifyOptions())) for _ in range(2)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Classification, Overloaded]
        assert score(await predictor.answer(image(3), ClassifyOptions())) == pytest.approx(0.003)
        assert predictor.admission.inside == predictor._stages.large.inside == 0


async def test_golden_samples_have_a_budget_too() -> None:
    """(G6) A golden sample that would take more memory than all decodes may is refused undecoded."""
    async with predicting(shaky, decode_budget_bytes=2**20) as predictor:
        assert len(predictor.rows([encode(Image.new("L", (200, 200)), "PNG")])) == 1
        with pytest.raises(ImageTooLarge, match="decode_budget_bytes"):
            predictor.rows([encode(Image.new("L", (300, 300)), "PNG")])


def knowing(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Tell as familiarity an image's number, in hundredths."""
    return shaky(images, solo) | {"familiarity": images[:, 0, 0, 0].astype(np.float32) / np.float32(100)}


def counted(predictor: Predictor) -> dict[str, float]:
    """Return how many images had at most each familiarity, as the metrics tell."""
    (family,) = predictor._metrics.familiarity.collect()
    return {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}


@pytest.mark.parametrize("max_batch", [1, 32])
async def test_familiarity_is_answered_and_counted(max_batch: int) -> None:
    """An answer tells it, and the metrics count the model's images by it; a golden replay is no image."""
    told = make_manifest(**with_familiarity(input=make_input(5, 7, 1).model_dump()))
    async with predicting(knowing, max_batch, told) as predictor:
        predictor.rows([image(0)])
        found = [await predictor.answer(image(number), ClassifyOptions()) for number in (0, 1, 30, 99)]
        assert [each.familiarity for each in found] == [0.0, 0.01, 0.3, 0.99]
        expected = {"0.001": 1, "0.01": 2, "0.05": 2, "0.25": 2, "0.5": 3, "1.0": 4, "+Inf": 4}
        assert counted(predictor).items() >= expected.items()


async def test_a_model_without_familiarity_counts_none() -> None:
    """Its answers have none, and the metric has no sample of it."""
    async with predicting(shaky) as predictor:
        assert (await predictor.answer(image(1), ClassifyOptions())).familiarity is None
        assert counted(predictor) == {}


async def test_a_hanging_engine_is_noticed() -> None:
    """(G23) A call that has run for longer than `stuck_seconds` counts as stuck, until it ends."""
    started, release = threading.Event(), threading.Event()

    def hang(images: NDArray[np.uint8], solo: bool) -> Outputs:
        started.set()
        assert release.wait(10)
        return shaky(images, solo)

    async with predicting(hang, stuck_seconds=0.05) as predictor:
        assert not predictor.stuck
        answer = asyncio.create_task(predictor.answer(image(1), ClassifyOptions()))
        await asyncio.to_thread(started.wait, 10)
        await until(lambda: predictor.stuck)
        release.set()
        await answer
        assert not predictor.stuck


async def test_formats_that_are_not_taken_are_named() -> None:
    """With formats narrowed, an image of another is refused by its name, with those that are taken."""
    async with predicting(shaky, formats="jpeg,heic") as predictor:
        with pytest.raises(NotAnImage, match=r"a PNG image; the formats that are read: JPEG, HEIC\."):
            await predictor.answer(image(7), ClassifyOptions())
        with pytest.raises(NotAnImage, match=r"a PDF; the formats that are read: JPEG, HEIC\."):
            await predictor.answer(b"%PDF-1.7", ClassifyOptions())


@pytest.mark.parametrize("max_batch", [1, 8])
async def test_small_images_of_rarer_formats_take_the_long_way(max_batch: int) -> None:
    """However small, what is not JPEG, PNG or WebP is decoded in a process, and answered all the same."""
    grey = b"P5 7 5 255\n" + bytes([9]) * 35
    async with predicting(shaky, max_batch) as predictor:
        before = children(os.getpid())
        assert score(await predictor.answer(image(9), ClassifyOptions())) == pytest.approx(0.009)
        assert children(os.getpid()) == before
        assert score(await predictor.answer(grey, ClassifyOptions())) == pytest.approx(0.009)
        assert len(children(os.getpid())) == len(before) + 1
