"""Settings: from the environment and the command line, and what is wrong with them."""
