"""A folder of one's own: how it is laid out, what lies in it, and what is wrong with it."""
