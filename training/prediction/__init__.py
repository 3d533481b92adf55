"""Answers without a server."""
