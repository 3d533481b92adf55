"""The processes of the service: the command, one server, or several workers and their supervisor."""
