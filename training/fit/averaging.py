"""A moving average of the weights: tested, kept and exported in place of the last ones.

Polyak, Juditsky, "Acceleration of stochastic approximation by averaging" (1992). The optimiser makes the
average (`use_ema`); here it is put in the model's place while that is tested.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Join = Callable[[NDArray[Any]], NDArray[Any]]
"""What one host has measured to the mean of all hosts'."""


class AveragedWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Puts the averages in place of the weights for the time of each test.

    The statistics of batch normalisation belong to the weights that they were measured with, so they are
    measured again on `batches` (Izmailov et al., "Averaging Weights", UAI 2018, section 3.2).
    """

    def __init__(self, batches: Any, join: Join = np.asarray) -> None:
        super().__init__()
        self._join = join
        self._batches = batches
        self._set_aside: list[tuple[Any, Any]] = []

    def on_test_begin(self, logs: Any = None) -> None:
        """Put the averages in."""
        optimizer = self.model.optimizer
        norms = list(trained_normalisations(self.model))
        changed = [*optimizer._trainable_variables, *(v for n in norms for v in n.non_trainable_variables)]
        self._set_aside = [(variable, keras.ops.convert_to_numpy(variable)) for variable in changed]
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
            variable.assign(average)
        if norms:
            measure_statistics(self.model, norms, self._batches, self._join)

    def on_test_end(self, logs: Any = None) -> None:
        """Put the weights back."""
        for variable, value in self._set_aside:
            variable.assign(value)
        self._set_aside = []


def trained_normalisations(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Yield the batch normalisations whose statistics training changes."""
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            yield layer


def measure_statistics(
    model: keras.Model, norms: list[keras.layers.BatchNormalization], batches: Any, join: Join = np.asarray
) -> None:
    """Set moving mean and variance of `norms` to those of all images in `batches` of (images, ...), where
    several arrays may stand for the images.
    """
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    means, squares, counts = [], [], []
    for images, *_ in batches:
        model(images, training=True)
        measured = [
            [keras.ops.convert_to_numpy(v) for v in (n.moving_mean, n.moving_variance)] for n in norms
        ]
        means.append([mean for mean, _ in measured])
        squares.append([variance + mean**2 for mean, variance in measured])
        counts.append(len(keras.tree.flatten(images)[0]))
    for number, norm in enumerate(norms):
        mean, square = (
            join(np.average([each[number] for each in parts], axis=0, weights=counts))
            for parts in (means, squares)
        )
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(np.maximum(square - mean**2, 0))
        norm.momentum = momenta[number]
