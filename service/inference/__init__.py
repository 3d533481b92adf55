"""One live model: many callers, one engine."""
