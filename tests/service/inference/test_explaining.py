"""What a score depends on: found where it is, by the model's resize rule, and only while nobody waits."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine, Outputs
from service.errors import EngineFailed, Overloaded
from service.images.fitting import Rect
from service.inference.predictor import Predictor
from service.manifest import Manifest
from service.options import ClassifyOptions, ExplainOptions
from service.responses import Explanation
from service.telemetry.metrics import Metrics
from tests.images import encode
from tests.service.manifests import make_input, make_manifest

Run = Callable[[NDArray[np.uint8], bool], Outputs]

SIDE = 32
PLAIN = encode(Image.new("L", (SIDE, SIDE)), "PNG")


def looking_for_light(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Score the first label by how much of an image is bright, the second by how much is not."""
    light = np.clip((images > 200).mean((1, 2, 3), dtype=np.float32) * 10, 0.01, 0.99)
    return {"scores": np.stack([light, 1 - light, 0 * light], axis=1)}


@asynccontextmanager
async def predicting(
    run: Run = looking_for_light, max_batch: int = 32, manifest: Manifest | None = None
) -> AsyncIterator[Predictor]:
    manifest = manifest or make_manifest(input=make_input(SIDE, SIDE, 1).model_dump())
    engine = Engine("openvino", "float32", run, 1, max_batch, "for a test")
    settings = Settings(decode_threads=2)
    with Hands(settings) as hands:
        predictor = Predictor(manifest, engine, settings, hands, Metrics())
        yield predictor
        await predictor.close()


def with_light(size: tuple[int, int], place: Rect) -> bytes:
    """A dark image with one bright place."""
    pixels = np.full(size[::-1], 30, np.uint8)
    pixels[place.pixels] = 255
    return encode(Image.fromarray(pixels), "PNG")


def brightest(found: Explanation) -> tuple[float, float]:
    """Return the middle of the cell that matters most, in pixels of the photo."""
    lost = np.array(found.map)
    row, column = np.unravel_index(lost.argmax(), lost.shape)
    box = found.box
    return (
        box.x_min + (column + 0.5) * (box.x_max - box.x_min) / lost.shape[1],
        box.y_min + (row + 0.5) * (box.y_max - box.y_min) / lost.shape[0],
    )


@pytest.mark.parametrize("max_batch", [1, 32])
@pytest.mark.parametrize(
    ("resize", "seen"),
    [("stretch", (0, 0, 80, 40)), ("letterbox", (0, 0, 80, 40)), ("crop", (20, 0, 60, 40))],
)
async def test_the_map_points_to_what_the_score_comes_from(
    max_batch: int, resize: str, seen: tuple[int, int, int, int]
) -> None:
    """In the photo's own pixels, whatever the resize rule: the brightest cell lies on what the model looks
    for, cells far from it are near 0, and the map lies over what of the photo the model sees.
    """
    spec = make_input(SIDE, SIDE, 1, resize).model_dump()
    place = Rect(40, 20, 50, 30)
    async with predicting(max_batch=max_batch, manifest=make_manifest(input=spec)) as predictor:
        found = await predictor.explain(with_light((80, 40), place), ExplainOptions(grid=8, target="disc"))
    box = found.box
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == seen
    assert (found.label, found.width, found.height) == ("disc", 80, 40)
    x, y = brightest(found)
    assert place.x_min <= x <= place.x_max
    assert place.y_min <= y <= place.y_max
    lost = np.array(found.map)
    assert lost.shape == (8, 8)
    assert lost.max() > 1
    assert np.abs(lost[0]).max() < 0.1
    assert found.least_score < found.score / 2
    assert f"from {found.score:.4f} to {found.least_score:.4f}" in found.meaning


async def test_another_label_may_be_explained() -> None:
    """The best one is, without a target; what speaks for the one speaks against the other."""
    data = with_light((SIDE, SIDE), Rect(8, 8, 14, 14))
    async with predicting() as predictor:
        best = await predictor.explain(data, ExplainOptions())
        other = await predictor.explain(data, ExplainOptions(target="disc"))
    assert best.label == "box"
    assert np.array(best.map) == pytest.approx(-np.array(other.map), abs=1e-3)


async def test_nothing_to_find_is_told() -> None:
    """Where no part has to do with the score, the words say so instead of pointing somewhere."""
    async with predicting() as predictor:
        found = await predictor.explain(PLAIN, ExplainOptions())
    assert not np.array(found.map).any()
    assert found.least_score == found.score
    assert "no single part decides" in found.meaning


async def test_the_picture_is_brightest_where_most_matters() -> None:
    """As large as the photo; what the model does not see of it is left as it is."""
    spec = make_input(SIDE, SIDE, 1, "crop").model_dump()
    place = Rect(40, 20, 50, 30)
    data = with_light((80, 40), place)
    async with predicting(manifest=make_manifest(input=spec)) as predictor:
        drawn = await predictor.explanation_picture(data, ExplainOptions(target="disc"))
    picture = np.asarray(Image.open(io.BytesIO(drawn)), np.int64)
    assert picture.shape == (40, 80, 3)
    assert (picture[:, :20] == 30).all()
    assert (picture[:, 60:] == 30).all()
    # Of the map's own: the photo is laid below at half strength.
    heat = picture[:, 20:60] - np.asarray(Image.open(io.BytesIO(data)), np.int64)[:, 20:60, None] // 2
    row, column = np.unravel_index(heat.sum(-1).argmax(), heat.shape[:2])
    assert place.y_min <= row <= place.y_max
    assert place.x_min <= column + 20 <= place.x_max
    assert heat[0].max() < 20


@pytest.mark.parametrize("max_batch", [1, 32])
async def test_an_answer_goes_before(max_batch: int) -> None:
    """What comes in amid an explanation is computed after the call that is under way, before all the rest;
    the explanation goes on behind it and comes to its end.
    """
    calls: list[int] = []
    started, release = threading.Event(), threading.Event()

    def slow(images: NDArray[np.uint8], solo: bool) -> Outputs:
        calls.append(int(images.max()))
        if len(calls) == 3:
            started.set()
            assert release.wait(10)
        return looking_for_light(images, solo)

    white = encode(Image.new("L", (SIDE, SIDE), 255), "PNG")
    async with predicting(slow, max_batch) as predictor:
        explaining = asyncio.create_task(predictor.explain(PLAIN, ExplainOptions()))
        await asyncio.to_thread(started.wait, 10)
        answering = asyncio.create_task(predictor.answer(white, ClassifyOptions()))
        while not len(predictor._batcher):  # noqa: ASYNC110 - no event tells of it; the test's own time limit bounds it
            await asyncio.sleep(0)
        release.set()
        await answering
        assert calls.index(255) == 3
        assert not explaining.done()
        assert (await explaining).label == "box"
    assert calls.count(255) == 1
    assert len(calls) == 1 + (50 if max_batch == 1 else 14)
    assert predictor.admission.inside == 0


async def test_a_busy_model_makes_no_explanation() -> None:
    """Not beside another one, nor where more answers are asked for than are computed at a time; who is
    refused is told when to come back, and nothing is held for them.
    """
    started, release = threading.Event(), threading.Event()

    def slow(images: NDArray[np.uint8], solo: bool) -> Outputs:
        started.set()
        assert release.wait(10)
        return looking_for_light(images, solo)

    async with predicting(slow) as predictor:
        predictor.check_idle()
        first = asyncio.create_task(predictor.explain(PLAIN, ExplainOptions()))
        await asyncio.to_thread(started.wait, 10)
        with pytest.raises(Overloaded) as refused:
            await predictor.explain(PLAIN, ExplainOptions())
        assert refused.value.retry_after >= 1
        release.set()
        await first
        started.clear()
        release.clear()
        answers = [asyncio.create_task(predictor.answer(PLAIN, ClassifyOptions())) for _ in range(2)]
        await asyncio.to_thread(started.wait, 10)
        with pytest.raises(Overloaded):
            predictor.check_idle()
        release.set()
        await asyncio.gather(*answers)
        predictor.check_idle()
        assert (await predictor.explain(PLAIN, ExplainOptions())).label == "box"


async def test_who_leaves_ends_it() -> None:
    """No further part is covered for nobody, and the next one may be explained."""
    computed: list[int] = []
    started, release = threading.Event(), threading.Event()

    def slow(images: NDArray[np.uint8], solo: bool) -> Outputs:
        computed.append(len(images))
        started.set()
        assert release.wait(10)
        return looking_for_light(images, solo)

    async with predicting(slow) as predictor:
        leaving = asyncio.create_task(predictor.explain(PLAIN, ExplainOptions()))
        await asyncio.to_thread(started.wait, 10)
        leaving.cancel()
        await asyncio.wait([leaving])
        release.set()
        await predictor._batcher.drain()
        assert computed == [1]
        while predictor._covered.admission.inside:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert (await predictor.explain(PLAIN, ExplainOptions())).label == "box"


async def test_an_engine_that_fails_is_no_map() -> None:
    """Not of the parts that went well: EngineFailed."""

    def failing(images: NDArray[np.uint8], solo: bool) -> Outputs:
        if (images.max((1, 2, 3)) < 250).any():
            raise RuntimeError("a covered image in /secret/path")
        return looking_for_light(images, solo)

    data = with_light((SIDE, SIDE), Rect(8, 8, 10, 10))
    async with predicting(failing) as predictor:
        with pytest.raises(EngineFailed) as failed:
            await predictor.explain(data, ExplainOptions())
        assert "secret" not in failed.value.detail
        assert predictor._covered.admission.inside == 0
