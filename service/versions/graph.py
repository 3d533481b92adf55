"""The operations of a SavedModel's graph, against a list of those that only compute. No framework is asked:
loading a graph in order to judge it would be too late.

A SavedModel is a program. TensorFlow runs parts of it while it loads: the function that restores the
variables and the initialiser. So an operation that touches files is allowed in exactly two functions: those
that the SaverDef names, as `tf.saved_model.save` writes them, and which nothing else refers to.

The messages' fields are those of tensorflow/core/protobuf and framework (saved_model, meta_graph, graph,
function, node_def, attr_value, saver, saved_object_graph), read by the wire format alone:
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from service import files
from service.errors import VersionRefused

MAX_BYTES = 256 * 2**20
"""Largest graph that is read. Weights are in files of their own; ours are under 1 MB."""

_DEPTH = 16
"""Deepest nesting of function names in attributes."""

COMPUTES = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool AvgPool3D BatchMatMul BatchMatMulV2
    BatchMatMulV3 BatchToSpaceND BiasAdd BroadcastArgs BroadcastTo Cast Ceil ClipByValue Concat
    ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cumprod Cumsum
    DepthToSpace DepthwiseConv2dNative Div DivNoNan Einsum Elu EnsureShape Equal Erf Erfc Exp ExpandDims
    Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather
    GatherNd GatherV2 Greater GreaterEqual Identity IdentityN If InvertPermutation IsFinite IsNan
    L2Loss LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max
    MaxPool MaxPool3D MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mul MulNoNan Neg NoOp NotEqual
    OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder PlaceholderWithDefault Pow Prod Range
    Rank ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Rint Round Rsqrt Select SelectV2 Selu Shape ShapeN Sigmoid Sign
    Sin Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square
    SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StopGradient
    StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose Unpack VarHandleOp VarIsInitializedOp Where
    While Xdivy Xlogy ZerosLike
    """.split()  # noqa: SIM905 - 150 quoted names are hard to read
)
"""What our exports and Keras's built-in layers use. None of them reads or writes outside the graph."""

SAVES = COMPUTES | {
    "DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2", "ShardedFilename", "StaticRegexFullMatch",
    "StringJoin",
}  # fmt: skip
RESTORES = COMPUTES | {"AssignVariableOp", "RestoreV2"}

_OBJECTS = frozenset({1, 3, 4, 6, 7, 8, 9, 12, 15})
"""Kinds of SavedObject that load without running anything: children, slots, user objects, functions,
variables, concrete functions, constants, captures, dependencies. Not assets, resources and custom savers."""

Field = tuple[int, int | bytes]


@dataclass
class Node:
    """An operation, with the functions that it calls."""

    name: str
    op: str
    inputs: list[str]
    calls: list[str]


@dataclass
class Graph:
    """What a SavedModel runs, and when."""

    nodes: list[Node] = field(default_factory=list)
    functions: dict[str, list[Node]] = field(default_factory=dict)
    saves: str = ""
    """The node that saves, from the SaverDef."""
    restores: str = ""
    starts: set[str] = field(default_factory=set)
    """The nodes that run at the start, from the signature and the collection for that."""
    exposed: set[str] = field(default_factory=set)
    """The functions that the object graph offers."""


def check(folder: Path) -> None:
    """Check the operations of the SavedModel in `folder`; VersionRefused names one that is not allowed."""
    try:
        data = files.read(folder / "saved_model.pb", MAX_BYTES)
    except files.Unfit as error:
        raise VersionRefused(
            f"saved_model.pb cannot be read: {error.strerror}; weights belong in variables/."
        ) from None
    check_bytes(data)


def check_bytes(data: bytes) -> None:
    """Check a serialised SavedModel, as `check`."""
    try:
        graph = parse(data)
    except (ValueError, RecursionError):
        raise VersionRefused("saved_model.pb is no SavedModel that can be read.") from None
    _judge(graph)


def _judge(graph: Graph) -> None:
    special = {name for name in (graph.saves, graph.restores) if name}
    called: dict[str, frozenset[str]] = {}
    elsewhere = set(graph.exposed)
    for node in graph.nodes:
        if {each.lstrip("^").split(":")[0] for each in node.inputs} & special:
            raise VersionRefused("The graph runs its saver as a part of something else.")
        if node.name not in special:
            elsewhere.update(node.calls)
            continue
        if node.op not in {"StatefulPartitionedCall", "PartitionedCall"}:
            raise VersionRefused("The graph's saver is not a function, as TensorFlow writes it.")
        # Loading runs the one that restores.
        allowed = RESTORES if node.name == graph.restores else SAVES
        for name in node.calls:
            called[name] = called.get(name, allowed) & allowed
    for nodes in graph.functions.values():
        elsewhere.update(*(node.calls for node in nodes))
    _judge_start(graph)
    _judge_ops("the graph", graph.nodes, COMPUTES)
    for name, nodes in graph.functions.items():
        allowed = COMPUTES if name in elsewhere else called.get(name, COMPUTES)
        _judge_ops("a function", nodes, allowed)


def _judge_start(graph: Graph) -> None:
    ops = {node.name: node.op for node in graph.nodes}
    inputs = {node.name: node.inputs for node in graph.nodes}
    for name in graph.starts:
        if ops.get(name, "NoOp") != "NoOp" or inputs.get(name):
            raise VersionRefused("The graph runs an initialiser when it is loaded.")


def _judge_ops(place: str, nodes: list[Node], allowed: frozenset[str]) -> None:
    for node in nodes:
        if node.op not in allowed:
            # An operation's name is the graph's to choose, so only what looks like one is told.
            op = node.op if node.op.isidentifier() and len(node.op) <= 64 else "with a strange name"
            raise VersionRefused(f"An operation of {place} is not on the list of those allowed: {op}.")


# A version is checked more than once while it is brought to life; each reading takes tens of milliseconds.
@lru_cache(maxsize=1)
def parse(data: bytes) -> Graph:
    """Read a serialised SavedModel; ValueError, RecursionError or VersionRefused where it is none of ours."""
    metas = [value for number, value in _fields(data) if number == 2 and isinstance(value, bytes)]
    if len(metas) != 1:
        raise ValueError("not one meta graph")
    graph = Graph()
    if 7 not in {number for number, _ in _fields(metas[0])}:
        raise VersionRefused("The graph has no objects: it is of TensorFlow 1, and would run its own loader.")
    for number, value in _messages(metas[0]):
        _part(number, value, graph)
    return graph


def _part(number: int, value: bytes, graph: Graph) -> None:
    """Read one field of the MetaGraphDef."""
    match number:
        case 2:
            _graph_def(value, graph)
        case 3:
            graph.saves = _text(_single(value, 2)).split(":")[0]
            graph.restores = _text(_single(value, 3)).split(":")[0].lstrip("^")
        case 4 | 5:
            _entry(number, value, graph)
        case 6:
            raise VersionRefused("The graph has assets: files that it reads when it is loaded.")
        case 7:
            _object_graph(value, graph)


def _entry(number: int, entry: bytes, graph: Graph) -> None:
    """Read an entry of collection_def (4) or signature_def (5) that names what runs at the start."""
    key, value = _text(_single(entry, 1)), _single(entry, 2)
    if number == 4 and key in {"saved_model_main_op", "legacy_init_op", "saved_model_assets"}:
        names = [name for kind, nodes in _messages(value) if kind == 1 for _, name in _messages(nodes)]
        graph.starts.update(_text(name) for name in names)
    elif number == 5 and "init_op" in key:
        for kind, output in _messages(value):
            if kind == 2:
                graph.starts.add(_text(_single(_single(output, 2), 1)).split(":")[0])


def _graph_def(data: bytes, graph: Graph) -> None:
    for number, value in _messages(data):
        if number == 1:
            graph.nodes.append(_node(value))
        elif number == 2:
            for kind, function in _messages(value):
                if kind == 1:
                    _function(function, graph)


def _function(data: bytes, graph: Graph) -> None:
    name, nodes = "", []
    for number, value in _messages(data):
        if number == 1:
            name = _text(_single(value, 1))
        elif number == 3:
            nodes.append(_node(value))
    if name in graph.functions:
        raise ValueError("two functions of one name")
    graph.functions[name] = nodes


def _node(data: bytes) -> Node:
    node = Node("", "", [], [])
    for number, value in _messages(data):
        if number == 1:
            node.name = _text(value)
        elif number == 2:
            node.op = _text(value)
        elif number == 3:
            node.inputs.append(_text(value))
        elif number == 5:
            node.calls.extend(_called(_single(value, 2), 0))
    return node


def _called(attribute: bytes, depth: int) -> Iterator[str]:
    """Give the functions that an AttrValue names: `func` (10) or `list.func` (1, 9), and in their own."""
    if depth > _DEPTH:
        raise ValueError("attributes are nested too deeply")
    for number, value in _messages(attribute):
        functions = [value] if number == 10 else []
        if number == 1:
            functions = [each for kind, each in _messages(value) if kind == 9]
        for function in functions:
            for kind, part in _messages(function):
                if kind == 1:
                    yield _text(part)
                elif kind == 2:
                    yield from _called(_single(part, 2), depth + 1)


def _object_graph(data: bytes, graph: Graph) -> None:
    for number, value in _messages(data):
        if number == 2:
            graph.exposed.add(_text(_single(value, 1)))
        elif number == 1:
            for kind, _ in _fields(value):
                if kind not in _OBJECTS:
                    raise VersionRefused("The graph holds an object that does something when it is loaded.")


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the fields that are texts, bytes or messages."""
    for number, value in _fields(data):
        if isinstance(value, bytes):
            yield number, value


def _single(data: bytes, wanted: int) -> bytes:
    """Return a field that comes at most once: of two, a parser would make one in its own way."""
    found = [value for number, value in _messages(data) if number == wanted]
    if len(found) > 1:
        raise ValueError("a field that comes twice")
    return found[0] if found else b""


def _fields(data: bytes) -> Iterator[Field]:
    """Give each field's number and value; ValueError where the bytes are not of the wire format."""
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, place = _varint(data, place)
        if size is None or place + size > end:
            raise ValueError("a field that is cut short or of an unknown kind")
        yield key >> 3, data[place : place + size] if kind == 2 else 0
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[place : place + 10]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, place + index + 1
    raise ValueError("a number that is cut short or too long")


def _text(value: bytes) -> str:
    return value.decode("utf-8")
