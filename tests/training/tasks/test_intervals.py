"""Intervals that hold what they promise."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.tasks.intervals import bootstrap, bootstrap_table, wilson


def test_wilson_by_the_published_example() -> None:
    """81 of 263: [0.2553, 0.3662] in R. G. Newcombe, Statistics in Medicine 17 (1998), table I."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_of_a_mean_is_two_standard_errors_wide() -> None:
    """For a mean the interval is known: mean and 1.96 standard errors to either side."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    error = values.std() / 20
    assert bootstrap(values, lambda means: means) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.04
    )


def test_bootstrap_of_a_table_agrees_with_wilson() -> None:
    """A share from a confusion matrix gets about the interval that Wilson gives."""
    table = np.asarray([[40, 10], [5, 45]])
    found = bootstrap_table(table, lambda tables: np.trace(tables, axis1=1, axis2=2))
    assert found == pytest.approx(wilson(85, 100), abs=0.02)


def test_a_table_of_many_labels_is_drawn_in_parts() -> None:
    """Four hundred labels: no thousand tables at once, and the same interval."""
    table = np.diag(np.full(400, 4))
    table[0, 1:201] = 1
    seen: list[int] = []

    def accuracy(tables: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(len(tables))
        return np.asarray(np.trace(tables, axis1=1, axis2=2))

    found = bootstrap_table(table, accuracy)
    assert found == pytest.approx(wilson(1600, 1800), abs=0.005)
    assert sum(seen) == 1000
    assert max(seen) <= 60


def test_where_the_bootstrap_says_nothing_there_is_no_interval() -> None:
    """A handful of images, or perfect answers: an interval of no width would lie."""
    assert bootstrap(np.arange(5.0), lambda means: means) is None
    assert bootstrap(np.ones(100), lambda means: means) is None
    assert bootstrap_table(np.diag([30, 30]), lambda tables: np.trace(tables, axis1=1, axis2=2)) is None
