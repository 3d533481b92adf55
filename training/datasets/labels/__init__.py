"""Readers of label files, one per format -> annotations."""
