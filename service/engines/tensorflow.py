"""TensorFlow, on a GPU where it sees one."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engines import Outputs

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


def load(folder: Path, threads: int) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Load the SavedModel's `serving_default` signature."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        # Set once per process, before its first operation; later models share it.
        log.debug("TensorFlow's threads are set already.")
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]

    def run(images: NDArray[np.uint8]) -> Outputs:
        outputs = signature(image=tf.constant(images))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    # The signature does not keep alive what it computes with.
    run.loaded = loaded  # type: ignore[attr-defined]
    return run
