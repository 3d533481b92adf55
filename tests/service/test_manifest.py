"""The manifest: what the contract admits and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.manifest import EXTRA, FORMAT, Manifest, golden_path, manifest_path
from tests.service.manifests import make_fields, make_input, make_manifest, with_familiarity


def test_manifest_survives_its_file() -> None:
    """What is written as JSON is read back as the same manifest."""
    manifest = make_manifest()
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_a_manifest_of_the_first_format_is_read() -> None:
    """A version that an earlier release exported has no baselines and no remarks, and lives on."""
    manifest = make_manifest(format=1)
    assert manifest.evaluation.baselines == {}
    assert manifest.evaluation.remarks == ()


def test_labels_may_have_groups() -> None:
    """Groups are one for each label; a group of one label is one, too, and a file of before has none."""
    for groups in ((), ("round", "angular", "angular")):
        manifest = make_manifest(format=3, groups=groups)
        assert Manifest.model_validate_json(manifest.model_dump_json()).groups == groups
    for number in (1, 2):
        assert make_manifest(format=number).groups == ()


def test_a_manifest_that_knows_one_rule_is_read() -> None:
    """What an earlier release exported says nothing of shares and overlaps, and is stretched as it was."""
    spec = make_input().model_dump(exclude={"crop_share", "overlap"})
    assert make_manifest(format=2, input=spec).input == make_input()


@pytest.mark.parametrize(
    ("resize", "sound"), [("stretch", True), ("letterbox", True), ("tile", True), ("crop", False)]
)
def test_a_mask_says_nothing_of_pixels_that_were_not_seen(resize: str, sound: bool) -> None:
    """Segmentation of a crop is refused: the rest of the image would be called background with a 200."""
    changes = {"task": "segmentation", "input": make_input(resize=resize).model_dump()}
    if sound:
        assert make_manifest(**changes).input.resize == resize
        return
    with pytest.raises(ValidationError, match="nothing is known of the pixels outside"):
        make_manifest(**changes)


@pytest.mark.parametrize("number", [1, 2])
def test_manifests_of_earlier_formats_tell_no_familiarity(number: int) -> None:
    """A version that an earlier release exported lives on, and its answers have no familiarity."""
    manifest = make_manifest(format=number)
    assert manifest.familiarity is None
    assert manifest.tolerance.familiarity is None


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_a_manifest_with_familiarity_survives_its_file(task: str) -> None:
    """Whatever the task, it is one output of one number beside the task's own."""
    manifest = make_manifest(**with_familiarity(task=task))
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.familiarity
    assert (manifest.familiarity.level, manifest.familiarity.false_alarms) == (0.01, 0.0125)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"familiarity": None}, "one output of shape"),
        ({"outputs": make_fields()["outputs"]}, "one output of shape"),
        ({"tolerance": make_fields()["tolerance"]}, "nothing without the other"),
        ({"familiarity": with_familiarity()["familiarity"] | {"level": 0}}, "greater than 0"),
        ({"familiarity": with_familiarity()["familiarity"] | {"false_alarms": 1.5}}, "less than or equal"),
        ({"familiarity": with_familiarity()["familiarity"] | {"layers": ()}}, "at least 1 item"),
    ],
)
def test_half_a_familiarity_is_refused(changes: dict[str, Any], message: str) -> None:
    """An output that nothing tells of or compares is refused; so is a level that no image is below."""
    with pytest.raises(ValidationError, match=message):
        Manifest.model_validate(make_fields(**with_familiarity()) | changes)


def test_familiarity_is_one_number() -> None:
    """Its output has one number for an image, not several."""
    fields = make_fields(**with_familiarity())
    fields["outputs"][-1]["shape"] = (1,)
    with pytest.raises(ValidationError, match=r"shape \(\)"):
        Manifest.model_validate(fields)


def test_detection_states_how_many_objects_it_answers() -> None:
    """All objects may be of one label; without their number, or with it for another task, it is refused."""
    stated = {"task": "detection", "labels": ("cell",), "detection": {"max_objects": 50}}
    manifest = make_manifest(**stated)
    assert {output.name: output.shape for output in manifest.outputs}["boxes"] == (50, 4)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    for changes in (stated | {"outputs": make_fields()["outputs"]}, {"detection": {"max_objects": 50}}):
        with pytest.raises(ValidationError, match="detection"):
            make_manifest(**changes)
    with pytest.raises(ValidationError, match="states how many objects"):
        Manifest.model_validate(make_fields(**stated) | {"detection": None})


def test_segmentation_may_tell_borders() -> None:
    """Of the mask's size, beside it; nothing else has such an output."""
    labels, mask = ("background", "cell"), {"name": "mask", "shape": (32, 32, 1), "meaning": ""}
    border = mask | {"name": "border"}
    make_manifest(task="segmentation", labels=labels, outputs=[mask, border])
    with pytest.raises(ValidationError, match="needs the outputs"):
        make_manifest(task="segmentation", labels=labels, outputs=[mask, border | {"shape": (32, 32, 2)}])
    with pytest.raises(ValidationError, match="needs the outputs"):
        make_manifest(outputs=[*make_fields()["outputs"], border])


def test_manifest_is_frozen() -> None:
    """Nobody can change a manifest after it is read."""
    with pytest.raises(ValidationError, match="frozen"):
        make_manifest().version = 3  # type: ignore[misc]


@pytest.mark.parametrize("field", make_fields())
def test_every_field_is_needed(field: str) -> None:
    """A manifest that lacks a field is refused: there are no silent defaults."""
    fields = make_fields()
    del fields[field]
    with pytest.raises(ValidationError, match=field):
        Manifest.model_validate(fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": FORMAT + 1},
        {"format": None},
        {"unknown": 1},
        {"name": ""},
        {"name": "../evil"},
        {"name": "a/b"},
        {"name": ".hidden"},
        {"name": "a" * 65},
        {"name": "line\n"},
        {"version": 0},
        {"version": -1},
        {"version": 2**53 + 1},
        {"task": "captioning"},
        {"labels": ["one"]},
        {"outputs": []},
        {"outputs": [{"name": "logits", "shape": (3,), "meaning": ""}]},
        {"threshold": 1.1},
        {"threshold": float("nan")},
        {"files": {}},
        {"files": {"a": "0" * 63}},
        {"files": {"a": "G" * 64}},
        {"created": "yesterday"},
        {"tolerance": {"scores": 0.5, "box": 0.02, "mask": 0.01}},
        {"tolerance": {"scores": 0.0, "box": 0.02, "mask": 0.01}},
        {"input": make_input().model_dump() | {"channels": 4}},
        {"input": make_input().model_dump() | {"height": 0}},
        {"input": make_input().model_dump() | {"resize": "squash"}},
        {"input": make_input().model_dump() | {"resize": "crop", "crop_share": 0.0}},
        {"input": make_input().model_dump() | {"resize": "crop", "crop_share": 1.01}},
        {"input": make_input().model_dump() | {"extra": 1}},
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    """Other formats, names that could leave their folder, numbers out of range are refused."""
    with pytest.raises(ValidationError):
        make_manifest(**changes)


def test_output_is_found_by_name() -> None:
    """An output is found by its name."""
    assert make_manifest().outputs[0].shape == (3,)


def test_files_lie_in_the_extra_folder() -> None:
    """Manifest and golden samples lie where a SavedModel keeps a user's own files."""
    assert manifest_path(Path("m/1")) == Path("m/1") / EXTRA / "manifest.json"
    assert golden_path(Path("m/1")) == Path("m/1") / EXTRA / "golden.npz"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("disc", "box")}, "needs the outputs"),
        ({"labels": ("disc", "box", "disc")}, "two labels are the same"),
        ({"task": "localization"}, "needs the outputs"),
        ({"task": "segmentation"}, "needs the outputs"),
        ({"groups": ("round", "angular")}, "3 labels need a group each: 2 are given"),
        ({"groups": ("shape",) * 3}, "all labels are in the group 'shape', which says nothing"),
        ({"groups": ("round", "angular", "")}, "at least 1 character"),
        ({"groups": ("a", "b", "b"), "task": "localization"}, "for classification, not for localization"),
        ({"groups": ("a", "b", "b"), "task": "segmentation"}, "for classification, not for segmentation"),
        ({"label_thresholds": (0.5, 0.5)}, "3 labels need a threshold each: 2 are given"),
        ({"label_thresholds": (0.5,) * 3, "groups": ("a", "b", "b")}, "of labels without groups"),
        ({"label_thresholds": (0.5,) * 3, "task": "localization"}, "label_thresholds are for classification"),
        ({"label_thresholds": (0.5, 0.5, 1.5)}, "less than or equal to 1"),
        ({"input": make_input(8, 8, 3).model_dump() | {"colour": "grey"}}, "grey image"),
        ({"input": make_input(8, 8, 1).model_dump() | {"colour": "rgb"}}, "rgb image"),
        ({"input": make_input().model_dump() | {"crop_share": 0.5}}, "goes with the resize rule crop"),
        ({"input": make_input().model_dump() | {"overlap": 8}}, "goes with the resize rule tile"),
        ({"input": make_input(32, 64).model_dump() | {"resize": "tile", "overlap": 17}}, "half of a tile"),
        ({"input": make_input(resize="tile").model_dump()}, "for detection and segmentation, not for class"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    """A manifest whose task, labels, outputs and colours do not fit together would fail on every request."""
    fields = make_fields(outputs=make_fields()["outputs"]) | changes
    with pytest.raises(ValidationError, match=message):
        Manifest.model_validate(fields)


def test_more_labels_than_a_mask_can_have_are_refused() -> None:
    """A mask of more labels than can be resized is refused when it is loaded, not when it is asked."""
    with pytest.raises(ValidationError, match="more than 128 labels"):
        make_manifest(task="segmentation", labels=tuple(str(index) for index in range(129)))
