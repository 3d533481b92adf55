"""A layer table -> a drawing of the network: one block for each stretch of layers of one size.

What halves the picture leads down, what doubles it leads up, so that a U-Net is a U; connections that pass
over blocks are drawn as such.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.manifest import Layer

MOST = 40
"""Blocks that are drawn; a network of more is not."""
_STEP, _DROP, _TOP = 92, 74, 26
_TALL, _FLAT = 64, 12


@dataclass
class Block:
    """Layers that follow each other at one size, and where they are drawn."""

    side: str
    """As in `28 x 28`; `1` of layers without places."""
    level: float
    """How many halvings it lies below the image."""
    layers: list[Layer] = field(default_factory=list)
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0

    @property
    def channels(self) -> int:
        """Of what leaves it."""
        shape = self.layers[-1].output_shape
        return max(shape[-1] or 0, 0) if shape else 0

    @property
    def parameters(self) -> int:
        """Of all its layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def told(self) -> str:
        """What it is, in words."""
        first, last = self.layers[0].name, self.layers[-1].name
        named = first if first == last else f"{first} to {last}"
        counted = f"{len(self.layers)} layers" if len(self.layers) > 1 else "one layer"
        return f"{named}: {counted}, {self.side} x {self.channels}, {self.parameters:,} parameters"


@dataclass(frozen=True)
class Edge:
    """A connection, as the path of an SVG; `skips` where it passes over blocks."""

    path: str
    skips: bool
    told: str


@dataclass(frozen=True)
class Drawing:
    """Blocks and connections in a field of that size."""

    blocks: list[Block]
    edges: list[Edge]
    width: float
    height: float


def draw(layers: Sequence[Layer]) -> Drawing | None:
    """Return the drawing; None of a network that has too many parts for one."""
    blocks, place = _blocks(layers)
    if not 2 <= len(blocks) <= MOST:
        return None
    deepest = max(block.level for block in blocks)
    for index, block in enumerate(blocks):
        block.width = 18 + 5 * math.log2(block.channels + 1)
        block.height = max(_FLAT, _TALL - _TALL * 0.8 * block.level / (deepest or 1))
        block.x, block.y = 28 + index * _STEP, _TOP + block.level * _DROP
    edges = _edges(layers, blocks, place)
    bottom = max(block.y + block.height for block in blocks)
    return Drawing(blocks, edges, blocks[-1].x + _STEP, bottom + 44)


def _blocks(layers: Sequence[Layer]) -> tuple[list[Block], dict[str, int]]:
    """Return the stretches of layers of one size, and the stretch of each layer by its name."""
    blocks: list[Block] = []
    place: dict[str, int] = {}
    largest = max((_side(layer) for layer in layers), default=1)
    for layer in layers:
        # What feeds nothing that is drawn is part of the stretch in which it stands.
        side = _side(layer)
        words = " x ".join(str(each) for each in layer.output_shape[:-1] if each) or "1"
        if not blocks or blocks[-1].side != words:
            # Layers without places lie one step below the smallest that have some.
            below = 1 + max((block.level for block in blocks if block.side != "1"), default=0.0)
            blocks.append(Block(words, math.log2(largest / side) if side > 1 else below))
        blocks[-1].layers.append(layer)
        place[layer.name] = len(blocks) - 1
    return blocks, place


def _side(layer: Layer) -> int:
    sides = [side for side in layer.output_shape[:-1] if side]
    return max(sides, default=1)


def _edges(layers: Sequence[Layer], blocks: list[Block], place: dict[str, int]) -> list[Edge]:
    pairs = {
        (place[source], place[layer.name]): (source, layer.name)
        for layer in layers
        for source in layer.inputs
        if source in place and place[source] != place[layer.name]
    }
    edges = []
    for (start, end), (source, target) in sorted(pairs.items()):
        one, other = blocks[start], blocks[end]
        skips = end != start + 1
        edges.append(Edge(_path(one, other, skips=skips), skips, f"{source} feeds {target}"))
    return edges


def _path(one: Block, other: Block, *, skips: bool) -> str:
    x, y = one.x + one.width, one.y + one.height / 2
    to_x, to_y = other.x, other.y + other.height / 2
    if not skips:
        middle = (x + to_x) / 2
        return f"M{x:.0f} {y:.0f} C{middle:.0f} {y:.0f} {middle:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
    if one.level == other.level:
        return f"M{x:.0f} {y:.0f} H{to_x:.0f}"
    return f"M{x:.0f} {y:.0f} Q{to_x - 20:.0f} {min(y, to_y):.0f} {to_x:.0f} {to_y:.0f}"
