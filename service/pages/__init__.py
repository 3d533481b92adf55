"""Pages for people: an image tried, a model understood. What they show comes from a version's own folder."""
