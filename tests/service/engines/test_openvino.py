"""OpenVINO as an engine: what is folded before it is compiled, and the early check."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset11

from service import engines
from service.engines import Run, openvino
from service.versions import integrity
from tests.service import making


def test_the_check_sees_what_is_answered_later() -> None:
    """The check is handed the model with its precision, and the way that is chosen then answers the same."""
    image = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1), np.uint8)
    seen = []

    def check(run: Run) -> None:
        seen.append(run(image, True)["scores"])

    engine = engines.load("openvino", making.shipped("digits"), "float32", 2, 8, check)
    assert len(seen) == 1
    assert seen[0].shape == (1, 10)
    np.testing.assert_allclose(engine.run(image, True)["scores"], seen[0], atol=1e-6)


@pytest.mark.parametrize("model", ["digits", "fashion"])
def test_a_model_that_has_rested_answers_as_before(model: str) -> None:
    """What a model lets go of it takes again, alone and in batches."""
    engine = engines.load("openvino", making.shipped(model), "float32", 2, 8)
    images = np.random.default_rng(0).integers(0, 256, (engine.max_batch, 28, 28, 1), np.uint8)
    before = [engine.run(images, False)["scores"], engine.run(images[:1], True)["scores"]]
    engine.rest()
    after = [engine.run(images, False)["scores"], engine.run(images[:1], True)["scores"]]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_the_check_raises_ends_the_load() -> None:
    """What a check raises comes through as it is."""

    def check(_: Run) -> None:
        raise ZeroDivisionError("not this one")

    with pytest.raises(ZeroDivisionError, match="not this one"):
        engines.load("openvino", making.shipped("digits"), "float32", 2, 8, check)


@pytest.mark.parametrize("model", ["pets", "nuclei"])
def test_both_engines_answer_alike(model: str) -> None:
    """Weights that are stored as float16, and normalisation folded into them, change no answer: in float32
    OpenVINO gives what TensorFlow gives.
    """
    folder = making.shipped(model)
    spec = integrity.examine(model, int(folder.name), folder).input
    found = []
    for name in ("openvino", "tensorflow"):
        engine = engines.load(name, folder, "float32", 2, 8)
        image = np.random.default_rng(1).integers(0, 256, (1, spec.height, spec.width, 3), np.uint8)
        found.append(engine.run(image, True))
    assert found[0].keys() == found[1].keys()
    for output, values in found[0].items():
        np.testing.assert_allclose(values, found[1][output], atol=2e-4)


def test_the_best_are_found_without_the_order_of_equal_ones() -> None:
    """The values are the same, at places where they are, by an operation that compares less."""
    image = opset11.parameter([1, 40], np.float32, name="image")
    best = opset11.topk(image, np.int32(5), 1, "max", "value", "i32", stable=True)
    best.output(0).get_tensor().set_names({"scores"})
    model = ov.Model([best.output(0), best.output(1)], [image])
    openvino._sort_quickly(model)
    (node,) = (each for each in model.get_ops() if each.get_type_name() == "TopK")
    assert not node.get_attributes()["stable"]
    values = np.random.default_rng(0).integers(0, 9, (1, 40)).astype(np.float32)
    found = ov.Core().compile_model(model, "CPU")({0: values})
    assert found["scores"].tolist() == [sorted(values[0].tolist(), reverse=True)[:5]]
    places = found[1][0].tolist()
    assert len(set(places)) == 5
    assert values[0, places].tolist() == found["scores"][0].tolist()
