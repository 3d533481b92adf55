"""The running service: processes, signals, files, browsers and clients, over a real port."""
