"""The bodies of requests -> the encoded images in them."""
