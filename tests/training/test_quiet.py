"""TensorFlow comes without its greeting, and nothing else is lost."""

import os
import subprocess
import sys

import pytest

from training.quiet import LEVEL, without_greeting

IMPORT = """
from training import quiet
quiet.hush()
import importlib.util
assert importlib.util.find_spec("tensorflow")  # to look for it is not to have it
import tensorflow
import keras
assert keras.ops.convert_to_numpy(tensorflow.zeros(3) + 1).tolist() == [1, 1, 1]
"""


def test_tensorflow_says_nothing_of_itself() -> None:
    """A first computation on the CPU leaves not a line on the standard error."""
    environment = {key: value for key, value in os.environ.items() if key != LEVEL}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_no_greeting_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """Errors, warnings of others and what is said by an exception's way come through, in their order."""
    lines = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1795748981.511495    4886 port.cc:153] oneDNN custom operations are on.",
        "E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
        "E0000 00:00:1.2 3 gpu.cc:52] out of memory",
        "ImportError: libtensorflow.so is for another machine",
    )

    def load() -> None:
        with without_greeting():
            for line in lines:
                os.write(2, f"{line}\n".encode())
            raise ImportError("broken")

    with pytest.raises(ImportError, match="broken"):
        load()
    assert capfd.readouterr().err.splitlines() == list(lines[3:])
