"""Tests of training: each package's in the folder of its name, those of whole ways through it in `whole/`."""
