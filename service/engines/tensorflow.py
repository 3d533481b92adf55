"""TensorFlow, on a GPU where it sees one."""

import logging
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engines import Engine, Outputs, Precision

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf

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
    """Return float32, and bfloat16 where this CPU computes it in hardware.

    TensorFlow rewrites graphs to bfloat16 for a whole process or not at all, so that one model could not
    fall back alone: it is used only where it is asked for.
    """
    flags = Path("/proc/cpuinfo")
    capable = flags.is_file() and " avx512_bf16 " in flags.read_text()
    return ["float32", "bfloat16"] if capable else ["float32"]


def load(folder: Path, precision: Precision, threads: int, max_batch: int) -> Engine:
    """Load the SavedModel's `serving_default` signature."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        # Set once per process, before its first operation; later models share it.
        log.debug("TensorFlow's threads are set already.")
    if precision == "bfloat16":
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]

    def run(images: NDArray[np.uint8], solo: bool) -> Outputs:
        outputs = signature(image=tf.constant(images))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    # The signature does not keep alive what it computes with.
    run.loaded = loaded  # type: ignore[attr-defined]
    plan = f"one at a time on {threads} threads, up to {max_batch} together"
    return Engine("tensorflow", precision, run, lanes=1, max_batch=max_batch, plan=plan)
