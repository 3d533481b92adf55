"""From a folder or a guide to a trained run, an export and an answer."""
