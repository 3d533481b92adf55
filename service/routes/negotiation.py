"""Which representation the client wants (RFC 9110, section 12.5.1)."""

from functools import lru_cache

from starlette.requests import Request


def prefers(request: Request, offers: tuple[str, ...]) -> str | None:
    """Return the offered media type that the Accept header likes best, the first offer where it is open;
    None where it takes none of them.
    """
    accept = b""
    for name, value in request.scope["headers"]:
        if name == b"accept":
            accept += b"," + value
    # Clients repeat their wishes; by far the most have none.
    return _choice(accept[:1024], offers)


@lru_cache(256)
def _choice(accept: bytes, offers: tuple[str, ...]) -> str | None:
    parts = str(accept, "latin-1").split(",")
    wishes = [_wish(part) for part in parts if part.strip()] or [("*/*", 1.0)]
    best, best_quality = None, 0.0
    for offer in offers:
        quality = _quality(offer, wishes)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _wish(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_type, min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def _quality(offer: str, wishes: list[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that covers the offer."""
    for pattern in (offer, offer.partition("/")[0] + "/*", "*/*"):
        # The same type may be wished for several times, in versions that nobody here tells apart.
        if found := [quality for media_type, quality in wishes if media_type == pattern]:
            return max(found)
    return 0.0
