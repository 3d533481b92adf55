"""Whether a graph could compute for ever: it has a loop, or a function that comes back to itself.

Everything else that a graph may hold ends by itself, as it runs each of its operations once.
"""

from pathlib import Path

from service import files
from service.versions import graph

_LOOPS = {"While", "StatelessWhile"}


def may_be(folder: Path) -> bool:
    """Tell it of the SavedModel in `folder`, whose graph has passed its check."""
    return may_be_bytes(files.read(folder / "saved_model.pb", graph.MAX_BYTES))


def may_be_bytes(data: bytes) -> bool:
    """Tell it of a serialised SavedModel, as `may_be`."""
    read = graph.parse(data)
    bodies = [read.nodes, *read.functions.values()]
    if any(node.op in _LOOPS for nodes in bodies for node in nodes):
        return True
    calls = {
        name: {called for node in nodes for called in node.calls} for name, nodes in read.functions.items()
    }
    return _comes_back(calls)


def _comes_back(calls: dict[str, set[str]]) -> bool:
    """Tell whether some function is among those that it calls, itself or through others."""
    # Those that call nobody are taken away, and then those that called only them: what is left comes back.
    while ending := [name for name, called in calls.items() if not called & calls.keys()]:
        for name in ending:
            del calls[name]
    return bool(calls)
