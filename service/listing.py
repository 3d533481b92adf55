"""What lies in the folder of models, by names and modes alone."""

import logging
import os
import re
import stat
from pathlib import Path

from service import policy

log = logging.getLogger("service")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,15}")
_OWN = (".export-", ".policy-", policy.FILE)
"""What may lie beside versions: an export or a policy that is being written, and a policy."""


class Listing:
    """Lists models and versions, and says once about each thing that should not be there."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._warned: set[Path] = set()
        self.complete = True
        """Whether every model's folder could be read the last time."""

    def scan(self) -> dict[str, dict[int, Path]]:
        """Return the folders <name>/<version>/; OSError where the folder of models cannot be read."""
        self.complete = True
        self._judge_mode(self._models_dir)
        found: dict[str, dict[int, Path]] = {}
        for home in sorted(self._models_dir.iterdir()):
            try:
                if home.is_dir() and self._is_model(home) and (versions := self._versions(home)):
                    found[home.name] = versions
            except OSError as error:
                self.complete = False
                self._warn(home, f"cannot be read: {os.strerror(error.errno or 0)}")
        return found

    def _is_model(self, home: Path) -> bool:
        if home.is_symlink():
            return self._warn(home, "is a symbolic link and is passed over")
        return bool(_NAME.fullmatch(home.name)) or self._warn(home, "is no model's name and is passed over")

    def _versions(self, home: Path) -> dict[int, Path]:
        self._judge_mode(home)
        versions = {}
        for path in home.iterdir():
            if path.name.startswith(_OWN):
                continue
            if _VERSION.fullmatch(path.name) and (path.is_dir() or path.is_symlink()):
                self._judge_mode(path)
                versions[int(path.name)] = path
            else:
                self._warn(path, "is no version's folder (a whole number) and is passed over")
        return versions

    def _judge_mode(self, path: Path) -> None:
        if stat.S_IMODE(path.lstat().st_mode) & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            self._warn(path, "can be written to by everybody: whoever does that chooses what is served")

    def _warn(self, path: Path, what: str) -> bool:
        if path not in self._warned and len(self._warned) < 1000:
            self._warned.add(path)
            log.warning("%r %s", str(path.relative_to(self._models_dir.parent)), what)
        return False
