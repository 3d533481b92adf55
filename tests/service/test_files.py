"""Files that are none: pipes, devices, sockets, links and what grows; nothing waits for them."""

import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import files
from service.access import keys
from service.access.keys import Keyring, KeysError
from service.configuration.settings import Settings, StartRefused
from service.errors import PolicyInvalid, VersionRefused
from service.http.tls import context
from service.manifest import golden_path, manifest_path
from service.versions import golden, graph, integrity, policy
from tests.service import making
from tests.service.manifests import make_manifest
from tests.worlds import serving

MOST = 1000


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            # A socket's address is short; a test's folder may not be.
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**35)


THINGS: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "endless": endless,
    "socket": bound,
    "folder": Path.mkdir,
    "nowhere": lambda path: path.symlink_to("nowhere"),
    "itself": lambda path: path.symlink_to(path.name),
    "huge": sparse,
}


@pytest.fixture(params=THINGS)
def thing(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Something that has a file's name and is none, or far too large."""
    made: Callable[[Path], None] = THINGS[request.param]

    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        made(path)

    return put


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A good version of the digits."""
    return making.first("digits", tmp_path / "models")


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    """What has as many bytes as allowed is read, one more is too much; a link only where it is asked for."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * MOST)
    assert files.read(path, MOST) == b"x" * MOST
    assert files.sha256(path, MOST) == hashlib.sha256(b"x" * MOST).hexdigest()
    with pytest.raises(files.Unfit, match="larger than 999 bytes"):
        files.read(path, MOST - 1)
    (tmp_path / "link").symlink_to(path)
    assert files.read(tmp_path / "link", MOST, follow=True) == b"x" * MOST
    with pytest.raises(files.Unfit, match="no plain file"):
        files.read(tmp_path / "link", MOST)


@pytest.mark.parametrize("follow", [True, False])
def test_what_is_no_file_is_not_waited_for(
    tmp_path: Path, thing: Callable[[Path], None], follow: bool
) -> None:
    """(G4, I3) A pipe, a device, a socket, a folder, a link or gigabytes of nothing: an error, at once."""
    path = tmp_path / "file"
    thing(path)
    with pytest.raises(OSError, match=r"plain file|larger than|No such file|symbolic"):
        files.read(path, MOST, follow=follow)


def test_what_grows_is_cut_off(tmp_path: Path) -> None:
    """A file that is written to while it is read is not followed beyond the limit."""
    path = tmp_path / "log"
    path.write_bytes(b"x")
    with files.opened(path, MOST) as file:
        path.write_bytes(b"x" * (MOST + 1))
        with pytest.raises(files.Unfit, match="larger"):
            files.rest(file, MOST)


@pytest.mark.parametrize("relative", ["assets.extra/manifest.json", "saved_model.pb", "fingerprint.pb"])
def test_a_version_of_other_things_is_refused(
    version: Path, thing: Callable[[Path], None], relative: str
) -> None:
    """(G4) Whatever stands where a version's file should be refuses the version."""
    assert integrity.examine("digits", 1, version)
    thing(version / relative)
    with pytest.raises(VersionRefused):
        integrity.examine("digits", 1, version)


@pytest.mark.parametrize(
    "read",
    [
        graph.check,
        lambda folder: golden.read(folder, make_manifest()),
        lambda folder: integrity.read_manifest("digits", 1, folder),
    ],
)
def test_what_changes_after_it_was_checked_is_read_as_warily(
    version: Path, thing: Callable[[Path], None], read: Callable[[Path], Any]
) -> None:
    """(G4) Each reader looks for itself: what was a file a moment ago may be a pipe now."""
    for path in (version / "saved_model.pb", golden_path(version), manifest_path(version)):
        thing(path)
    with pytest.raises((VersionRefused, FileNotFoundError)):
        read(version)


def test_a_golden_archive_is_bounded_unpacked(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(G4) An archive that is small to store and large to unpack is refused by what its members say."""
    np.savez_compressed(golden_path(version), names=np.zeros(2**24, np.uint8))
    assert golden_path(version).stat().st_size < 2**16
    monkeypatch.setattr(golden, "MAX_BYTES", 2**20)
    with pytest.raises(VersionRefused, match="more than 1,048,576 bytes"):
        golden.read(version, make_manifest())


def test_a_policy_of_other_things_is_refused(tmp_path: Path, thing: Callable[[Path], None]) -> None:
    """(G4, G11) The last good policy stays where its file becomes something else."""
    thing(tmp_path / policy.FILE)
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        policy.read(tmp_path)


def test_certificates_of_other_things_are_refused(tmp_path: Path, thing: Callable[[Path], None]) -> None:
    """A start does not hang on a pipe in the place of a certificate."""
    path = tmp_path / "cert.pem"
    thing(path)
    with pytest.raises(StartRefused, match="in PEM"):
        context(Settings(tls_cert_file=path, tls_key_file=path))


def test_withdrawn_keys_end_though_the_file_is_none(
    tmp_path: Path, thing: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """(I3) Where the key file is replaced by something else, or is gone, its keys end after a few looks: for
    whose key was withdrawn nobody knows. As soon as there is a file, its keys are let in.
    """
    path = tmp_path / "keys.toml"
    key, entry = keys.new(["predict"])
    key_id, _, secret = key.partition(".")
    path.write_text(entry)
    ring = Keyring(path)
    thing(path)
    for _ in range(keys.LOOKS):
        ring.refresh()
        assert ring.find(key_id, secret.encode())
    for _ in range(3):
        ring.refresh()
        assert ring.find(key_id, secret.encode()) is None
    assert caplog.text.count("nobody is let in any more") == 1
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    path.write_text(entry)
    ring.refresh()
    assert ring.find(key_id, secret.encode())


def test_a_replaced_key_file_locks_nobody_out(tmp_path: Path) -> None:
    """(I3) A file that is missing for a moment, while another takes its place, changes nothing."""
    path = tmp_path / "keys.toml"
    key, entry = keys.new(["predict"])
    key_id, _, secret = key.partition(".")
    path.write_text(entry)
    ring = Keyring(path)
    for _ in range(3 * keys.LOOKS):
        path.unlink()
        ring.refresh()
        assert ring.find(key_id, secret.encode())
        path.write_text(entry)
        ring.refresh()
    assert ring.find(key_id, secret.encode())


def test_a_start_with_a_pipe_for_keys_says_so(tmp_path: Path, thing: Callable[[Path], None]) -> None:
    """A start does not hang on a pipe in the place of the key file."""
    path = tmp_path / "keys.toml"
    thing(path)
    with pytest.raises(KeysError, match="cannot be read"):
        Keyring(path)


@pytest.mark.parametrize("name", ["pipe", "endless"])
def test_the_watcher_goes_on(version: Path, name: str) -> None:
    """(G4, G15) A version whose manifest is a pipe or endless is refused, and later versions still load."""
    home = version.parent
    with serving(
        home.parent,
        engine="openvino",
        default_classify="digits",
        models_poll_seconds="0.1",
        models_settle_seconds="0.1",
    ) as server:
        bad = home / "2" / "assets.extra"
        bad.mkdir(parents=True)
        THINGS[name](bad / "manifest.json")
        server.read_until(r"refused digits/2: .*no plain file")
        good = home / ".3"
        shutil.copytree(version, good)
        text = manifest_path(good).read_text()
        manifest_path(good).write_text(text.replace('"version": 1', '"version": 3', 1))
        good.rename(home / "3")
        server.read_until(r"switched digits from 1 to 3")
