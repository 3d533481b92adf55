"""Offline training: labelled images in, model versions out."""
