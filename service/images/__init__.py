"""Encoded images -> pixels and tensors, and pictures out."""
