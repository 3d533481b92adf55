"""The faces of the service: HTTP in, HTTP out."""
