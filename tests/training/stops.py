"""What ends a training before its time."""

from typing import Any

import keras


class Interrupt(keras.callbacks.Callback):  # type: ignore[misc]
    """Presses Ctrl-C, as it were, at the end of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End the training where it is that epoch."""
        if epoch == self._epoch:
            raise KeyboardInterrupt
