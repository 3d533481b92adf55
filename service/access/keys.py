"""API keys: what is kept of them, the file that they are in, and new ones.

A key is `<id>.<secret>`, the secret 256 random bits. Only the SHA-256 of the secret is kept: to try out what
hashes to it is hopeless for a secret that no person thought up, so that nothing slower is needed. The file:

    [[keys]]
    id = "k3f9a81c2"
    sha256 = "<64 hexadecimal digits>"
    roles = ["predict", "metrics"]
    expires = 2027-06-30T00:00:00Z      # may be left out
    comment = "the mobile app"          # may be left out

Any number of keys is valid at a time, so one is replaced without a gap: add the new one, change the clients
over, delete the old one.
"""

import argparse
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import sys
import threading
import time
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from service import files
from service.configuration.settings import StartRefused

log = logging.getLogger("service")

Role = Literal["predict", "operate", "metrics"]

RELOAD_SECONDS = 1.0
"""How often the file is looked at: a key that is taken out of it works no longer than this and a read."""

LOOKS = 3
"""How often in turn there may be no file to be read: one that is put in another's place may be missing for a
moment. After that nobody is let in, for whose key was withdrawn nobody knows.
"""

_MOST_BYTES = 2**20


class KeysError(StartRefused):
    """A key file that cannot be used."""


class KeysUnread(KeysError):
    """A key file that is not there, or is none."""


class Key(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    roles: frozenset[Role] = Field(min_length=1, strict=False)
    expires: AwareDatetime | None = None
    comment: str = Field("", max_length=200)

    def valid_at(self, moment: float) -> bool:
        """Whether it is let in at that time, in seconds since 1970."""
        return self.expires is None or moment < self.expires.timestamp()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keys: list[Key] = Field(default_factory=list, max_length=10_000)


_NAMES = {"keys", *Key.model_fields}

_NOBODY = Key(id="-", sha256="0" * 64, roles=frozenset[Role](["predict"]))
"""Compared with where an id is unknown, so that this takes as long as a wrong secret."""


class Keyring:
    """The keys of a file, read again whenever it changes. KeysError where it cannot be used at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature = _signature(path)
        self._keys = read(path)
        if not any(key.valid_at(time.time()) for key in self._keys.values()):
            raise KeysError(f"No key in {path} is valid: `python -m service keys new` makes one.")
        self._unread = 0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="keys", daemon=True)

    def find(self, key_id: str, secret: bytes) -> Key | None:
        """Return the key of that id and secret, in a time that tells neither; None where there is none."""
        key = self._keys.get(key_id, _NOBODY)
        right = hmac.compare_digest(hashlib.sha256(secret).hexdigest(), key.sha256)
        return key if right and key is not _NOBODY and key.valid_at(time.time()) else None

    def start(self) -> None:
        """Watch the file, in a thread of its own: a file system that hangs must not hold requests up."""
        self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._watcher.is_alive():
            self._watcher.join(RELOAD_SECONDS)

    def refresh(self) -> None:
        """Read the file if it has changed.

        One that has a fault in it changes nothing. Where there is none for `LOOKS` looks, all keys end.
        """
        signature = _signature(self._path)
        if signature == self._signature and not self._unread:
            return
        self._signature = signature
        try:
            self._keys = read(self._path)
        except KeysUnread as error:
            self._miss(error)
            return
        except KeysError as error:
            log.error("the keys stay as they were: %s", error)
        else:
            log.info("%d keys are let in from now on", len(self._keys))
        self._unread = 0

    def _miss(self, error: KeysUnread) -> None:
        self._unread += 1
        if self._unread == 1:
            log.warning("the keys stay as they were for %g s: %s", LOOKS * RELOAD_SECONDS, error)
        elif self._unread == LOOKS + 1:
            self._keys = {}
            log.error("nobody is let in any more: %s", error)

    def _watch(self) -> None:
        while not self._stop.wait(RELOAD_SECONDS):
            self.refresh()


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def read(path: Path) -> dict[str, Key]:
    """Return the keys of a file by id; KeysError says what is wrong with it, without its contents."""
    try:
        # Where secrets are mounted into containers, they are links.
        with files.opened(path, _MOST_BYTES, follow=True) as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IWOTH:
                raise KeysError(f"Everybody on this machine may write {path}: chmod o-w it.")
            text = files.rest(file, _MOST_BYTES)
    except OSError as error:
        raise KeysUnread(f"{path} cannot be read: {error.strerror}.") from None
    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise KeysError(f"{path} is not valid TOML.") from None
    try:
        keys = _File.model_validate(document).keys
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        # A name that the file made up stays out, as its values do: it may be a key pasted where none belongs.
        known = [str(step) for step in fault["loc"] if isinstance(step, int) or step in _NAMES]
        raise KeysError(f"{path}: {'.'.join(known) or 'a name'}: {fault['msg']}.") from None
    by_id = {key.id: key for key in keys}
    if len(by_id) < len(keys):
        raise KeysError(f"{path} has one id twice.")
    return by_id


def main(arguments: Sequence[str]) -> None:
    """`python -m service keys new`: the entry to standard output, the key itself to standard error, once."""
    parser = argparse.ArgumentParser(
        prog="python -m service keys",
        description="Make an API key. Its entry goes to standard output, to be appended to the file that "
        "STRIATE_KEYS_FILE names; the key itself goes to standard error and is kept nowhere.",
    )
    parser.add_argument("action", choices=["new"])
    parser.add_argument("--role", action="append", choices=get_args(Role), required=True, dest="roles")
    parser.add_argument("--expires-days", type=int, help="Days until it ends; without it, never.")
    parser.add_argument("--comment", default="", help="Whose it is; at most 200 characters.")
    given = parser.parse_args(arguments)
    if given.expires_days is not None and not 0 < given.expires_days <= 36_500:
        parser.error("--expires-days takes 1 to 36500")
    if len(given.comment) > 200 or not given.comment.isprintable():
        parser.error("--comment takes at most 200 printable characters")
    expires = given.expires_days and datetime.now(UTC) + timedelta(days=given.expires_days)
    key, entry = new(sorted(set(given.roles)), expires, given.comment)
    sys.stdout.write(entry)
    sys.stderr.write(f"The key, shown this once: {key}\n")


def new(roles: Sequence[Role], expires: datetime | None = None, comment: str = "") -> tuple[str, str]:
    """Return a new key, and its entry for the file."""
    key_id, secret = f"k{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    lines = [
        "[[keys]]",
        f'id = "{key_id}"',
        f'sha256 = "{hashlib.sha256(secret.encode("ascii")).hexdigest()}"',
        f"roles = {json.dumps(roles)}",
    ]
    if expires:
        lines.append(f"expires = {expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    if comment:
        lines.append(f"comment = {json.dumps(comment, ensure_ascii=False)}")
    return f"{key_id}.{secret}", "\n".join([*lines, "", ""])
