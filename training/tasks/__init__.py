"""Each task: head, loss, measures against the truth, and how its samples are drawn."""
