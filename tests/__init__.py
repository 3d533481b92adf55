"""What lies where: `service/`, `training/` and `deploy/` are laid out as what they test; `fuzz/` has targets.

A module's tests lie where it lies and are named after it; those of a whole half, from its command line or
over its port, lie in the half's `whole/`. What several files need is in modules without `test_` (`worlds`
draws data sets and starts servers, `images` encodes, `processes` waits) and in `conftest.py`.
"""
