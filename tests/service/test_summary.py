"""The summary: what a manifest tells, for programs, terminals and browsers."""

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest

from service import summary
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.inference.predictor import Predictor
from service.manifest import Input
from service.telemetry.metrics import Metrics
from service.versions.golden import Deviation
from service.versions.repository import Live
from tests.service.manifests import make_fields, make_input, make_manifest, with_familiarity

MakeLive = Callable[..., Live]
EVIL = "<script>alert('&\"')</script>"


@pytest.fixture
def make_live() -> Iterator[MakeLive]:
    """Give a maker of live versions whose engine is never asked."""
    with Hands(Settings()) as hands:

        def make(**changes: Any) -> Live:
            engine = Engine("openvino", "float32", lambda images, solo: {}, 1, 32, "one at a time")
            predictor = Predictor(make_manifest(**changes), engine, Settings(), hands, Metrics())
            return Live(predictor, [Deviation("scores", "one", 0.001, 0.03)])

        yield make


class Page(HTMLParser):
    """Collects a page's text and tags; every tag that must be closed is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data


def test_headline_is_a_sentence() -> None:
    """The figure that stands for the model is told with its name and on how many images it was measured."""
    assert summary.headline(make_manifest()) == "accuracy 0.9950 on 10,000 test images"


def judged_fields() -> dict[str, Any]:
    """Return an evaluation that is no better than its baseline, and says so."""
    beside = {"accuracy": {"value": 0.996, "answer": "always saying disc"}}
    remark = "accuracy 0.9950 is no better than always saying disc: that alone gives 0.9960."
    evaluation: dict[str, Any] = make_fields()["evaluation"]
    return evaluation | {"baselines": beside, "remarks": [remark]}


def test_baselines_and_remarks_are_told(make_live: MakeLive) -> None:
    """In each form, beside a figure stands what a constant answer gets, and what is wrong is said."""
    live = make_live(evaluation=judged_fields())
    entry = orjson.loads(orjson.dumps(summary.overview(live)))["evaluation"]
    assert entry["baselines"]["accuracy"] == {"value": 0.996, "answer": "always saying disc"}
    text = summary.text(live)
    remark = "Note: accuracy 0.9950 is no better than always saying disc: that alone gives 0.9960."
    assert remark in text.splitlines()
    assert "accuracy  0.9950    0.9960 by always saying disc" in text.splitlines()
    page = Page(summary.html(live)).text
    assert remark in page
    assert "0.9960 by always saying disc" in page
    assert "always saying disc gives 0.9960" in summary.overview_text([live])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"temperature": 1.25},
            {
                "Temperature": "1.2500: what the logits are divided by, fitted on validation images",
                "Threshold": "0 unless `threshold` asks for another: labels of a lower score are left out",
                "Labels told": "the 5 best unless `top_k` asks for other than 5",
            },
        ),
        (
            {"groups": ("round", "angular", "angular"), "threshold": 0.25},
            {
                "Threshold": "0.25 unless `threshold` asks for another: "
                "labels of a lower score are left out; the group is null where its own score is lower",
                "Group told": "of round (1), angular (2): the one whose labels' scores have the largest sum, "
                "which is its score",
            },
        ),
        (
            {"label_thresholds": (0.25, 0.5, 0.75)},
            {
                "Threshold": "each label's own (disc 0.25, box 0.5, star 0.75) unless `threshold` asks for "
                "another: labels of a lower score are left out",
                "Labels told": "all that count, for they do not exclude each other",
            },
        ),
        (
            {"task": "localization", "threshold": 0.25, "temperature": 1.0},
            {
                "Temperature": "1: scores are the network's own",
                "Threshold": "0.25 unless `threshold` asks for another: the label of a lower score is null",
            },
        ),
        (
            {"task": "segmentation", "labels": ("background", "nucleus"), "threshold": 0.5},
            {
                "Temperature": "not stated by its manifest",
                "Threshold": "0.5 unless `threshold` asks for another: "
                "the probability of nucleus from which on a pixel is that",
                "Objects": "with `instances=true` a watershed at 32x32, the 1,000 largest told",
            },
        ),
    ],
)
def test_what_decides_an_answer_is_told(
    make_live: MakeLive, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    """In each form: size, colour, normalisation, engine, temperature, threshold, top_k, golden tolerance."""
    live = make_live(**changes)
    told = orjson.loads(orjson.dumps(summary.overview(live)))
    always = {
        "Size": "stretched to exactly 32x32 (bilinear, with antialiasing), not keeping its aspect",
        "Colour": "sRGB; what has a colour profile is converted",
        "Normalisation": "pixels / 255",
        "Engine": "openvino in float32, one at a time",
        "Golden scores": "0.001 from training's answers at most, 0.03 is allowed",
    }
    for name, value in (always | expected).items():
        assert told["answering"][name] == value
        assert f"{name} {value}" in [" ".join(line.split()) for line in summary.text(live).splitlines()]
        assert value in Page(summary.html(live)).text
    assert told["threshold"] == changes.get("threshold", 0.0)
    assert told["temperature"] == changes.get("temperature")
    assert told["top_k"] == (None if "task" in changes else 5)
    assert told["tolerance"] == {"scores": 0.03, "box": 0.02, "mask": 0.01}


def test_tiles_are_told_in_words(make_live: MakeLive) -> None:
    """How large they are, how far they overlap, and what becomes of their answers."""
    spec = make_input(64, 96, 3, "tile", overlap=16)
    live = make_live(task="segmentation", labels=("background", "nucleus"), input=spec.model_dump())
    told = summary.overview(live)["answering"]
    assert told["Size"] == (
        "cut at its own scale into tiles of 96x64 that share 16 pixels or more; each is answered, and the "
        "answers are put together"
    )
    assert told["Tiles"] == "their masks are blended: what is nearer to a tile's middle counts more"
    assert told["Mask"] == "the blended probabilities at the image's own size"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            make_input(48, 64, 3, "letterbox"),
            "resized (bilinear, with antialiasing) to fit into 64x48, keeping its aspect, and centred; the "
            "rest is grey (127 of 255), and answers are of the image alone",
        ),
        (
            make_input(32, 32, 3, "crop", 0.875),
            "cut to its middle square, 87.5 % of the largest, and resized (bilinear, with antialiasing) to "
            "32x32; what lies outside is not looked at",
        ),
        (
            make_input(32, 48, 3, "crop"),
            "cut to its middle of the aspect 48:32, and resized (bilinear, with antialiasing) to 48x32; what "
            "lies outside is not looked at",
        ),
    ],
)
def test_each_resize_rule_is_told_in_words(make_live: MakeLive, spec: Input, words: str) -> None:
    """What the service does to an image first stands in every form of the summary."""
    live = make_live(input=spec.model_dump())
    assert summary.overview(live)["answering"]["Size"] == words
    assert words in " ".join(summary.text(live).split())
    assert words in Page(summary.html(live)).text
    assert summary.overview(live)["input"]["resize"] == spec.resize


def test_familiarity_is_told_with_its_false_alarms(make_live: MakeLive) -> None:
    """In each form: what it is made of, below which level an image is unlike, and how often that is wrong."""
    live = make_live(**with_familiarity())
    told = orjson.loads(orjson.dumps(summary.overview(live)))
    assert (told["familiarity"]["level"], told["familiarity"]["interval"]) == (0.01, [0.0054, 0.0288])
    assert told["tolerance"]["familiarity"] == 0.05
    fact = (
        "the share of 300 validation images that look at least as unusual: as far from 2,048 training images "
        "by 128 means over pool; below 0.01 it is unlike what the model knows, which is a false alarm for "
        "1.2 % of 400 test images (0.5 to 2.9 %). It has no parameters: what it computes with are statistics"
    )
    assert told["answering"]["Familiarity"] == fact
    assert f"Familiarity {fact}" in [" ".join(line.split()) for line in summary.text(live).splitlines()]
    assert fact in Page(summary.html(live)).text
    assert "Total params: 1,234" in summary.text(live).splitlines()


def test_a_model_without_familiarity_tells_of_none(make_live: MakeLive) -> None:
    """Neither what it is nor how far it may be off."""
    told = orjson.loads(orjson.dumps(summary.overview(make_live())))
    assert told["familiarity"] is None
    assert "Familiarity" not in told["answering"]


def test_overview_is_json(make_live: MakeLive) -> None:
    """An entry of the list names model, engine, totals and how close the golden answers came."""
    entry = orjson.loads(orjson.dumps(summary.overview(make_live())))
    assert (entry["name"], entry["version"], entry["task"]) == ("shapes", 2, "classification")
    assert (entry["engine"], entry["precision"]) == ("openvino", "float32")
    assert entry["totals"]["parameters"] == 1234
    assert entry["golden"] == {"scores": 0.001}
    assert entry["labels"] == ["disc", "box", "star"]
    assert entry["groups"] == []


def test_groups_of_labels_are_told(make_live: MakeLive) -> None:
    """For programs parallel to the labels, in a browser group by group; without them not a word."""
    live = make_live(groups=("angular", "round", "angular"))
    assert orjson.loads(orjson.dumps(summary.overview(live)))["groups"] == ["angular", "round", "angular"]
    assert "Labels: angular: disc, star; round: box." in Page(summary.html(live)).text
    plain = make_live()
    assert "Labels: disc, box, star." in Page(summary.html(plain)).text
    assert "group" not in summary.text(plain).lower()


def test_detail_adds_the_layers(make_live: MakeLive) -> None:
    """One model's summary is its overview with layer table, outputs, recipe and date, as JSON."""
    live = make_live()
    told = orjson.loads(orjson.dumps(summary.detail(live)))
    assert told.items() >= orjson.loads(orjson.dumps(summary.overview(live))).items()
    assert told["layers"][0]["parameters_explained"] == "(410 + 1) * 3 = 1,233"
    assert told["created"] == "2026-01-02T03:04:05+00:00"
    assert told["outputs"][0]["shape"] == [3]
    assert told["recipe"] == {"seed": 0}


def test_text_shows_layers_and_totals(make_live: MakeLive) -> None:
    """The terminal's table has a line per layer with how its numbers come about, and the totals."""
    lines = summary.text(make_live()).splitlines()
    assert lines[0] == 'Model: "shapes" version 2 (classification, tiny)'
    (row,) = [line for line in lines if line.startswith("scores (Dense)")]
    assert row.split("  ")[-1] == "(410 + 1) * 3 = 1,233; 3 labels"
    assert "(None, 3)" in row
    assert {"Total params: 1,234", "Trainable params: 1,234", "Non-trainable params: 0"} <= set(lines)


def test_text_columns_are_aligned(make_live: MakeLive) -> None:
    """The columns of the terminal's table start below their headings, however long the cells."""
    layer = make_fields()["layers"][0]
    layers = [layer | {"name": name} for name in ("a", "a_very_long_name_of_a_layer" * 2)]
    lines = summary.text(make_live(layers=layers)).splitlines()
    starts = {line.index("(None, 3)") for line in lines if "(None, 3)" in line}
    assert starts == {lines[1].index("Output shape")}
    assert not any(line.endswith(" ") for line in lines)


def test_overview_text_lists_the_models(make_live: MakeLive) -> None:
    """The terminal's list has a line per model; with no model it is a heading alone."""
    text = summary.overview_text([make_live(), make_live(name="other", version=7)])
    assert [line.split()[0] for line in text.splitlines()[2:-1]] == ["shapes/2", "other/7"]
    assert summary.overview_text([]).splitlines()[0].startswith("Model")


def test_pages_show_the_numbers(make_live: MakeLive) -> None:
    """The browser's pages show name, figures, formulas and labels; a frozen layer is told apart."""
    layer = make_fields()["layers"][0]
    live = make_live(layers=[layer, layer | {"name": "base", "trainable_parameters": 0}])
    page = summary.html(live)
    for text in (
        "shapes 2",
        "1,234",
        "(410 + 1) * 3 = 1,233",
        "disc, box, star",
        "accuracy 0.9950",
        "None x 3",
    ):
        assert text in Page(page).text
    assert page.count('class="frozen"') == 1
    assert 'href="/summary?model=shapes"' in summary.overview_html([live])


@pytest.mark.parametrize("render", [summary.html, lambda live: summary.overview_html([live])])
def test_pages_escape_what_a_manifest_says(make_live: MakeLive, render: Callable[[Live], str]) -> None:
    """No text of a manifest becomes markup in a browser."""
    fields = make_fields()
    layer = fields["layers"][0]
    texts = ("name", "type", "parameters_explained", "output_explained", "note")
    live = make_live(
        description=EVIL,
        labels=(EVIL, "b", "c"),
        layers=[layer | dict.fromkeys(texts, EVIL)],
        data=dict.fromkeys(fields["data"], EVIL),
        input=fields["input"] | {"normalisation": EVIL},
        evaluation=fields["evaluation"]
        | {"headline": EVIL, "figures": {EVIL: 1.0}, "split": EVIL}
        | {"baselines": {EVIL: {"value": 0.5, "answer": EVIL}}, "remarks": (EVIL,)},
    )
    page = Page(render(live))
    assert "script" not in page.tags
    assert EVIL in page.text
