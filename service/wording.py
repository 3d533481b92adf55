"""How an error names what a client has sent: never its values, but a name that is wrong, made harmless.

The only words of a client's that errors repeat are the name of a form's part, of an option in the query, and
of a tensor or its type in another server's dialect: without them nobody finds the fault. They are cut, and
what could be a mark-up, a line break or a trick of writing directions in somebody's terminal or page is
written as its number.
"""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 40
"""Signs of a name that are shown."""

_HARMLESS = frozenset(" _-.[]()+:/@")


def quoted(name: str | bytes) -> str:
    r"""Return a name within single quotes, for a sentence: letters and digits of any script as they are,
    other signs as `\x0a` or `\u202e`, and at most `LONGEST` of them.
    """
    if isinstance(name, bytes):
        name = name[: 4 * LONGEST + 4].decode("utf-8", "replace")
    shown = "".join(map(_harmless, name[:LONGEST]))
    return f"'{shown}...'" if len(name) > LONGEST else f"'{shown}'"


def _harmless(sign: str) -> str:
    if sign.isalnum() or sign in _HARMLESS:
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that this one is most like, None where it is like none."""
    by_plain = {_plain(each): each for each in known}
    found = get_close_matches(_plain(name[:LONGEST]), by_plain, 1, 0.6)
    return by_plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
