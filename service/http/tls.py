"""TLS by settings: what uvicorn is told, checked before it starts."""

import ssl
from typing import Any

from service import files
from service.configuration.settings import Settings, StartRefused
from service.http.secure import SecureProtocol

MAX_BYTES = 2**20
"""Most bytes of a certificate with its chain, or of a key."""


def options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options, none without a certificate. StartRefused where the files cannot be used."""
    if context(settings) is None:
        return {}
    # Nothing of uvicorn's own TLS, which neither counts nor times handshakes.
    return {"http": SecureProtocol}


def context(settings: Settings) -> ssl.SSLContext | None:
    """Return a context for TLS 1.2 and up, whatever OpenSSL's configuration allows (RFC 8996).

    None without a certificate. StartRefused where the files cannot be used.
    """
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    try:
        for path in (settings.tls_cert_file, settings.tls_key_file):
            with files.opened(path, MAX_BYTES, follow=True):
                pass
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        # Without a password of our own, OpenSSL would ask for one on the terminal.
        made.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise StartRefused(
            f"{settings.tls_cert_file} and {settings.tls_key_file} are no certificate and its key in PEM, "
            f"without a password: {reason or 'they do not load'}."
        ) from None
    return made
