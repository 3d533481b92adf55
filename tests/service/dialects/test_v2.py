"""Infer requests of Open Inference Protocol V2 as they come, byte by byte, and what is answered to them."""

import base64
import io
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.dialects import Encoded, Most, Pixels, outputs_of, shape_of, stacked
from service.dialects.v2 import answers, models, requests
from service.dialects.v2.requests import Inference, Wanted
from service.errors import MalformedBody, PayloadTooLarge
from tests.service.manifests import make_input, make_manifest, with_familiarity

GREY = make_manifest(**with_familiarity(input=make_input(4, 3, 1).model_dump()))
MOST = Most(rows=5, images=4, image_bytes=10_000)
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3, 1)


def jpeg(size: tuple[int, int] = (9, 7)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "JPEG")
    return buffer.getvalue()


def document(shape: Any = (2, 4, 3, 1), datatype: str = "UINT8", **members: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "image", "datatype": datatype, "shape": shape, **members}]}


def binary(size: int) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}}


async def read(
    asked: dict[str, Any] | bytes, tail: bytes = b"", length: str | None = "of the JSON"
) -> Inference:
    head = asked if isinstance(asked, bytes) else orjson.dumps(asked)
    length = str(len(head)) if length == "of the JSON" else length
    return await requests.read(head + tail, length, GREY, MOST)


def rows(inference: Inference) -> Any:
    assert isinstance(inference.asked, Pixels)
    return inference.asked.rows.tolist()


def images(inference: Inference) -> list[bytes]:
    assert isinstance(inference.asked, Encoded)
    return list(inference.asked.images)


@given(count=st.integers(1, 5), seed=st.integers(0, 2**32), indent=st.booleans())
async def test_pixels_are_the_same_in_every_form(count: int, seed: int, indent: bool) -> None:
    """Flat or nested JSON, binary with its size or without: the same rows, with a length or without."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 4, 3, 1), np.uint8)
    data, shape = pixels.tolist(), list(pixels.shape)
    option = orjson.OPT_INDENT_2 if indent else 0
    for nested in (data, pixels.ravel().tolist()):
        text = orjson.dumps(document(shape, data=nested), option=option)
        assert rows(await read(text, length=None)) == data
        assert rows(await read(text)) == data
    for members in (binary(pixels.size), {}):
        assert rows(await read(document(shape, **members), pixels.tobytes())) == data
    assert rows(await read(document(shape[:3], **binary(pixels.size)), pixels.tobytes())) == data


async def test_images_are_the_same_in_every_form() -> None:
    """BYTES in binary form or as base64, of shape [N], [N, 1] or one by itself; and as a file of its own."""
    files = [jpeg((size, 9)) for size in range(9, 12)]
    framed = b"".join(struct.pack("<I", len(file)) + file for file in files)
    texts = [base64.b64encode(file).decode() for file in files]
    for shape in ([3], [3, 1]):
        assert images(await read(document(shape, "BYTES", **binary(len(framed))), framed)) == files
        assert images(await read(document(shape, "BYTES", data=texts))) == files
        assert images(await read(document(shape, "BYTES", data=[[text] for text in texts]))) == files
    for lone in (-1, [-1], [1], [1, 1]):
        assert images(await read(document(lone, "BYTES", data=texts[0]))) == files[:1]
    assert images(await read(document([1, len(files[0])], **binary(len(files[0]))), files[0])) == files[:1]
    raw = await read(files[0], length="0")
    assert images(raw) == files[:1]
    assert raw.outputs == (Wanted("scores", binary=True),)
    assert requests.as_json(raw).outputs == (Wanted("scores", binary=False),)


@pytest.mark.parametrize("padding", [0, 5000])
async def test_a_body_that_came_in_parts_is_the_same(padding: int) -> None:
    """Whether its JSON is the longer part or the tensor behind it; with a length or without."""
    head = orjson.dumps(document(**binary(24)) | {"b": "b" * padding})
    body = bytearray(head + PIXELS.tobytes())
    assert rows(await requests.read(body, str(len(head)), GREY, MOST)) == PIXELS.tolist()
    whole = bytearray(orjson.dumps(document(data=PIXELS.tolist()) | {"b": "b" * padding}))
    for length in (None, str(len(whole))):
        assert rows(await requests.read(bytearray(whole), length, GREY, MOST)) == PIXELS.tolist()


async def test_a_raw_tensor_is_one_image() -> None:
    """A length of 0 and as many bytes as the model's input has: batch 1, outputs in binary form."""
    found = await read(PIXELS[:1].tobytes(), length="0")
    assert rows(found) == PIXELS[:1].tolist()
    with pytest.raises(MalformedBody, match=r"shape \[4, 3, 1\], 12 bytes.*this one has 11 bytes"):
        await read(bytes(11), length="0")


async def test_a_raw_tensor_may_begin_as_a_file_does() -> None:
    """What has the size of the model's input is pixels, whatever the first of them are; but JPEG, PNG, WebP
    are files, and so is what begins as any other and has another size.
    """
    for start in (b"P5 ", b"II*\0", b"MM\0*", b"\0\0\0\x0cftypheic"[:12], b"GIF89a"):
        pixels = start + bytes(12 - len(start))
        assert np.array(rows(await read(pixels, length="0"))).ravel().tolist() == list(pixels)
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP"):
        file = start + bytes(12 - len(start))
        assert images(await read(file, length="0")) == [file]
    assert images(await read(b"II*\0" + bytes(9), length="0")) == [b"II*\0" + bytes(9)]


GOOD = document(data=PIXELS.tolist())
FRAMED = struct.pack("<I", 3) + b"abc"


@pytest.mark.parametrize(
    ("asked", "tail", "text"),
    [
        (GOOD | {"inputs": []}, b"", "exactly one input, 'image'; 0 are given"),
        (GOOD | {"inputs": GOOD["inputs"] * 2}, b"", "2 are given"),
        ({}, b"", "it is missing"),
        ({"inputs": [GOOD["inputs"][0] | {"name": "x"}]}, b"", "called 'image', not 'x'"),
        ({"inputs": [GOOD["inputs"][0] | {"name": [1] * 999}]}, b"", "'image', not an array"),
        (GOOD | {"outputs": [{"name": [1] * 999}]}, b"", "no output an array"),
        (document(datatype="FP32", data=[1.0]), b"", r"UINT8 \(pixels 0..255\) or BYTES"),
        (document([4, 3, 1], data=[1] * 12), b"", r"batch is missing: send shape \[1, 4, 3, 1\]"),
        (document([4, 3], data=[1] * 12), b"", r"batch is missing: send shape \[1, 4, 3, 1\]"),
        (document([1, 4, 3, 3], data=[1] * 36), b"", r"\[N, 4, 3, 1\].*not \[1, 4, 3, 3\]"),
        (document([0, 4, 3, 1], data=[]), b"", "1 to 5 images are taken in one tensor, not 0"),
        (document([6, 4, 3, 1], data=[1] * 72), b"", "1 to 5 images are taken in one tensor, not 6"),
        (document([-1, 4, 3, 1], data=[1] * 12), b"", "none of them negative"),
        (document("2", data=[1]), b"", "shape is a list"),
        (document([True, 4, 3, 1], data=[1] * 12), b"", "shape is a list"),
        (document(), b"", "neither data nor binary_data_size"),
        (document(data=[1], **binary(24)), bytes(24), "send one of them"),
        (document(data=PIXELS.tolist()), b"x", "1 bytes are left over"),
        (document(**binary(25)), bytes(24), "is 25, but only 24 bytes"),
        (document(**binary(23)), bytes(24), "is 23: 1 bytes are left over"),
        (document(**binary(20)), bytes(20), r"takes 24 bytes; 20 are there"),
        (document(parameters={"binary_data_size": "24"}), bytes(24), "binary_data_size is a whole number"),
        (document(parameters={"shared_memory_region": "r"}), b"", "no shared memory"),
        (document(parameters=[1]), b"", "The parameters of the input are an object"),
        (
            document([1], "BYTES", **binary(6)),
            FRAMED[:6],
            "element 0 is said to have 3 bytes, and 2 are left",
        ),
        (document([2], "BYTES", **binary(7)), FRAMED, r"1 elements are there, of shape \[1\] or \[1, 1\]"),
        (document([5], "BYTES", **binary(35)), FRAMED * 5, "1 to 4 encoded images"),
        (document([1], "BYTES", data=["A-Bc"]), b"", r"data\[0\]: .*alphabet for URLs"),
        (document([1], "BYTES", data=[1]), b"", r"data\[0\] is a number"),
        (GOOD | {"id": 7}, b"", "id is a text"),
        (GOOD | {"id": "a" * 1025}, b"", "at most 1,024 signs"),
        (GOOD | {"outputs": [{"name": "nope"}]}, b"", "no output 'nope'. There are: scores, familiarity"),
        (GOOD | {"outputs": {"name": "scores"}}, b"", "outputs is a list"),
        (GOOD | {"parameters": {"binary_data_output": 1}}, b"", "binary_data_output is true or false"),
        (GOOD | {"parameters": {"timeout": "1"}}, b"", "microseconds"),
        (
            GOOD | {"outputs": [{"name": "scores", "parameters": {"classification": -1}}]},
            b"",
            "classification is a whole number",
        ),
        (
            GOOD | {"outputs": [{"name": "familiarity", "parameters": {"classification": 1}}]},
            b"",
            "'familiarity' of shapes has none",
        ),
        (
            GOOD | {"outputs": [{"name": "scores", "parameters": {"shared_memory_region": "r"}}]},
            b"",
            "outputs come in the answer's body",
        ),
    ],
)
async def test_what_is_wrong_is_named_with_what_is_right(
    asked: dict[str, Any], tail: bytes, text: str
) -> None:
    """Names, types, shapes, counts and sizes that contradict each other are never guessed at."""
    with pytest.raises(MalformedBody, match=text):
        await read(asked, tail)


@pytest.mark.parametrize("value", [-1, 256, 300, 1.5, True, None, "1"])
async def test_what_is_no_pixel_is_refused(value: object) -> None:
    """A value out of 0..255 is never wrapped, a fraction never cut, and no word taken for a number."""
    data: list[object] = [*PIXELS.ravel().tolist()]
    data[7] = value
    with pytest.raises(MalformedBody, match=r"whole numbers 0\.\.255"):
        await read(document(data=data))


@pytest.mark.parametrize("length", ["-1", "junk", "", "99999", "1e3", "0x10", "9" * 40])
async def test_a_length_that_is_none_is_refused(length: str) -> None:
    """A header of no number, or of more bytes than there are, is not taken for 0."""
    with pytest.raises(MalformedBody, match="Inference-Header-Content-Length"):
        await read(GOOD, length=length)


async def test_a_length_within_the_document_is_refused() -> None:
    """Half a document is no document, whatever stands behind it."""
    with pytest.raises(MalformedBody, match="not valid JSON"):
        await read(GOOD, length="20")


async def test_images_together_have_a_limit() -> None:
    """Their bytes count together, as in a form."""
    framed = struct.pack("<I", 9000) + bytes(9000)
    with pytest.raises(PayloadTooLarge, match="10,000 bytes"):
        await read(document([2], "BYTES", **binary(2 * len(framed))), framed * 2)


async def test_what_is_not_asked_for_is_passed_over() -> None:
    """Unknown members and parameters, in any order; an output named twice is one; a timeout has a floor."""
    extra = {"model_name": "x", "parameters": {"priority": 1, "sequence_id": 5, "a": "b", "timeout": 1}}
    twice = {"outputs": [{"name": "scores"}, {"name": "scores", "parameters": {"binary_data": True}}]}
    found = await read(extra | GOOD | twice | {"id": "7"})
    assert found.outputs == (Wanted("scores", binary=False),)
    assert (found.id, found.seconds) == ("7", 0.001)
    assert (await read(GOOD | {"parameters": {"timeout": 2_500_000}})).seconds == 2.5
    assert (await read(GOOD | {"parameters": {"timeout": 0}})).seconds is None


async def test_outputs_are_in_the_form_that_is_asked_for() -> None:
    """An output's own wish comes before that of the whole request, which comes before JSON."""
    whole = {"parameters": {"binary_data_output": True}}
    named = {"outputs": [{"name": "familiarity"}, {"name": "scores", "parameters": {"binary_data": False}}]}
    assert (await read(GOOD)).outputs == (Wanted("scores", binary=False),)
    assert (await read(GOOD | whole)).outputs == (Wanted("scores", binary=True),)
    assert (await read(GOOD | whole | {"outputs": []})).outputs == (Wanted("scores", binary=True),)
    assert (await read(GOOD | whole | named)).outputs == (
        Wanted("familiarity", binary=True),
        Wanted("scores", binary=False),
    )


def answered(*outputs: Wanted, id_: str = "") -> tuple[dict[str, Any], bytes]:
    """Answer two rows; return the JSON and what stands behind it."""
    scores = [np.array(values, np.float32) for values in ([0.1, 0.7, 0.2], [0.4, 0.2, 0.4])]
    made = [{"scores": row, "familiarity": np.asarray(0.5, np.float32)} for row in scores]
    body, size = answers.body(Inference(Pixels(PIXELS), outputs, id_), GREY, made)
    size = len(body) if size is None else size
    return orjson.loads(body[:size]), body[size:]


def test_an_answer_is_flat_and_says_its_shape() -> None:
    """In JSON the numbers are the shortest decimals of the same float32; an id comes back."""
    told, tail = answered(Wanted("scores", binary=False), Wanted("familiarity", binary=False), id_="a")
    assert tail == b""
    assert told == {
        "id": "a",
        "model_name": "shapes",
        "model_version": "2",
        "outputs": [
            {
                "name": "scores",
                "datatype": "FP32",
                "shape": [2, 3],
                "data": [0.1, 0.7, 0.2, 0.4, 0.2, 0.4],
            },
            {"name": "familiarity", "datatype": "FP32", "shape": [2], "data": [0.5, 0.5]},
        ],
    }


def test_binary_outputs_stand_behind_in_their_order() -> None:
    """Each says its size; what is JSON has none of it."""
    told, tail = answered(Wanted("familiarity", binary=True), Wanted("scores", binary=True))
    assert [output["parameters"] for output in told["outputs"]] == [
        {"binary_data_size": 8},
        {"binary_data_size": 24},
    ]
    assert "id" not in told
    assert np.frombuffer(tail, "<f4").tolist() == pytest.approx([0.5, 0.5, 0.1, 0.7, 0.2, 0.4, 0.2, 0.4])


@pytest.mark.parametrize("count", [2, 9])
def test_classes_are_the_best_labels_first(count: int) -> None:
    """Score, index and label in one text, of equal scores the lower index; no more than there are labels."""
    best = ["0.700000:1:box", "0.200000:2:star", "0.100000:0:disc", "0.400000:0:disc", "0.400000:2:star"]
    expected = [best[0], best[1], best[3], best[4]] if count == 2 else [*best, "0.200000:1:box"]
    told, _ = answered(Wanted("scores", False, count))
    assert told["outputs"][0]["data"] == expected
    assert told["outputs"][0]["shape"] == [2, min(count, 3)]
    told, tail = answered(Wanted("scores", True, count))
    assert told["outputs"][0]["datatype"] == "BYTES"
    assert told["outputs"][0]["parameters"] == {"binary_data_size": len(tail)}
    assert tail == b"".join(struct.pack("<I", len(text)) + text.encode() for text in expected)


@pytest.mark.parametrize(
    ("wanted", "numbers", "long"),
    [
        (Wanted("scores", binary=False), 2048, False),
        (Wanted("scores", binary=False), 2049, True),
        (Wanted("scores", binary=True, classes=1), 2049, True),
        (Wanted("scores", binary=True), 2049, False),
        (Wanted("scores", binary=True), 200_000, True),
    ],
)
def test_what_takes_long_to_write_is_told(wanted: Wanted, numbers: int, long: bool) -> None:
    """Of two rows: decimals, and labels in whatever form; what is only copied when it is a megabyte."""
    made = [{"scores": np.zeros(numbers, np.float32)}] * 2
    assert answers.is_long(Inference(Pixels(PIXELS), (wanted,)), made) == long


def test_models_are_described_with_one_input() -> None:
    """Metadata and configuration name the same tensors, with the batch and without; labels are told."""
    told = models.metadata(GREY, [1, 2])
    config = models.config(GREY, MOST, models.Engine(32, 2, on_gpu=False))
    assert told["versions"] == ["1", "2"]
    assert told["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 4, 3, 1]}]
    assert told["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}]
    assert orjson.loads(told["properties"]["labels"]) == ["disc", "box", "star"]
    assert told["properties"]["further_outputs"] == "familiarity"
    assert config["max_batch_size"] == 5
    assert config["input"] == [
        {"name": "image", "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": [4, 3, 1]}
    ]
    assert config["output"] == [{"name": "scores", "data_type": "TYPE_FP32", "dims": [3]}]
    assert config["parameters"]["task"] == {"string_value": "classification"}


def test_masks_of_tiles_are_of_the_images_own_size() -> None:
    """Such a model's output has no fixed sides; masks of images of several sizes are no one tensor."""
    manifest = make_manifest(
        task="segmentation", labels=("no", "yes"), format=3, input=make_input(8, 8, 3, "tile").model_dump()
    )
    (mask,) = outputs_of(manifest)
    assert shape_of(manifest, mask) == (-1, -1, 1)
    sizes = [np.zeros((side, 9, 1), np.float32) for side in (9, 10)]
    assert stacked([{"mask": sizes[0]}] * 2, "mask").shape == (2, 9, 9, 1)
    with pytest.raises(MalformedBody, match="of several sizes"):
        stacked([{"mask": each} for each in sizes], "mask")


def test_objects_of_tiles_are_filled_up() -> None:
    """Images in tiles have as many objects as they have: one tensor is as long as the most, the rest 0."""
    manifest = make_manifest(task="detection", format=3, input=make_input(8, 8, 3, "tile").model_dump())
    shapes = {output.name: shape_of(manifest, output) for output in outputs_of(manifest)}
    assert shapes == {"boxes": (-1, 4), "scores": (-1,), "labels": (-1,)}
    rows = [{"boxes": np.ones((count, 4), np.float32)} for count in (0, 2)]
    assert stacked(rows, "boxes").tolist() == [[[0] * 4] * 2, [[1] * 4] * 2]
