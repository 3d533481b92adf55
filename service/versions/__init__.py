"""Versions of models: found on disk, checked, tried, loaded, live, and let go."""
