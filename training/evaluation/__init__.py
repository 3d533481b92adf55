"""How good a network is, against the truth and against the best constant answer."""
