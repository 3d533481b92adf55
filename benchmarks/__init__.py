"""Measurements: never part of the tests, never timed there."""
