"""The cache of decoded pixels: decoded once, rebuilt when in doubt, never in the way."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.datasets import DatasetError
from training.datasets.cache import cached, directory


class Decoder:
    """Decodes files to their first bytes, and counts how often."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.paths = [folder / f"{number}.raw" for number in range(count)]
        for number, path in enumerate(self.paths):
            path.write_bytes(bytes([number, 7]))
        self.runs = 0

    def __call__(self) -> NDArray[Any]:
        return cached("raw", self.paths, (2,), np.uint8, self.fill)

    def fill(self, rows: NDArray[Any]) -> None:
        self.runs += 1
        for row, path in zip(rows, self.paths, strict=True):
            row[:] = np.fromfile(path, np.uint8, 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("TRAINING_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_files_are_decoded_once(folder: Path, tmp_path: Path) -> None:
    """The second reading maps what the first one wrote, and leaves nothing else behind."""
    decoder = Decoder(tmp_path)
    first, second = decoder(), decoder()
    assert decoder.runs == 1
    assert isinstance(second, np.memmap)
    assert first.tolist() == second.tolist() == [[0, 7], [1, 7], [2, 7]]
    assert len(list(folder.iterdir())) == 1


def test_what_changes_is_decoded_again(folder: Path, tmp_path: Path) -> None:
    """A file with another size or time, or another list of files, is another array."""
    decoder = Decoder(tmp_path)
    decoder()
    decoder.paths[1].write_bytes(b"\x09\x09\x09")
    assert decoder()[1].tolist() == [9, 9]
    decoder.paths[1].write_bytes(b"\x05\x05\x05")
    os.utime(decoder.paths[1], ns=(1, 1))
    assert decoder()[1].tolist() == [5, 5]
    decoder.paths.reverse()
    assert decoder()[0].tolist() == [2, 7]
    assert decoder.runs == 4


@pytest.mark.parametrize("how", ["no such call", "no such file system"])
def test_room_is_taken_without_the_call_for_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Where the system has no posix_fallocate (macOS), or the file system cannot, the array is cached all the
    same, with room for all of it.
    """
    if how == "no such call":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:

        def refuse(*_: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    paths = Decoder(tmp_path).paths
    array = cached("wide", paths, (2**19,), np.uint8, lambda rows: rows[1].fill(7))
    assert isinstance(array, np.memmap)
    assert array.sum(axis=1).tolist() == [0, 7 * 2**19, 0]
    (file,) = folder.iterdir()
    assert file.stat().st_blocks * 512 >= 3 * 2**19
    assert Decoder(tmp_path)().tolist() == [[0, 7], [1, 7], [2, 7]]


@pytest.mark.parametrize("damage", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_array_is_made_again(folder: Path, tmp_path: Path, damage: bytes) -> None:
    """An array that is empty, cut short or something else does no harm."""
    decoder = Decoder(tmp_path)
    decoder()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for content in (damage, whole[:-1]):
        file.write_bytes(content)
        assert decoder().tolist() == [[0, 7], [1, 7], [2, 7]]
        assert file.read_bytes() == whole


def test_a_failed_decoding_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """Where decoding fails, the error passes and no half-made array stays."""
    decoder = Decoder(tmp_path)
    decoder.paths[2].write_bytes(b"")
    with pytest.raises(ValueError, match="broadcast"):
        decoder()
    assert not list(folder.iterdir())
    decoder.paths[2].unlink()
    with pytest.raises(DatasetError, match=r"2\.raw is missing"):
        decoder()


def test_many_at_once_get_the_same(folder: Path, tmp_path: Path) -> None:
    """Readers that start together all get the whole array, and one file stays."""
    decoder = Decoder(tmp_path, count=200)
    with ThreadPoolExecutor(8) as pool:
        arrays = list(pool.map(lambda _: decoder(), range(8)))
    assert all(array.tolist() == [[number, 7] for number in range(200)] for array in arrays)
    assert len(list(folder.iterdir())) == 1


def test_without_a_place_to_write_it_decodes_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache that cannot be written is a warning, not an end."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRAINING_CACHE_DIR", str(tmp_path / "file" / "cache"))
    decoder = Decoder(tmp_path)
    assert decoder().tolist() == decoder().tolist() == [[0, 7], [1, 7], [2, 7]]
    assert decoder.runs == 2
    assert "decoding into memory" in caplog.text


def test_the_place_follows_the_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins, then the XDG one, then ~/.cache."""
    monkeypatch.setenv("TRAINING_CACHE_DIR", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert directory() == Path("/a")
    monkeypatch.delenv("TRAINING_CACHE_DIR")
    assert directory() == Path("/b/striate")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert directory() == Path("/c/.cache/striate")
