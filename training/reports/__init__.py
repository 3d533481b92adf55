"""A run, told to people: a page, plots, pictures, layers."""
