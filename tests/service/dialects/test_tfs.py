"""TensorFlow Serving's REST without HTTP: bodies -> what is asked for, and answers, to the letter."""

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest

from service.dialects import Encoded, Most, Pixels
from service.dialects.tfs import answers, requests
from service.errors import EmptyBody, MalformedBody, PayloadTooLarge
from service.manifest import Manifest
from tests.service.manifests import make_input, make_manifest

GREY = make_manifest(input=make_input(2, 3, 1).model_dump())
MOST = Most(rows=3, images=2, image_bytes=100)
FILE, OTHER = b"\x89PNG one", b"\xff\xd8 two"
ONE, TWO = (base64.b64encode(data).decode() for data in (FILE, OTHER))
ROW = [[[1], [2], [3]], [[4], [5], [6]]]
PLAIN = [[1, 2, 3], [4, 5, 6]]


def predict(document: Any) -> Any:
    """Return what is asked for: pixels as lists or files, in a tuple with `columns`; or the error's text."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    try:
        question = asyncio.run(requests.to_predict(body, GREY, MOST))
    except (MalformedBody, EmptyBody, PayloadTooLarge) as error:
        return error.detail
    return _shown(question.asked), question.columns


def _shown(asked: Pixels | Encoded) -> Any:
    return asked.rows.tolist() if isinstance(asked, Pixels) else [*asked.images]


@pytest.mark.parametrize(
    ("instances", "asked"),
    [
        ([ROW, ROW], [ROW, ROW]),
        ([PLAIN], [ROW]),
        ([{"image": ROW}, {"image": PLAIN}, {"image_bytes": [1, 2, 3, 4, 5, 6.0]}], [ROW] * 3),
        ([{"b64": ONE}, {"b64": TWO}], [FILE, OTHER]),
        ([{"image": {"b64": ONE}}], [FILE]),
        ([{"image_bytes": {"b64": ONE}, "key": "1"}], [FILE]),
        ([{"data": ONE, "target": 0}], [FILE]),
        ([ONE, f"data:image/png;base64,{TWO}"], [FILE, OTHER]),
    ],
)
def test_rows_are_pixels_or_files(instances: list[Any], asked: list[Any]) -> None:
    """Every form of a row that clients of TensorFlow Serving and KServe send means what it does there."""
    assert predict({"instances": instances}) == (asked, False)
    assert predict({"signature_name": "serving_default", "instances": instances, "id": 1}) == (asked, False)
    assert predict(json.dumps({"instances": instances}, indent=8).encode()) == (asked, False)


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ([ROW, ROW], [ROW, ROW]),
        ({"image": [PLAIN]}, [ROW]),
        ({"image": [{"b64": ONE}, {"b64": TWO}]}, [FILE, OTHER]),
        ({"image": {"b64": ONE}}, [FILE]),
        ({"image_bytes": [ONE]}, [FILE]),
        ({"b64": ONE}, [FILE]),
        ([{"b64": ONE}], [FILE]),
        (ONE, [FILE]),
    ],
)
def test_columns_are_pixels_or_files(inputs: Any, asked: list[Any]) -> None:
    """A column is the whole tensor, or files, with or without the input's name."""
    assert predict({"inputs": inputs}) == (asked, True)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"", "no body"),
        (b" \n", "not valid JSON"),
        (b"{", "not valid JSON"),
        ([1], "must be an object"),
        ({}, "has neither of instances and inputs. Expected: "),
        ({"instances": [ROW], "inputs": [ROW]}, "has both of instances and inputs"),
        (
            {"signature_name": "other", "instances": [ROW]},
            "signature_name is 'other'; there is one signature",
        ),
        ({"signature_name": 1, "instances": [ROW]}, "signature_name is a number"),
        ({"signature_name": [], "instances": [ROW]}, "signature_name is an array"),
        ({"instances": []}, "instances is empty"),
        ({"instances": None}, "instances is null"),
        ({"instances": {"image": ROW}}, "instances is an object: an array"),
        ({"instances": [1, 2]}, "instances[0] is no list"),
        ({"instances": ROW}, "instances[0][0] is too short: 3 are due"),
        ({"instances": [ROW, ROW[:1]]}, "instances[1] is too short: 2 are due"),
        ({"instances": [ROW] * 4}, "instances has 4 images of 6 numbers: at most 3"),
        ({"instances": [{"image": ROW}] * 4}, "instances has 4 images: at most 3"),
        ({"instances": [{"b64": ONE}] * 3}, "instances has 3 images: at most 2"),
        (
            {"instances": [ROW, {"image": ROW}]},
            "instances holds an array and an object; all are to be of one",
        ),
        ({"instances": [{"image": ROW}, None]}, "instances holds an object and null"),
        ({"instances": [{"image": ROW}, {"b64": ONE}]}, "as files and images as pixels"),
        ({"instances": [{"photo": ROW}]}, "instances[0] has 'photo', which is no input: its input is"),
        ({"instances": [{"image": ROW, "x": 1}]}, "instances[0] has 'x', which is no input"),
        ({"instances": [{"key": 1}]}, 'instances[0] has no image: it needs "image" alone'),
        ({"instances": [{"image": ROW, "data": ONE}]}, "instances[0] has image and data"),
        (
            {"instances": [{"image": ROW}, {"image": [[[1], [256], [3]], [[4], [5], [6]]]}]},
            "instances[1].image[0][1][0] is 256",
        ),
        ({"instances": [{"image": 1}]}, "instances[0].image is a number"),
        ({"instances": [{"b64": "_-=="}]}, "instances[0]: An image is not valid base64"),
        ({"instances": [{"b64": 1}]}, "instances[0] is a number: an encoded image is a text"),
        ({"instances": [{"b64": "A" * 200}]}, "At most 100 bytes"),
        ({"instances": [[[["1"], [2], [3]], [[4], [5], [6]]]]}, "instances[0][0][0][0] is a text"),
        ({"inputs": {"photo": [ROW]}}, "inputs has 'photo'"),
        ({"inputs": {"image": {"x": 1}}}, "inputs.image is an object"),
        ({"inputs": {"image": ROW}}, "inputs.image[0][0] is too short"),
        ({"inputs": {"image": [ROW, {"b64": ONE}]}}, "inputs.image[1] is an object: pixels"),
        ({"inputs": 1}, "inputs is a number"),
    ],
)
def test_what_is_wrong_is_named(document: Any, told: str) -> None:
    """Each fault is told by its place and by what would be right, and none is guessed away."""
    found = predict(document)
    assert isinstance(found, str)
    assert told in found


@pytest.mark.parametrize(
    ("document", "asked"),
    [
        ({"examples": [{"image": {"b64": ONE}}, {"image": {"b64": TWO}}]}, [FILE, OTHER]),
        ({"examples": [{"image": [1, 2, 3, 4, 5, 6]}]}, [ROW]),
        ({"examples": [{"image": ROW}]}, [ROW]),
        ({"context": {"image": {"b64": ONE}}, "examples": [{}, {"image": {"b64": TWO}}]}, [FILE, OTHER]),
    ],
)
def test_examples_are_images_with_what_they_have_in_common(document: Any, asked: Any) -> None:
    """`:classify` takes features, of which the image may be common to all."""
    assert _shown(asyncio.run(requests.to_classify(json.dumps(document).encode(), GREY, MOST))) == asked


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"examples": []}, "examples is missing or no list"),
        ({"instances": [ROW]}, "examples is missing"),
        ({"examples": [ROW]}, "no list of objects"),
        ({"context": 1, "examples": [{"image": ROW}]}, "context is a number"),
        ({"examples": [{"x": ROW}]}, r"examples\[0\] has 'x'"),
    ],
)
def test_examples_that_are_none_are_refused(document: Any, told: str) -> None:
    """What is missing or of another kind is named."""
    with pytest.raises(MalformedBody, match=told):
        asyncio.run(requests.to_classify(json.dumps(document).encode(), GREY, MOST))


def manifest(task: str, labels: tuple[str, ...] = ("cat", "dog")) -> Manifest:
    """Return a manifest of that task, whose masks are 1 x 2."""
    return make_manifest(task=task, labels=labels, input=make_input(1, 2, 3).model_dump(), threshold=0.5)


def row(**values: Any) -> dict[str, Any]:
    """Return a row of float32."""
    return {name: np.array(value, np.float32) for name, value in values.items()}


def test_one_output_is_a_value_and_several_are_named() -> None:
    """By rows and by columns, nested, with the float32's shortest decimals; familiarity is not among them."""
    scores = [row(scores=[0.2, 0.8], familiarity=0.5), row(scores=[1, 0], familiarity=0.5)]
    told = make_manifest(labels=("cat", "dog"))
    assert answers.predictions(scores, told) == b'{"predictions":[[0.2,0.8],[1.0,0.0]]}'
    assert answers.outputs(scores, told) == b'{"outputs":[[0.2,0.8],[1.0,0.0]]}'
    boxes = [row(scores=[0.2, 0.8], box=[0, 0.5, 1, 1])]
    told = manifest("localization")
    expected = b'{"predictions":[{"scores":[0.2,0.8],"box":[0.0,0.5,1.0,1.0]}]}'
    assert answers.predictions(boxes, told) == expected
    assert answers.outputs(boxes, told) == b'{"outputs":{"scores":[[0.2,0.8]],"box":[[0.0,0.5,1.0,1.0]]}}'
    masks = [row(mask=[[[0.5], [1]]])]
    told = manifest("segmentation")
    assert answers.predictions(masks, told) == b'{"predictions":[[[[0.5],[1.0]]]]}'


def test_results_are_all_labels_the_highest_first() -> None:
    """Labels that score the same are in the order of the model."""
    rows = [row(scores=[0.25, 0.5, 0.25])]
    told = answers.results(rows, make_manifest(labels=("a", "b", "c")))
    assert told == b'{"results":[[["b",0.5],["a",0.25],["c",0.25]]]}'


def test_a_status_serves_clients_of_both() -> None:
    """TensorFlow Serving's states, the newest first, and KServe's two members beside them."""
    states = [
        answers.VersionState(2, "END", "its files are damaged"),
        answers.VersionState(10, "AVAILABLE"),
    ]
    assert answers.status("shapes", states, ready=True) == {
        "name": "shapes",
        "ready": True,
        "model_version_status": [
            {"version": "10", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
            {
                "version": "2",
                "state": "END",
                "status": {"error_code": "FAILED_PRECONDITION", "error_message": "its files are damaged"},
            },
        ],
    }


def test_metadata_is_the_signature() -> None:
    """As TensorFlow Serving writes it, sizes as texts; clients read dtype and tensor_shape."""
    found = answers.metadata(GREY)
    assert found["model_spec"] == {"name": "shapes", "signature_name": "", "version": "2"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image"] == {
        "dtype": "DT_UINT8",
        "tensor_shape": {
            "dim": [{"size": size, "name": ""} for size in ("-1", "2", "3", "1")],
            "unknown_rank": False,
        },
        "name": "serving_default_image:0",
    }
    assert signature["outputs"]["scores"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in signature["outputs"]["scores"]["tensor_shape"]["dim"]] == ["-1", "3"]
    assert signature["method_name"] == "tensorflow/serving/predict"
