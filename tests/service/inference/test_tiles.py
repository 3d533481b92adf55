"""A model that answers tiles: any image, one mask of it, within memory and time or with a reason."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine, Outputs
from service.errors import EngineFailed, ImageTooCostly, ImageTooLarge
from service.images import tiling
from service.inference.predictor import Predictor
from service.options import SegmentOptions
from service.schemas import PngMask, Segmentation
from service.telemetry.metrics import Metrics
from tests.images import encode, orientation_block
from tests.service.manifests import make_input, make_manifest, with_familiarity

SPEC = make_input(16, 24, 3, "tile", overlap=6)
OPTIONS = SegmentOptions(mask="png")


def bright(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Answer each pixel by itself: the probability is its red."""
    assert images.shape[1:] == (16, 24, 3)
    return {"mask": images[..., :1].astype(np.float32) / np.float32(255)}


def poisoned(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Stumble over a tile that has a white pixel."""
    if (images[..., 0] == 255).any():
        raise RuntimeError("a poisonous tile")
    return bright(images, solo)


def knowing(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Tell besides how blue a tile is."""
    blue = images[..., 2].mean(axis=(1, 2), dtype=np.float32)
    return bright(images, solo) | {"familiarity": blue / np.float32(255)}


def bordered(images: NDArray[np.uint8], solo: bool) -> Outputs:
    """Tell besides where borders are: what is green."""
    return bright(images, solo) | {"border": images[..., 1:2].astype(np.float32) / np.float32(255)}


@asynccontextmanager
async def predicting(
    run: object = bright, max_batch: int = 4, **settings: object
) -> AsyncIterator[tuple[Predictor, Hands]]:
    fields: dict[str, Any] = {"task": "segmentation", "labels": ("background", "red")}
    fields["input"] = SPEC.model_dump()
    if run is bordered:
        planes = [{"name": name, "shape": (16, 24, 1), "meaning": ""} for name in ("mask", "border")]
        fields["outputs"] = planes
    manifest = make_manifest(**(with_familiarity(**fields) if run is knowing else fields), threshold=0.5)
    engine = Engine("openvino", "float32", run, 2, max_batch, "for a test")  # type: ignore[arg-type]
    chosen = Settings.model_validate({"decode_threads": 2, "deadline_ms": 100_000, **settings})
    with Hands(chosen) as hands:
        predictor = Predictor(manifest, engine, chosen, hands, Metrics())
        yield predictor, hands
        await predictor.close()


def picture(width: int, height: int) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(width).integers(0, 250, (height, width, 3), np.uint8)
    # Blocks, which a JPEG keeps.
    return np.asarray(Image.fromarray(pixels[::8, ::8]).resize((width, height), Image.Resampling.NEAREST))


def mask_of(answer: object) -> NDArray[np.uint8]:
    assert isinstance(answer, Segmentation)
    assert isinstance(answer.mask, PngMask)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.mask.data))))


@pytest.mark.parametrize("max_batch", [1, 4])
async def test_an_image_is_as_familiar_as_its_tiles_in_the_mean(max_batch: int) -> None:
    """Each pixel of it counts once, however many tiles see it; without familiarity none is told."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 24:, 2] = 255
    data = encode(Image.fromarray(pixels), "PNG")
    async with predicting(knowing, max_batch) as (predictor, _):
        answer = await predictor.answer(data, OPTIONS)
        assert isinstance(answer, Segmentation)
        # Three tiles of 24 across, at 0, 18 and 36: not blue, three quarters of it, and blue.
        across = tiling.tiled((60, 40), (24, 16), 6)
        assert across.columns == (0, 18, 36)
        expected = tiling.mean(across, [0, 0.75, 1] * len(across.rows))
        assert answer.familiarity == pytest.approx(expected, abs=1e-6)
        assert 0.5 < expected < 0.65
    async with predicting(bright, max_batch) as (predictor, _):
        answer = await predictor.answer(data, OPTIONS)
        assert isinstance(answer, Segmentation)
        assert answer.familiarity is None


@pytest.mark.parametrize("max_batch", [1, 4])
@pytest.mark.parametrize("size", [(200, 120), (24, 16), (10, 8), (25, 300)])
async def test_an_image_of_any_size_has_one_mask(size: tuple[int, int], max_batch: int) -> None:
    """Larger and smaller than a tile, as JSON and as a picture, by an engine with batches and without."""
    pixels = picture(*size)
    expected = (pixels[..., 0] >= 127.5).astype(np.uint8)
    data = encode(Image.fromarray(pixels), "PNG")
    async with predicting(max_batch=max_batch) as (predictor, hands):
        answer = await predictor.answer(data, OPTIONS)
        assert (mask_of(answer) == expected).all()
        drawn = await predictor.picture(data, OPTIONS)
        assert (np.asarray(Image.open(io.BytesIO(drawn))) == expected).all()
        over = await predictor.picture(data, SegmentOptions(overlay=True))
        shown = np.asarray(Image.open(io.BytesIO(over)))
        assert (shown[expected == 0] == pixels[expected == 0]).all()
        assert predictor.admission.inside == 0
        # All that was held is given back.
        assert hands.budget._small_line._left == hands.budget._small_line.room
        assert hands.budget._large_line._left == hands.budget._large_line.room


async def test_a_large_jpeg_keeps_its_scale() -> None:
    """One that any other rule would decode at a fraction is answered pixel by pixel, and upright."""
    pixels = picture(640, 400)
    data = encode(Image.fromarray(pixels), "JPEG", quality=98, subsampling=0, exif=orientation_block(b"\6"))
    async with predicting() as (predictor, _):
        found = mask_of(await predictor.answer(data, OPTIONS))
    assert found.shape == (640, 400)
    clear = np.abs(np.rot90(pixels, -1)[..., 0].astype(int) - 127) > 30
    assert (found == (np.rot90(pixels, -1)[..., 0] >= 127.5))[clear].mean() > 0.99


async def test_many_images_in_tiles_do_not_mix() -> None:
    """Tiles of several images go through one engine together, and each comes back to its own."""
    images = [picture(90 + number, 70) for number in range(6)]
    async with predicting() as (predictor, _):
        answers = await asyncio.gather(
            *(predictor.answer(encode(Image.fromarray(each), "PNG"), OPTIONS) for each in images)
        )
    for pixels, answer in zip(images, answers, strict=True):
        assert (mask_of(answer) == (pixels[..., 0] >= 127.5)).all()


@pytest.mark.parametrize("max_batch", [1, 4])
async def test_a_row_has_every_output_of_the_model(max_batch: int) -> None:
    """Borders too, which no answer needs without `instances`: at the image's own size, or a tile's."""
    pixels = picture(90, 70)
    async with predicting(bordered, max_batch) as (predictor, _):
        rows = [await predictor.row(encode(Image.fromarray(pixels), "PNG"))]
        rows.append(await predictor.row(np.ascontiguousarray(pixels[:16, :24])))
        assert predictor.numbers(encode(Image.fromarray(pixels), "PNG")) == 2 * 90 * 70
        assert predictor.numbers(pixels[:16, :24]) == 2 * 16 * 24
        assert predictor.numbers(b"no image") == 0
    for row, shown in zip(rows, (pixels, pixels[:16, :24]), strict=True):
        assert set(row) == {"mask", "border"}
        for channel, name in enumerate(("mask", "border")):
            np.testing.assert_allclose(row[name][..., 0], shown[..., channel] / np.float32(255), atol=1e-6)


async def test_one_bad_tile_fails_its_image_alone() -> None:
    """What the engine stumbles over is told of the image that it is of; another is answered beside it."""
    good = picture(90, 70)
    bad = good.copy()
    bad[60, 80] = 255
    async with predicting(poisoned) as (predictor, _):
        answers = await asyncio.gather(
            *(predictor.answer(encode(Image.fromarray(each), "PNG"), OPTIONS) for each in (bad, good)),
            return_exceptions=True,
        )
        assert isinstance(answers[0], EngineFailed)
        assert (mask_of(answers[1]) == (good[..., 0] >= 127.5)).all()
        assert predictor.admission.inside == 0


async def test_what_would_take_too_long_says_so_at_once() -> None:
    """After the first tiles, with their number, their pace and what is allowed; not at the deadline."""
    computed = 0

    def counting(images: NDArray[np.uint8], solo: bool) -> Outputs:
        nonlocal computed
        computed += len(images)
        return bright(images, solo)

    data = encode(Image.fromarray(picture(1200, 800)), "PNG")
    async with predicting(counting, deadline_ms=1) as (predictor, _):
        with pytest.raises(ImageTooCostly, match=r"takes 5,360 tiles of 24 x 16, .* 0\.001 s are allowed"):
            await predictor.answer(data, OPTIONS)
        assert predictor.admission.inside == 0
    assert 0 < computed <= 8


async def test_what_cannot_be_answered_at_its_scale_is_refused() -> None:
    """A JPEG past the limit would be decoded smaller, and tiles of another scale answered wrongly."""
    data = encode(Image.new("RGB", (400, 300)), "JPEG")
    async with predicting(max_pixels=100_000) as (predictor, _):
        with pytest.raises(ImageTooLarge, match=r"in tiles, at its own scale, at most 100,000 are answered"):
            await predictor.answer(data, OPTIONS)


async def test_objects_of_a_large_image_are_not_begun() -> None:
    """Separating them would hold a thread long after the deadline; the mask alone is answered."""
    data = encode(Image.new("RGB", (1025, 1024)), "PNG")
    async with predicting() as (predictor, _):
        with pytest.raises(ImageTooLarge, match=r"with instances=true, at most 1,048,576 are answered"):
            await predictor.answer(data, SegmentOptions(instances=True))
        small = encode(Image.fromarray(picture(64, 48)), "PNG")
        answer = await predictor.answer(small, SegmentOptions(instances=True))
        assert isinstance(answer, Segmentation)
        assert answer.instance_count


async def test_what_takes_more_memory_than_there_is_is_refused() -> None:
    """By its price, before a pixel is decoded."""
    data = encode(Image.new("RGB", (300, 200)), "PNG")
    async with predicting(decode_budget_bytes=2**20) as (predictor, _):
        with pytest.raises(ImageTooLarge, match=r"bytes to answer in tiles; 1,048,576 are set aside"):
            await predictor.answer(data, OPTIONS)
