"""TensorFlow, on a GPU where it sees one."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engines import Check, Engine, Outputs, Precision, unchecked

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf

Call = Callable[..., Any]

log = logging.getLogger("service")


def sees_gpu() -> bool:
    """Tell whether TensorFlow can compute on a GPU here."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            # Otherwise the first model takes the whole card.
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            log.warning("TensorFlow was in use already: its GPU memory growth is not set.")
    return bool(gpus)


def precisions() -> list[Precision]:
    """Return what this machine computes in hardware, fastest first; on a GPU float32, which is its TF32."""
    flags = Path("/proc/cpuinfo")
    capable = flags.is_file() and " avx512_bf16 " in flags.read_text()
    return ["bfloat16", "float32"] if capable and not sees_gpu() else ["float32"]


def load(
    folder: Path, precision: Precision, threads: int, max_batch: int, check: Check = unchecked
) -> Engine:
    """Load the SavedModel's `serving_default` signature."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        # Set once per process, before its first operation; later models share it.
        log.debug("TensorFlow's threads are set already.")
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    call: Call = lambda images: signature(image=tf.constant(images))  # noqa: E731
    plan = f"one at a time on {threads} threads, up to {max_batch} together"

    def run(images: NDArray[np.uint8], solo: bool) -> Outputs:
        with _computing_in(precision):
            return {name: tensor.numpy() for name, tensor in call(images).items()}

    check(run)
    if sees_gpu():
        call, plan = in_buckets(signature, max_batch), f"one at a time, compiled by XLA for up to {max_batch}"

    # The signature does not keep alive what it computes with.
    run.loaded = loaded  # type: ignore[attr-defined]
    return Engine("tensorflow", precision, run, lanes=1, max_batch=max_batch, plan=plan)


def in_buckets(signature: Any, max_batch: int) -> Call:
    """Compile the signature by XLA for batches of 1, 2, 4, ... `max_batch`, now; others are padded to these.

    XLA compiles for each shape anew, which takes seconds: no request may bring a shape that is new.
    """
    compiled = tf.function(lambda images: signature(image=images), jit_compile=True)
    buckets = [2**power for power in range((max_batch - 1).bit_length())] + [max_batch]

    def call(images: NDArray[np.uint8]) -> dict[str, Any]:
        size = next(bucket for bucket in buckets if bucket >= len(images))
        padding = ((0, size - len(images)), (0, 0), (0, 0), (0, 0))
        outputs = compiled(tf.constant(np.pad(images, padding)))
        return {name: tensor[: len(images)] for name, tensor in outputs.items()}

    shape = signature.structured_input_signature[1]["image"].shape[1:]
    for bucket in buckets:
        call(np.zeros((bucket, *shape), np.uint8))
    return call


@contextmanager
def _computing_in(precision: Precision) -> Iterator[None]:
    """Have this thread's graphs rewritten to a precision or not.

    TensorFlow has one such option for the process, and each thread keeps what it found there at its first
    call after it was set; so a thread that has not is to be alone while it sets it and calls.
    """
    if getattr(_thread, "precision", None) == precision:
        yield
        return
    with _setting:
        compute_in(precision)
        yield
        _thread.precision = precision


def compute_in(precision: Precision) -> None:
    """Set the precision of the process, and of this thread; other threads keep the one that they have."""
    option = {"auto_mixed_precision_onednn_bfloat16": precision == "bfloat16"}
    tf.config.optimizer.set_experimental_options(option)
    _thread.precision = None


_thread = threading.local()
_setting = threading.Lock()
