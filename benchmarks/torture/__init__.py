"""`make torture`: faults, floods and hostile input against the real service, and what it made of them."""
