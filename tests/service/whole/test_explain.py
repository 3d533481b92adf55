"""What a score depends on, asked of a real server without TensorFlow's engine."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from service.responses import ExplainResponse
from tests.images import encode
from tests.service.wire import metric
from tests.worlds import Server
from training.golden import draw_digit

SIDE = 28


@pytest.fixture(scope="module")
def digit() -> Image.Image:
    """A drawn digit in a corner of a field that is empty but for it."""
    return Image.fromarray(draw_digit(np.random.default_rng(1), SIDE, SIDE))


def test_a_drawn_digit_is_found(guarded: Server, digit: Image.Image) -> None:
    """Its score depends on its strokes: cells with ink matter several times as much as those without, and the
    one that matters most has ink. The request is counted by its own route, its image as one.
    """
    images = {"model": "digits", "outcome": "ok"}
    requests = {"route": "/explain", "model": "digits", "status": "200"}
    before = metric(guarded, "striate_images_total", **images)
    asked = metric(guarded, "striate_requests_total", **requests)
    answer = httpx.post(f"{guarded.url}/explain?model=digits&grid=7", files={"file": encode(digit, "PNG")})
    told = ExplainResponse.model_validate(answer.json())
    (found,) = told.results
    named = httpx.post(f"{guarded.url}/classify", files={"file": encode(digit, "PNG")}).json()["results"][0]
    assert found.label == named["label"]
    assert found.score == pytest.approx(named["score"], abs=0.01)
    lost = np.array(found.map)
    ink = np.asarray(digit.convert("L"), np.float64).reshape(7, 4, 7, 4).mean((1, 3))
    ink = np.abs(ink - np.median(ink)) > 20
    assert lost.shape == ink.shape
    assert lost[ink].mean() > 3 * abs(lost[~ink].mean())
    assert ink[np.unravel_index(lost.argmax(), lost.shape)]
    assert found.least_score < found.score
    assert metric(guarded, "striate_images_total", **images) == before + 2
    assert metric(guarded, "striate_requests_total", **requests) == asked + 1
    assert "engine;dur=" in answer.headers["server-timing"]


def test_it_is_laid_over_the_photo(guarded: Server, digit: Image.Image) -> None:
    """To who wants a PNG, at the photo's own size."""
    large = encode(digit.convert("RGB").resize((300, 200)), "JPEG")
    answer = httpx.post(f"{guarded.url}/explain", files={"file": large}, headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.size, picture.mode) == ((300, 200), "RGB")
    # It has colours, which the photo has not.
    assert np.ptp(np.asarray(picture, np.int64), axis=-1).max() > 50


@pytest.mark.parametrize(
    ("query", "accept", "status", "code", "says"),
    [
        ("?target=seven", "*/*", 422, "invalid_parameter", "target: 'seven' is no label of this model."),
        ("?grid=17", "*/*", 422, "invalid_parameter", "grid: input should be less than or equal to 16."),
        ("?threshold=0.5", "*/*", 422, "invalid_parameter", "'threshold' is no parameter here."),
        ("?model=cats", "*/*", 404, "model_not_found", "There is no live model of that name."),
        ("", "text/html", 406, "not_acceptable", "/explain answers with application/json or image/png."),
    ],
)
def test_what_cannot_be_explained_is_refused(
    guarded: Server, digit: Image.Image, query: str, accept: str, status: int, code: str, says: str
) -> None:
    """As everywhere: what was wrong, and what would be right."""
    answer = httpx.post(
        f"{guarded.url}/explain{query}", files={"file": encode(digit, "PNG")}, headers={"Accept": accept}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"].startswith(says)


def test_one_image_at_a_time(guarded: Server, digit: Image.Image) -> None:
    """Of two nothing is explained."""
    part = ("file", encode(digit, "PNG"))
    answer = httpx.post(f"{guarded.url}/explain", files=[part, part])
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_images")


def test_a_mask_is_its_own_explanation(client: httpx.Client, digit: Image.Image) -> None:
    """A model whose answer is no label's score is refused by what it does, with those that can be asked."""
    answer = client.post("/explain?model=tiny-segmentation", files={"file": encode(digit, "PNG")})
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_task")
    assert "tiny-segmentation does segmentation." in answer.json()["detail"]
    assert "tiny-classification" in answer.json()["detail"]
    one = client.post("/explain?model=tiny-localization", files={"file": encode(digit, "PNG")})
    assert one.json()["results"][0]["label"] in {"cat", "dog", "Abyssinian", "beagle"}
