"""From a socket to a request and back: connections, deadlines, TLS, what wraps every request."""
