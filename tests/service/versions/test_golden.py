"""The golden replay: what can be read, what is refused, and how far answers may be apart."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import VersionRefused
from service.manifest import Manifest, golden_path
from service.tasks.task import Row
from service.versions import golden
from service.versions.golden import Goldens
from tests.service.manifests import make_input, make_manifest, with_familiarity

MANIFEST = make_manifest()
SCORES = np.asarray([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32)


def archive(**changes: Any) -> bytes:
    """Return the bytes of a good archive of two samples, some members changed, None ones left out."""
    members: dict[str, Any] = {
        "names": np.asarray(["one", "two"]),
        "data_0": np.frombuffer(b"first", np.uint8),
        "data_1": np.frombuffer(b"second", np.uint8),
        "answer_scores": SCORES,
    }
    members = {name: value for name, value in (members | changes).items() if value is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def write(folder: Path, data: bytes) -> Path:
    golden_path(folder).parent.mkdir(parents=True, exist_ok=True)
    golden_path(folder).write_bytes(data)
    return folder


def one_sample(expected: NDArray[np.float32], output: str = "scores") -> tuple[Goldens, Manifest]:
    manifest = make_manifest()
    if output == "mask":
        height, width, channels = expected.shape
        labels = ("background", "disc", "star")[: max(2, channels)]
        spec = make_input(height, width).model_dump()
        manifest = make_manifest(task="segmentation", labels=labels, input=spec)
    return Goldens(["one"], [b""], [{output: expected}]), manifest


def test_samples_are_read_with_their_rows(tmp_path: Path) -> None:
    """Names, encoded bytes and rows come back as they were written, in their order."""
    goldens = golden.read(write(tmp_path, archive()), MANIFEST)
    assert goldens.names == ["one", "two"]
    assert goldens.encoded == [b"first", b"second"]
    assert [row["scores"].tolist() for row in goldens.rows] == SCORES.tolist()


def test_half_precision_answers_are_widened(tmp_path: Path) -> None:
    """Answers stored in half precision are compared as float32."""
    goldens = golden.read(write(tmp_path, archive(answer_scores=SCORES.astype(np.float16))), MANIFEST)
    assert goldens.rows[0]["scores"].dtype == np.float32


def test_missing_archive_is_refused(tmp_path: Path) -> None:
    """A version without golden samples is refused."""
    with pytest.raises(VersionRefused, match=r"golden\.npz"):
        golden.read(tmp_path, MANIFEST)


def plain_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, SCORES)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"hello " * 50,
        plain_array(),
        archive()[:-30],
        archive()[30:],
        archive(names=None),
        archive(data_1=None),
        archive(answer_scores=None),
        archive(names=np.asarray("one")),
        archive(names=np.asarray([], np.str_)),
        archive(names=np.asarray([{}], object)),
        archive(answer_scores=SCORES[:1]),
        archive(answer_scores=SCORES[:, :2]),
        archive(answer_scores=SCORES.ravel()),
        archive(answer_scores=np.asarray([["a", "b", "c"]] * 2)),
        archive(answer_scores=np.full((2, 3), np.nan, np.float32)),
        archive(answer_scores=np.full((2, 3), np.inf, np.float32)),
    ],
)
def test_archives_that_do_not_fit_are_refused(tmp_path: Path, data: bytes) -> None:
    """An archive that is none, lacks a member, or has another shape or no numbers refuses the version."""
    with pytest.raises(VersionRefused, match=r"golden\.npz"):
        golden.read(write(tmp_path, data), MANIFEST)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(archive()) - 1), change=st.integers(1, 255))
def test_damaged_archives_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    """A damaged byte anywhere is either of no account or refuses the version; nothing else comes out."""
    damaged = bytearray(archive())
    damaged[place] ^= change
    folder = write(tmp_path_factory.getbasetemp() / "damaged", bytes(damaged))
    try:
        goldens = golden.read(folder, MANIFEST)
    except VersionRefused:
        return
    assert len(goldens.names) == len(goldens.encoded) == len(goldens.rows) == 2


def test_familiarity_is_compared_as_one_number(tmp_path: Path) -> None:
    """A number for each sample is read, and its largest difference is held to a tolerance of its own."""
    manifest = make_manifest(**with_familiarity())
    data = archive(answer_familiarity=np.asarray([0.5, 0.0], np.float32))
    goldens = golden.read(write(tmp_path, data), manifest)
    served: list[Row] = [row | {"familiarity": row["familiarity"] + np.float32(0.03)} for row in goldens.rows]
    scores, told = golden.compare(goldens, served, manifest)
    assert scores.difference == 0
    assert (told.output, told.allowed) == ("familiarity", 0.05)
    assert told.difference == pytest.approx(0.03)
    with pytest.raises(VersionRefused, match=r"familiarity of shape \(\)"):
        golden.compare(goldens, [{"scores": row["scores"]} for row in goldens.rows], manifest)


def test_equal_answers_deviate_by_nothing() -> None:
    """Where the served rows are training's, the deviation is 0 of what the manifest allows."""
    goldens = Goldens(["one", "two"], [b"", b""], [{"scores": row} for row in SCORES])
    (deviation,) = golden.compare(goldens, goldens.rows, MANIFEST)
    assert (deviation.output, deviation.difference, deviation.allowed) == ("scores", 0.0, 0.03)


def test_largest_difference_and_its_sample_are_told() -> None:
    """The largest difference over all samples is found, up or down, with the name of its sample."""
    goldens = Goldens(["one", "two"], [b"", b""], [{"scores": row} for row in SCORES])
    served: list[Row] = [
        {"scores": SCORES[0] + np.asarray([0.01, 0, 0], np.float32)},
        {"scores": SCORES[1] - np.asarray([0, 0, 0.125], np.float32)},
    ]
    (deviation,) = golden.compare(goldens, served, MANIFEST)
    assert deviation.sample == "two"
    assert deviation.difference == pytest.approx(0.125)


def test_what_deviates_is_named() -> None:
    """An answer within the tolerance is told of, one beyond it raises what is off, where and by how much."""
    goldens = Goldens(["one", "two"], [b"", b""], [{"scores": row} for row in SCORES])
    near: list[Row] = [{"scores": row + np.float32(0.02)} for row in SCORES]
    (deviation,) = golden.check(goldens, near, MANIFEST)
    assert deviation.difference == pytest.approx(0.02, abs=1e-6)
    far: list[Row] = [near[0], {"scores": SCORES[1] + np.float32(0.04)}]
    with pytest.raises(golden.Deviates) as raised:
        golden.check(goldens, far, MANIFEST)
    assert raised.value.detail == "scores of golden sample two is off by 0.0400, allowed 0.03"


@pytest.mark.parametrize(
    "row",
    [{}, {"box": SCORES[0]}, {"scores": SCORES[0, :2]}, {"scores": SCORES[:1]}, {"scores": np.float32(1)}],
)
def test_other_outputs_are_refused(row: Row) -> None:
    """A model whose output is missing or has another shape is refused."""
    goldens = Goldens(["one"], [b""], [{"scores": SCORES[0]}])
    with pytest.raises(VersionRefused, match="scores of shape"):
        golden.compare(goldens, [row], MANIFEST)


def test_binary_masks_are_compared_by_what_is_shown() -> None:
    """For a mask the share of pixels on another side of 0.5 counts, not the probabilities themselves."""
    expected = np.full((10, 10, 1), 0.9, np.float32)
    found = np.full((10, 10, 1), 0.6, np.float32)
    found[0, :3] = 0.4
    goldens, manifest = one_sample(expected, "mask")
    (deviation,) = golden.compare(goldens, [{"mask": found}], manifest)
    assert deviation.difference == pytest.approx(0.03)
    assert deviation.allowed == 0.01


def test_class_masks_are_compared_by_their_winners() -> None:
    """With several classes the share of pixels with another winner counts."""
    expected = np.tile(np.asarray([0.1, 0.8, 0.1], np.float32), (4, 5, 1))
    found = np.tile(np.asarray([0.3, 0.4, 0.3], np.float32), (4, 5, 1))
    found[0, 0] = (0.5, 0.4, 0.1)
    goldens, manifest = one_sample(expected, "mask")
    (deviation,) = golden.compare(goldens, [{"mask": found}], manifest)
    assert deviation.difference == pytest.approx(0.05)


def test_each_output_has_its_own_tolerance() -> None:
    """A localizer gets one deviation per output, each beside its own tolerance."""
    manifest = make_manifest(task="localization")
    row: Row = {"scores": SCORES[0], "box": np.asarray([0, 0, 1, 1], np.float32)}
    moved: Row = row | {"box": np.asarray([0, 0.25, 1, 1], np.float32)}
    deviations = golden.compare(Goldens(["one"], [b""], [row]), [moved], manifest)
    assert [(each.output, each.difference, each.allowed) for each in deviations] == [
        ("scores", 0.0, 0.03),
        ("box", 0.25, 0.02),
    ]
