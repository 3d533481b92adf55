"""Intervals that hold what they promise."""

import numpy as np
import pytest

from training.intervals import bootstrap, bootstrap_table, wilson


def test_wilson_by_the_published_example() -> None:
    """81 of 263: [0.2553, 0.3662] in R. G. Newcombe, Statistics in Medicine 17 (1998), table I."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_of_a_mean_is_two_standard_errors_wide() -> None:
    """For a mean the interval is known: mean and 1.96 standard errors to either side."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap(values, lambda means: means)
    error = values.std() / 20
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.04
    )


def test_bootstrap_of_a_table_agrees_with_wilson() -> None:
    """A share from a confusion matrix gets about the interval that Wilson gives."""
    table = np.asarray([[40, 10], [5, 45]])
    found = bootstrap_table(table, lambda tables: np.trace(tables, axis1=1, axis2=2))
    assert found == pytest.approx(wilson(85, 100), abs=0.02)
