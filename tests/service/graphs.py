"""SavedModels of a few operations, written by hand in the wire format of protocol buffers."""


def field(number: int, value: bytes) -> bytes:
    """Return a field of bytes in the wire format."""
    assert number < 16
    size, length = b"", len(value)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + value


def node(name: str, op: str, *inputs: str, calls: str = "") -> bytes:
    """Return a NodeDef."""
    fields = field(1, name.encode()) + field(2, op.encode())
    fields += b"".join(field(3, each.encode()) for each in inputs)
    if calls:
        fields += field(5, field(1, b"f") + field(2, field(10, field(1, calls.encode()))))
    return fields


def function(name: str, *ops: str) -> bytes:
    """Return a FunctionDef with these operations."""
    nodes = b"".join(field(3, node(f"n{index}", op)) for index, op in enumerate(ops))
    return field(1, field(1, name.encode())) + nodes


CALL = "StatefulPartitionedCall"
SAVER = field(1, b"name:0") + field(2, b"save:0") + field(3, b"restore")


def starting(name: str) -> bytes:
    """Return the entry of the collection that names what runs at the start."""
    return field(1, b"saved_model_main_op") + field(2, field(1, field(1, name.encode())))


NODES = [
    node("serve", CALL, calls="f_serve"),
    node("save", CALL, calls="f_save"),
    node("restore", CALL, calls="f_restore"),
    node("start", "NoOp"),
]

FUNCTIONS = [
    function("f_serve", "Conv2D", "Relu", "Identity"),
    function("f_save", "SaveV2", "MergeV2Checkpoints"),
    function("f_restore", "RestoreV2", "AssignVariableOp"),
]


def saved_model(
    nodes: list[bytes],
    functions: list[bytes],
    saver: bytes = SAVER,
    main: bytes = starting("start"),
    rest: bytes = b"",
) -> bytes:
    """Return a SavedModel."""
    library = b"".join(field(1, each) for each in functions)
    graph_def = b"".join(field(1, each) for each in nodes) + field(2, library)
    objects = field(7, field(1, b"") + field(2, field(1, b"f_serve")))
    return field(2, field(2, graph_def) + field(3, saver) + field(4, main) + objects + rest)
