"""What lies in the folder of models, by names and modes alone."""

import logging
import os
import re
import stat
from pathlib import Path

from service.versions import integrity, policy

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
                if integrity.is_debris(home.name) or not home.is_dir():
                    continue
                if self._is_model(home) and (versions := self._versions(home)):
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
            if path.name.startswith(_OWN) or integrity.is_debris(path.name):
                continue
            if _VERSION.fullmatch(path.name) and (path.is_dir() or path.is_symlink()):
                versions[int(path.name)] = folder = self._followed(path)
                self._judge_mode(folder)
            else:
                self._warn(path, "is no version's folder (a whole number) and is passed over")
        return versions

    def _followed(self, path: Path) -> Path:
        """Return where a version lies: a link to a folder within the models' folder is followed, once for all
        that is done with it; any other is returned as it is, to be refused.
        """
        if not path.is_symlink():
            return path
        real = Path(os.path.realpath(path))
        inside = real.is_relative_to(os.path.realpath(self._models_dir))
        return real if inside and real.is_dir() else path

    def _judge_mode(self, path: Path) -> None:
        mode = path.lstat().st_mode
        # A link's own mode says nothing.
        if not stat.S_ISLNK(mode) and mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            self._warn(path, "can be written to by everybody: whoever does that chooses what is served")

    def _warn(self, path: Path, what: str) -> bool:
        if path not in self._warned and len(self._warned) < 1000:
            self._warned.add(path)
            known = path.is_relative_to(self._models_dir)
            log.warning("%r %s", str(path.relative_to(self._models_dir.parent) if known else path), what)
        return False
