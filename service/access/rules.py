"""Who may ask for what: decided by a request's head alone, before a byte of its body is read.

Where keys are needed, a request brings one as `Authorization: Bearer <key>` (RFC 6750, section 2.1) or as
`X-API-Key: <key>`, and the key must have the route's role. A wrong one is 401, and 429 after too many from
one address; a right one is let in all the same, since 256 random bits are not found by trying, while others
behind the same address must not be locked out by somebody's attempts.

Where none are needed, everybody may predict and look at the metrics, but only this machine may operate.
"""

import logging
import math
import re
from functools import lru_cache
from typing import Any

from starlette.types import Scope

from service import addresses
from service.access.keys import Key, Keyring, KeysError, Role
from service.access.throttle import Throttle
from service.configuration.settings import Settings
from service.errors import AccessError, Forbidden, TooManyRequests, Unauthorized

log = logging.getLogger("service")

_BEARER = b"authorization"
_HEADERS = frozenset((_BEARER, b"x-api-key"))
_FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"))
_FROM_A_PAGE = {(b"sec-fetch-site", site) for site in (b"cross-site", b"same-site")}
"""What browsers say of requests that another page makes (W3C, Fetch Metadata); images bring no Origin."""
_LONGEST = 128

_IN_QUERY = re.compile(
    rb"(?:^|&)(?:x[-_])?(?:api[-_]?key|key|token|access[-_]token|bearer|authorization)=", re.IGNORECASE
)

_OPERATION = frozenset(("operate", "metrics"))
"""The roles whose routes a listener for administration takes to itself."""


class Access:
    """Lets the requests of one app in. KeysError where keys are needed and there are none."""

    def __init__(self, settings: Settings) -> None:
        self._keyring = _keyring(settings)
        self._trusted = addresses.networks(settings.trusted_proxies)
        self._admin_port = settings.admin_port
        # Another server may have been told to serve the app elsewhere than the settings say.
        self._only_local = settings.auth == "auto" and not settings.published_host
        failures = settings.auth_failures_per_minute
        self._failures = Throttle(failures / 60, max(1.0, failures))
        rate = settings.key_requests_per_second
        self._rates = Throttle(rate, max(1.0, rate), most=10_000) if rate else None

    @property
    def keys_needed(self) -> bool:
        """Whether only requests with a key are answered."""
        return self._keyring is not None

    def start(self) -> None:
        """Follow changes of the key file."""
        if self._keyring:
            self._keyring.start()

    def close(self) -> None:
        """Stop following them."""
        if self._keyring:
            self._keyring.close()

    def hides(self, scope: Scope, role: Role) -> bool:
        """Whether routes of that role are on the listener for administration, and this is the other."""
        if self._admin_port is None or role not in _OPERATION:
            return False
        # The socket's own port, not that of the Host header, which is the client's to choose.
        return (scope.get("server") or ("", None))[1] != self._admin_port

    def check(self, scope: Scope, role: Role) -> None:
        """Return if the request may have what needs the role; else raise the AccessError that fits."""
        if self._keyring is None:
            self._check_place(scope, role)
            return
        key = self._find(scope)
        if key is None:
            raise self._refusal(scope)
        if self._rates and (wait := self._rates.take(key.id)):
            raise TooManyRequests("This key has asked too often; wait as Retry-After says.", math.ceil(wait))
        if role not in key.roles:
            raise Forbidden(f"This key is not for that: it takes one with the role {role}.")

    def may(self, scope: Scope, role: Role) -> bool:
        """Whether the request would be let in; counts nothing."""
        if self._keyring is None:
            return not (self._only_local and _is_outside(_host(scope, "server")))
        key = self._find(scope)
        return key is not None and role in key.roles

    def _find(self, scope: Scope) -> Key | None:
        given = _given(scope)
        if len(given) != 1 or _in_query(scope):
            return None
        name, value = given[0]
        if name == _BEARER:
            scheme, _, value = value.partition(b" ")
            if scheme.lower() != b"bearer":
                return None
            value = value.lstrip(b" ")
        if len(value) > _LONGEST:
            return None
        key_id, _, secret = value.partition(b".")
        assert self._keyring
        return self._keyring.find(key_id.decode("latin-1"), secret)

    def _refusal(self, scope: Scope) -> AccessError:
        given = _given(scope)
        if not given and not _in_query(scope):
            return Unauthorized(
                "This needs a key: send it as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'."
            )
        client = self._client(scope)
        if wait := self._failures.take(client):
            return TooManyRequests("Too many wrong keys came from your address.", math.ceil(wait))
        if _in_query(scope):
            detail = "A key never belongs into the address, which is logged on its way: send it in a header."
        elif len(given) > 1:
            detail = "Send one key, once: in Authorization or in X-API-Key."
        else:
            detail = "This key is not let in: it is wrong, has ended or was withdrawn."
        # As often as the throttle lets one address; of the key, nothing.
        log.info("a wrong key came from %s", client)
        return Unauthorized(detail, key_was_sent=True)

    def _client(self, scope: Scope) -> str:
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
        ]
        return addresses.client(_host(scope, "client"), forwarded, self._trusted)

    def _check_place(self, scope: Scope, role: Role) -> None:
        if self._only_local and _is_outside(_host(scope, "server")):
            raise Forbidden(
                "This service was set up for its own machine only: its operator has to set up keys, or say "
                "that none are needed."
            )
        if role != "operate":
            return
        if _is_outside(_host(scope, "client")) or any(name in _FORWARDED for name, _ in scope["headers"]):
            raise Forbidden(
                "Without keys, only the service's own machine may do this, and not through a proxy."
            )
        if any(name == b"origin" or (name, value) in _FROM_A_PAGE for name, value in scope["headers"]):
            # A page from anywhere could send it through the browser of somebody on this machine.
            raise Forbidden("Without keys, no web page may do this.")


def _keyring(settings: Settings) -> Keyring | None:
    if not settings.keys_needed:
        return None
    if settings.keys_file is None:
        reason = (
            "STRIATE_AUTH is on" if settings.auth == "on" else "Not only this machine reaches the service"
        )
        raise KeysError(
            f"Who may ask? {reason}, so keys are needed: name a file of them in STRIATE_KEYS_FILE "
            "(`python -m service keys new` makes keys), or set STRIATE_AUTH=off to let everybody in."
        )
    return Keyring(settings.keys_file)


def _given(scope: Scope) -> list[tuple[bytes, bytes]]:
    return [header for header in scope["headers"] if header[0] in _HEADERS]


def _in_query(scope: Scope) -> Any:
    query = scope["query_string"]
    return query and _IN_QUERY.search(query)


def _host(scope: Scope, end: str) -> str:
    """Return the address of one end of the connection; of a Unix socket's, which has none, this machine's."""
    return str((scope.get(end) or ("127.0.0.1", 0))[0])


@lru_cache(256)
def _is_outside(host: str) -> bool:
    address = addresses.read(host)
    return address is not None and not address.is_loopback
