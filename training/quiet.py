"""TensorFlow without its greeting: lines about itself that say nothing of what a user does.

TF_CPP_MIN_LOG_LEVEL quiets what its libraries log once they are set up. What they say before that, of oneDNN
and of the GPU that is not there, goes right to the standard error, whatever the level. So while TensorFlow is
imported, and looks for GPUs for the first time, these lines are taken out of it. Whoever sets the level sees
all.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

LEVEL = "TF_CPP_MIN_LOG_LEVEL"

_GREETING = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} |"
    rb"E\d{4} .*(cuInit|cuda_platform|computation_placer|Unable to register cu)|"
    rb"\d{4}-\d\d-\d\d .*: I tensorflow/|To enable the following instructions|^\s*$"
)


def hush() -> None:
    """Have TensorFlow imported quietly, whoever imports it first."""
    if LEVEL in os.environ or "tensorflow" in sys.modules:
        return
    os.environ[LEVEL] = "2"
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds TensorFlow with a loader that is quiet."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            spec.loader = _Quiet(spec.loader)
        return spec


class _Quiet(Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        with without_greeting():
            self._loader.exec_module(module)
            module.config.list_physical_devices()


@contextmanager
def without_greeting() -> Iterator[None]:
    """Take the greeting's lines out of what is written to the standard error, by whatever library."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for line in file:
                if not _GREETING.match(line):
                    os.write(2, line)
