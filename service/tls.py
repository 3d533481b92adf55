"""TLS by settings: what uvicorn is told, checked before it starts."""

import ssl
from collections.abc import Callable
from typing import Any

from service.settings import Settings, StartRefused


def options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options, none without a certificate. StartRefused where the files cannot be used."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return {}
    try:
        # Without a password of our own, OpenSSL would ask for one on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise StartRefused(
            f"{settings.tls_cert_file} and {settings.tls_key_file} are no certificate and its key in PEM, "
            f"without a password: {reason or 'they do not load'}."
        ) from None
    return {
        "ssl_certfile": settings.tls_cert_file,
        "ssl_keyfile": settings.tls_key_file,
        "ssl_context_factory": at_least_1_2,
    }


def at_least_1_2(config: Any, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Make uvicorn's context for TLS 1.2 and up, whatever OpenSSL's configuration allows (RFC 8996)."""
    context = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
