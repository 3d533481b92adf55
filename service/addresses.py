"""Internet addresses: which are this machine's own, whose word on others is taken, and how others name us."""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(256)
def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host: 127.0.0.0/8, ::1 or localhost."""
    address = read(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def read(text: str) -> Address | None:
    """Return the address, IPv4 in its own form where it is mapped into IPv6; None where it is none."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def networks(text: str) -> tuple[Network, ...]:
    """Read networks separated by commas, such as `10.0.0.0/8, ::1`; ValueError where one is none."""
    try:
        return tuple(_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError:
        raise ValueError("networks are written like 10.0.0.0/8,192.168.1.5,fd00::/8") from None


def _network(text: str) -> Network:
    """Read a network, IPv4 in its own form where it is mapped into IPv6, as `read` does with addresses."""
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def is_among(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether the address of a connection's other end is in one of these networks."""
    address = read(peer)
    return address is not None and any(address in network for network in trusted)


def client(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return who a connection stands for: the peer, or whom trusted proxies name in X-Forwarded-For.

    Each proxy adds the address that it was asked from to the right, so the first one from there that is no
    trusted proxy is the client; what stands left of it is the client's own invention.
    """
    address = read(peer)
    if address is None:
        return "unknown"
    for text in reversed(",".join(forwarded).split(",") if forwarded else ()):
        if not any(address in network for network in trusted):
            break
        named = read(text)
        if named is None:
            break
        address = named
    return _countable(address)


def _countable(address: Address) -> str:
    """Return what is counted as one client: an IPv6 host has a whole /64 to choose its addresses from."""
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def origins(text: str) -> tuple[str, ...]:
    """Read origins separated by commas, as browsers send them (RFC 6454, section 7): `*`, or scheme, host and
    port; ValueError where one is none.
    """
    found = [_origin(each.strip().lower()) for each in text.split(",") if each.strip()]
    if "*" in found and len(found) > 1:
        raise ValueError("'*' lets every page in and stands alone")
    return tuple(dict.fromkeys(found))


def _origin(text: str) -> str:
    match = _ORIGIN.fullmatch(text)
    if text == "*":
        return text
    if match is None:
        raise ValueError(
            "origins are written like https://app.example,http://localhost:3000, or * for every page"
        )
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port in {None, _DEFAULT_PORTS[scheme]} else f"{scheme}://{host}:{port}"


_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_LONGEST_PREFIX = 256


def prefix(text: str) -> str | None:
    """Return the path below which a proxy shows us, such as `/striate`, without a slash at its end; empty for
    none, and None where it is no clean path: what goes into links must lead nowhere else.
    """
    path = text.strip().removesuffix("/")
    if len(path) <= _LONGEST_PREFIX and (not path or _PREFIX.fullmatch(path)):
        return path
    return None
