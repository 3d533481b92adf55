"""What `python -m training` does beside training: it tells, inspects, asks."""
