"""Tests of the service: each package's in the folder of its name, those of the running service in `whole/`.

At the top lie those of modules that lie at the top; `test_app.py` asks a real server for all it can be asked.
"""
