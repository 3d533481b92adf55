"""The list of operations: what only computes passes, all else is refused before it is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import VersionRefused
from service.versions import graph
from tests.service import making
from tests.service.graphs import CALL, FUNCTIONS, NODES, field, function, node, saved_model, starting

MODELS = sorted((Path(__file__).parents[3] / "models").glob("*/[0-9]*"))
DIGITS = (making.shipped("digits") / "saved_model.pb").read_bytes()


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.parent.name)
def test_what_is_shipped_passes(folder: Path) -> None:
    """Every shipped model holds only operations that are allowed."""
    graph.check(folder)


def test_the_plain_model_passes() -> None:
    """The model that the others are changed from is a good one."""
    graph.check_bytes(saved_model(NODES, FUNCTIONS))


EVIL = {
    "WriteFile": lambda: saved_model(NODES, [*FUNCTIONS, function("f", "WriteFile")]),
    "ReadFile": lambda: saved_model([*NODES, node("x", "ReadFile")], FUNCTIONS),
    "EagerPyFunc": lambda: saved_model(NODES, [function("f_serve", "EagerPyFunc"), *FUNCTIONS[1:]]),
    "SaveV2": lambda: saved_model(NODES, [function("f_serve", "SaveV2"), *FUNCTIONS[1:]]),
    "saves as it restores": lambda: saved_model(
        NODES, [*FUNCTIONS[:2], function("f_restore", "RestoreV2", "SaveV2")]
    ),
    "restores with the saver": lambda: saved_model(
        NODES, FUNCTIONS, saver=field(2, b"save:0") + field(3, b"save")
    ),
    "restores with the saver's function": lambda: saved_model(
        [*NODES[:2], node("restore", CALL, calls="f_save"), NODES[3]], FUNCTIONS
    ),
    "serves with the saver's function": lambda: saved_model(
        [node("serve", CALL, calls="f_save"), *NODES[1:]], FUNCTIONS
    ),
    "serves after saving": lambda: saved_model(
        [node("serve", CALL, "^save", calls="f_serve"), *NODES[1:]], FUNCTIONS
    ),
    "saves at the start": lambda: saved_model(NODES, FUNCTIONS, main=starting("save")),
    "starts after saving": lambda: saved_model([*NODES[:3], node("start", "NoOp", "^save")], FUNCTIONS),
    "starts with a function": lambda: saved_model(
        [*NODES[:3], node("start", CALL, calls="f_serve")], FUNCTIONS
    ),
    "offers the saver": lambda: saved_model(
        NODES, FUNCTIONS, rest=field(7, field(2, field(1, b"f_save")))
    ),
    "assets": lambda: saved_model(NODES, FUNCTIONS, rest=field(6, b"")),
    "a resource": lambda: saved_model(NODES, FUNCTIONS, rest=field(7, field(1, field(10, b"")))),
    "two of one name": lambda: saved_model(NODES, [*FUNCTIONS, FUNCTIONS[0]]),
    "an operation twice": lambda: saved_model(
        [*NODES, node("x", "NoOp") + field(5, field(1, b"f") + field(2, b"") + field(2, b""))], FUNCTIONS
    ),
    "no objects": lambda: field(2, field(2, b"")),
    "two graphs": lambda: saved_model(NODES, FUNCTIONS) * 2,
    "nothing": lambda: b"",
}  # fmt: skip


@pytest.mark.parametrize("make", EVIL.values(), ids=EVIL.keys())
def test_what_does_more_than_compute_is_refused(make: Callable[[], bytes]) -> None:
    """(G18) Files, Python, and the saver's operations anywhere but in the saver's own functions."""
    with pytest.raises(VersionRefused):
        graph.check_bytes(make())


def test_a_refusal_repeats_no_strange_name() -> None:
    """An operation's name comes from the file; only what looks like one gets into logs and answers."""
    with pytest.raises(VersionRefused, match="strange name"):
        graph.check_bytes(saved_model([*NODES, node("x", "<script>\n")], FUNCTIONS))


def test_what_tensorflow_writes_with_a_file_operation_is_refused(tmp_path: Path) -> None:
    """(G18) A real SavedModel whose function writes a file is refused, and no file is written."""
    import tensorflow as tf

    target = tmp_path / "written"

    class Writer(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.uint8, "image")])  # type: ignore[untyped-decorator]
        def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
            tf.io.write_file(str(target), "x")
            return {"scores": tf.cast(image, tf.float32)}

    module = Writer()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    with pytest.raises(VersionRefused, match="WriteFile"):
        graph.check(tmp_path / "model")
    assert not target.exists()


@given(place=st.integers(0, len(DIGITS) - 1), value=st.integers(0, 255), end=st.integers(1, len(DIGITS)))
@settings(max_examples=60, deadline=None)
def test_damage_is_refused_or_harmless(place: int, value: int, end: int) -> None:
    """Whatever the bytes, the check ends with a refusal or lets them pass; it never fails otherwise."""
    damaged = bytearray(DIGITS)
    damaged[place] = value
    try:
        graph.check_bytes(bytes(damaged[:end]))
    except VersionRefused:
        return


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Bytes that are no SavedModel are never taken for one."""
    with pytest.raises(VersionRefused):
        graph.check_bytes(data)
