"""The drawing of a network: what is smaller lies deeper, and what passes over blocks is told apart."""

from service.manifest import Layer
from service.pages import architecture
from tests.service import making


def layer(name: str, shape: tuple[int | None, ...], *inputs: str, parameters: int = 0) -> Layer:
    return Layer(
        name=name,
        type="Conv2D",
        output_shape=shape,
        parameters=parameters,
        trainable_parameters=parameters,
        inputs=inputs,
        parameters_explained="",
        output_explained="",
        receptive_field=None,
        multiply_adds=0,
        note="",
    )


U = (
    layer("image", (32, 32, 3)),
    layer("down", (32, 32, 8), "image", parameters=5),
    layer("pool", (16, 16, 8), "down"),
    layer("bottom", (16, 16, 16), "pool", parameters=7),
    layer("grow", (32, 32, 8), "bottom"),
    layer("join", (32, 32, 16), "grow", "down"),
)


def test_a_u_net_is_a_u() -> None:
    """Down where the picture is halved and up where it grows, with a level line from side to side."""
    drawing = architecture.draw(U)
    assert drawing
    left, bottom, right = drawing.blocks
    assert (left.side, bottom.side, right.side) == ("32 x 32", "16 x 16", "32 x 32")
    assert (left.channels, bottom.channels, right.channels) == (8, 16, 16)
    assert left.y == right.y < bottom.y
    assert left.x < bottom.x < right.x
    assert left.parameters + bottom.parameters + right.parameters == 12
    (skip,) = [edge for edge in drawing.edges if edge.skips]
    assert skip.told == "down feeds join"
    assert "H" in skip.path
    assert len(drawing.edges) == 3
    assert all(block.x + block.width < drawing.width for block in drawing.blocks)


def test_a_classifier_ends_below_its_last_picture() -> None:
    """Layers without places are one step deeper than the smallest that have some."""
    layers = (*U[:4], layer("flat", (4096,), "bottom"), layer("scores", (10,), "flat"))
    drawing = architecture.draw(layers)
    assert drawing
    assert [block.level for block in drawing.blocks] == [0, 1, 2]
    assert drawing.blocks[-1].told == "flat to scores: 2 layers, 1 x 10, 0 parameters"


def test_what_has_no_form_is_not_drawn() -> None:
    """One block alone, and more than fit."""
    assert architecture.draw(U[:2]) is None
    sizes = [layer(str(number), (number + 1, number + 1, 1)) for number in range(100)]
    assert architecture.draw(sizes) is None


def test_every_shipped_model_is_drawn() -> None:
    """Whatever its architecture, with each of its layers in one block."""
    from service.manifest import Manifest, manifest_path

    for home in making.MODELS.iterdir():
        manifest = Manifest.model_validate_json(manifest_path(making.shipped(home.name)).read_bytes())
        drawing = architecture.draw(manifest.layers)
        assert drawing, home.name
        assert sum(len(block.layers) for block in drawing.blocks) == len(manifest.layers)
        assert sum(block.parameters for block in drawing.blocks) == manifest.totals.parameters
