"""Rows of an output and a manifest -> answers."""
