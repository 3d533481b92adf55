"""The pages on which images are tried and models explained, walked through as people do."""

import io
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests import browser
from tests.pages import Visit, chromium, dropped, run_all, shown_answer, visiting
from tests.worlds import Server, serving
from training.golden import draw_pet

pytestmark = browser.needed
__all__ = ["chromium"]

EVIL = "<img src=x onerror=alert(1)>"


def encoded(size: tuple[int, int] = (320, 240), kind: str = "PNG", seed: int = 0, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_pet(np.random.default_rng(seed), *size)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_someone_new_learns_what_this_is(openvino_server: Server, chromium: Browser, tmp_path: Path) -> None:
    """From the address alone: a sample's answer with its time, its scores by another threshold without asking
    again, and the request as code that gives the same answer.
    """
    with visiting(chromium, openvino_server.url, permissions=["clipboard-read", "clipboard-write"]) as visit:
        page = visit.page
        page.goto(f"{openvino_server.url}/")
        page.locator(".sample img[src]").first.wait_for()
        loaded = [each for each in visit.asked if "/samples/" not in each.url]
        assert sum(each.sizes()["responseBodySize"] for each in loaded) < 60_000
        visit.check()
        page.locator(".sample", has_text="tiny-classification").first.click()
        expect(page.locator("#said b")).to_have_text(re.compile(r"(Abyssinian|beagle|cat|dog).* \("))
        assert page.locator("#told .bars li").count() == 2
        assert re.search(r"decode [\d.]+ ms.*compute [\d.]+ ms.*way and", visit.text("#time"), re.DOTALL)
        page.click("#copy")
        assert page.evaluate("navigator.clipboard.readText()") == page.locator("#code").text_content()
        page.locator("#threshold").fill("0.99")
        expect(page.locator("#told")).to_contain_text("No label reaches this score.")
        assert "threshold=0.99" in visit.text("#code")
        page.click("#own")
        page.locator("#top").fill("1")
        assert page.locator("#told .bars li").count() == 1
        assert len(visit.posts()) == 1
        run_all(visit, tmp_path)


def test_a_mask_and_the_model_behind_it(openvino_server: Server, chromium: Browser, tmp_path: Path) -> None:
    """A mask lies on its image as strong as asked for, separate objects are listed, and the page of the
    model that training has exported explains it: a U-Net drawn as a U, each number, live samples.
    """
    with visiting(chromium, openvino_server.url) as visit:
        page = visit.page
        page.goto(f"{openvino_server.url}/?model=tiny-segmentation&sample=0")
        expect(page.locator("canvas.mask")).to_be_visible()
        (answer,) = shown_answer(visit)["results"]
        assert sum(each["fraction"] for each in answer["classes"]) == pytest.approx(1, abs=1e-5)
        page.locator("#opacity").fill("0.2")
        assert page.locator("canvas.mask").evaluate("mask => getComputedStyle(mask).opacity") == "0.2"
        page.check("#objects")
        expect(page.locator("#told caption")).to_contain_text("object")
        run_all(visit, tmp_path)
        before = len(visit.posts())
        # As it is dragged: what it passes over is not asked.
        page.locator("#threshold").evaluate(
            """slider => { for (const value of [0.2, 0.3, 0.4]) {
                slider.value = value;
                slider.dispatchEvent(new Event('input'));
            } }"""
        )
        expect(page.locator("#main[aria-busy=false] #code")).to_contain_text("threshold=0.4")
        assert [re.findall("threshold=([0-9.]+)", each) for each in visit.posts()[before:]] == [["0.4"]]
        visit.check()
        page.click("text=About tiny-segmentation")
        expect(page.locator("h1")).to_have_text("tiny-segmentation 1")
        expect(page.locator("#layers")).to_contain_text("(3*3*3 + 1) * 16 = 448")
        expect(page.locator("#samples .words")).to_have_count(6)
        tops = [float(each.get_attribute("y") or "") for each in page.locator(".network .block").all()]
        bottom = len(tops) // 2
        assert tops[: bottom + 1] == sorted(set(tops))
        assert tops[bottom:] == sorted(set(tops), reverse=True)
        assert page.locator(".edge.skips").count() == bottom
        page.click("#measure")
        expect(page.locator("#measured caption").first).to_have_text("Layers on one thread", timeout=20_000)


def test_what_an_answer_depends_on(openvino_server: Server, chromium: Browser) -> None:
    """On a click the map lies on the photo, as strong as asked for and with what it means in words; with
    another question it is gone, and for masks there is none.
    """
    accept = {"Accept": "application/json"}
    models = httpx.get(f"{openvino_server.url}/models", headers=accept).json()["models"]
    (samples,) = [each["samples"] for each in models if each["name"] == "tiny-localization"]
    sample = httpx.get(httpx.URL(openvino_server.url).join(samples[0])).content
    answer = httpx.post(f"{openvino_server.url}/explain?model=tiny-localization", files={"file": sample})
    (found,) = answer.json()["results"]
    with visiting(chromium, openvino_server.url) as visit:
        page = visit.page
        page.goto(f"{openvino_server.url}/?model=tiny-localization&sample=0")
        page.click("#look")
        expect(page.locator("#looked")).to_have_text(found["meaning"])
        pixels = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 8, 8).data]"
        strength = np.array(page.locator("canvas.heat").evaluate(pixels)).reshape(8, 8, 4)[..., 3] / 255
        expected = np.clip(np.array(found["map"]) / max(0.2, np.max(found["map"])), 0, 1)
        assert strength == pytest.approx(expected, abs=0.02)
        assert page.locator("canvas.heat").bounding_box() == page.locator(".photo img").bounding_box()
        page.get_by_label("Map").fill("0.3")
        assert page.locator("canvas.heat").evaluate("map => getComputedStyle(map).opacity") == "0.3"
        assert page.locator(".photo rect.box").count() == 1
        visit.check()
        page.select_option("#model", "tiny-segmentation")
        expect(page.locator("canvas.mask:not(.heat)")).to_be_visible()
        expect(page.locator("#look")).to_be_hidden()
        assert page.locator("canvas.heat").count() == 0


def test_a_phones_photo_lies_under_its_box(openvino_server: Server, chromium: Browser) -> None:
    """Of 24 megapixels and turned: drawn upright from the client's own copy, the box where it is told."""
    photo = encoded((6000, 4000), "JPEG", quality=60, exif=_turned())
    with visiting(chromium, openvino_server.url) as visit:
        page = visit.page
        page.goto(f"{openvino_server.url}/?model=tiny-localization")
        page.locator("#options:enabled").wait_for()
        page.set_input_files("#files", {"name": "phone.jpg", "mimeType": "image/jpeg", "buffer": photo})
        box, image = page.locator(".photo rect.box"), page.locator(".photo img")
        box.wait_for()
        (answer,) = shown_answer(visit)["results"]
        assert (answer["width"], answer["height"]) == (4000, 6000)
        size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
        assert image.evaluate(size) == [4000, 6000]
        around, inner, part = image.bounding_box(), box.bounding_box(), answer["box_normalized"]
        assert around
        assert inner
        assert around["width"] / around["height"] == pytest.approx(2 / 3, rel=0.01)
        # A line of 3 pixels is drawn around it.
        wide, high = (part["x_max"] - part["x_min"]), (part["y_max"] - part["y_min"])
        assert inner["x"] + 1.5 == pytest.approx(around["x"] + part["x_min"] * around["width"], abs=2)
        assert inner["y"] + 1.5 == pytest.approx(around["y"] + part["y_min"] * around["height"], abs=2)
        assert inner["width"] - 3 == pytest.approx(wide * around["width"], abs=3)
        assert inner["height"] - 3 == pytest.approx(high * around["height"], abs=3)


def test_many_images_from_everywhere(openvino_server: Server, chromium: Browser) -> None:
    """Of 16 that are dropped each has its answer, and one that is none says why in the service's words; what
    they are called stays text. Where another model is chosen while they are asked, all are its answers. One
    that is pasted or photographed takes their place.
    """
    many = [(f"{EVIL}{number}.png", "image/png", encoded(seed=number)) for number in range(15)]
    broken = ("notes.png", "image/png", b"no image at all")
    refusal = httpx.post(
        f"{openvino_server.url}/classify", content=broken[2], headers={"Content-Type": "image/png"}
    )
    with visiting(chromium, openvino_server.url) as visit:
        page = visit.page
        page.goto(f"{openvino_server.url}/")
        page.locator("#options:enabled").wait_for()
        dropped(visit, "#drop", "drop", [*many, broken])
        expect(page.locator("#main[aria-busy=false] #gallery .tile")).to_have_count(16)
        page.locator("#gallery .failed").click()
        expect(page.locator("#problem p")).to_have_text(refusal.json()["detail"])
        # A browser itself tells of each refusal on the console.
        assert all(str(refusal.status_code) in each for each in visit.complaints)
        visit.complaints.clear()
        page.locator("#gallery .tile").nth(3).click()
        expect(page.locator("#problem")).to_be_hidden()
        assert f"{EVIL}3.png" in visit.text("#code")
        assert page.locator("img[src=x]").count() == 0
        visit.check()
        _change_while_asked(visit, many, "tiny-localization")
        dropped(visit, "body", "paste", [("pasted.png", "image/png", encoded(seed=99))])
        expect(page.locator("#code")).to_contain_text("pasted.png")
        expect(page.locator("#gallery")).to_be_hidden()
        page.click("#photograph")
        page.click("#take")
        expect(page.locator("#code")).to_contain_text("photograph.jpg")


def _change_while_asked(visit: Visit, files: list[tuple[str, str, bytes]], model: str) -> None:
    dropped(visit, "#drop", "drop", files)
    visit.page.select_option("#model", model)
    settled = visit.page.locator("#main[aria-busy=false] #gallery .tile")
    expect(settled).to_have_count(len(files))
    for tile in visit.page.locator("#gallery .tile").all():
        tile.click()
        answer = shown_answer(visit)
        assert (answer["model"]["name"], "box" in answer["results"][0]) == (model, True)
    # Of the model before nothing more was asked, of this one each image once.
    posts = [f"model={model}&" in each for each in visit.posts()[-len(files) - 1 :]]
    assert posts == [False] + len(files) * [True]


def test_what_is_chosen_stays_while_models_come(openvino_server: Server, chromium: Browser) -> None:
    """Whoever has begun before every model is live keeps what was set, and the place at the keyboard."""
    told: list[int] = []

    def growing(route: Route) -> None:
        found = route.fetch()
        told.append(min(len(told) + 2, 3))
        models = found.json()["models"][: told[-1]]
        route.fulfill(response=found, json={"models": models, "complaint": "One is on its way."})

    with visiting(chromium, openvino_server.url) as visit:
        page = visit.page
        page.clock.install()
        page.route("**/models", growing)
        page.goto(f"{openvino_server.url}/")
        expect(page.locator(".sample")).to_have_count(4)
        page.select_option("#model", "tiny-localization")
        page.locator("#threshold").fill("0.7")
        page.locator(".sample").nth(3).focus()
        page.clock.fast_forward(3_000)
        expect(page.locator(".sample")).to_have_count(6)
        expect(page.locator(".sample").nth(3)).to_be_focused()
        page.locator("#problem button").focus()
        with page.expect_response("**/models"):
            page.clock.fast_forward(6_000)
        assert told == [2, 3, 3]
        expect(page.locator("#problem button")).to_be_focused()
        expect(page.locator("#problem p")).to_have_text("One is on its way.")
        expect(page.locator("#threshold-told")).to_have_text("0.70")
        expect(page.locator("#model")).to_have_value("tiny-localization")


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_by_keyboard_on_a_phone_in_the_dark(openvino_server: Server, chromium: Browser) -> None:
    """Nothing needs a mouse, nothing is wider than 360 pixels, and the dark colours are legible."""
    with visiting(chromium, openvino_server.url, width=360, dark=True) as visit:
        page = visit.page
        page.goto(f"{openvino_server.url}/")
        page.locator(".sample img[src]").first.wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        _tab_to(visit, ".sample")
        page.keyboard.press("Enter")
        page.locator("#answer").wait_for()
        _tab_to(visit, "#tab-curl")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#tab-python")).to_be_focused()
        assert "urlopen" in visit.text("#code")
        visit.check()
        page.goto(f"{openvino_server.url}/models")
        visit.check()
        _tab_to(visit, ".card h2 a")
        page.keyboard.press("Enter")
        page.locator("#field").wait_for()
        _tab_to(visit, "#field")
        before = page.locator(".window").get_attribute("width")
        page.keyboard.press("ArrowUp")
        assert float(page.locator(".window").get_attribute("width") or "") < float(before or "")


def _tab_to(visit: Visit, selector: str) -> None:
    for _ in range(200):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not to be reached by the keyboard")


def test_a_service_that_goes_and_comes_back(digits_dir: Path, chromium: Browser) -> None:
    """While it is away the page says so, and the same image is answered when it is there again."""
    options = {"engine": "openvino", "default_classify": "digits"}
    with serving(digits_dir, **options) as server:
        port = str(httpx.URL(server.url).port)
        with visiting(chromium, server.url) as visit:
            page = visit.page
            page.goto(f"{server.url}/")
            page.locator(".sample").first.click()
            page.locator("#answer").wait_for()
            server.process.terminate()
            server.process.wait(30)
            page.set_input_files(
                "#files", {"name": "a.png", "mimeType": "image/png", "buffer": encoded((64, 64))}
            )
            expect(page.locator("#problem")).to_contain_text("The service cannot be reached.")
            visit.complaints.clear()
            with serving(digits_dir, port=port, **options):
                page.click("#problem button")
                expect(page.locator("#problem")).to_be_hidden()
                expect(page.locator("#code")).to_contain_text("a.png")
