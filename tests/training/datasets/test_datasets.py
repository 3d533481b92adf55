"""Data sets are read from their official layouts; splits do not leak; what is missing is named."""

import gzip
import hashlib
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import worlds
from training.datasets import SOURCES, DatasetError, Request
from training.datasets.archives import download, unpack
from training.datasets.dataset import hold_out, hold_out_per_class
from training.datasets.gtsrb import LABELS
from training.datasets.idx import read_idx

PETS = Request("localization", 24, 32, 3)


def test_pets_give_class_box_and_mask_of_the_same_photos(data_dir: Path) -> None:
    """Species, head boxes (as fractions) and trimap classes come as drawn."""
    folder = data_dir / "oxford-iiit-pet"
    boxes = SOURCES["oxford-iiit-pet"].load(folder, PETS)
    assert boxes.labels == ("cat", "dog")
    assert boxes.test.boxes is not None
    # VOC counts from 1 and includes the last pixel: 13..36 of 60 is 12/60..36/60.
    assert boxes.test.boxes[0] == pytest.approx([0.2, 6 / 48, 0.6, 0.5])
    assert boxes.test.images.shape[1:] == (24, 32, 3)
    masks = SOURCES["oxford-iiit-pet"].load(folder, Request("segmentation", 48, 60, 3))
    assert masks.labels == ("background", "pet", "border")
    assert masks.test.masks is not None
    assert masks.test.masks[0, 0, 0] == 0
    assert masks.test.masks[0, 22, 24] == 1
    assert set(np.unique(masks.test.masks)) == {0, 1, 2}


def test_pets_are_divided_alike_for_all_tasks(tmp_path: Path) -> None:
    """A photo without a head box is left out of boxes, and moves no other photo from one part to another."""
    folder = worlds.draw_pet_dataset(tmp_path, per_breed=60)
    for number in (1, 5, 9):
        (folder / "annotations" / "xmls" / f"beagle_{number}.xml").unlink()
    load = SOURCES["oxford-iiit-pet"].load
    boxes, classes = (load(folder, Request(task, 16, 16, 3)) for task in ("localization", "classification"))
    for part in ("train", "validation", "test"):
        found, expected = (set(getattr(splits, part).paths) for splits in (boxes, classes))
        assert found <= expected
    assert len(boxes.train) + len(boxes.validation) == 60 - 3


def test_pets_have_breeds_too(data_dir: Path) -> None:
    """With the target breed, labels are the breeds as people write them, each with its species as group."""
    folder, load = data_dir / "oxford-iiit-pet", SOURCES["oxford-iiit-pet"].load
    splits = load(folder, Request("classification", 16, 16, 3, target="breed"))
    assert (splits.labels, splits.groups) == (("Abyssinian", "Beagle"), ("cat", "dog"))
    assert load(folder, Request("classification", 16, 16, 3)).groups == ()
    for task in ("localization", "segmentation"):
        with pytest.raises(DatasetError, match=f"and not for {task}: leave out the target"):
            load(folder, Request(task, 16, 16, 3, target="breed"))


def test_breeds_of_one_species_have_no_groups(tmp_path: Path) -> None:
    """Of a part of the set that has cats alone, groups would say nothing; several words are a whole name."""
    folder = worlds.draw_pet_dataset(tmp_path, per_breed=20)
    for part in ("trainval", "test"):
        file = folder / "annotations" / f"{part}.txt"
        text = file.read_text().replace("beagle_", "Egyptian_Mau_").replace(" 2 2 1", " 2 1 1")
        file.write_text(text)
    for path in (folder / "images").glob("beagle_*.jpg"):
        path.rename(path.with_name(path.name.replace("beagle_", "Egyptian_Mau_")))
    splits = SOURCES["oxford-iiit-pet"].load(folder, Request("classification", 16, 16, 3, target="breed"))
    assert (splits.labels, splits.groups) == (("Abyssinian", "Egyptian Mau"), ())


def test_pet_faults_name_the_file(tmp_path: Path) -> None:
    """A missing photo, a broken one, a bad list line and a bad trimap are each named in the error."""
    folder = worlds.draw_pet_dataset(tmp_path, per_breed=4)
    load = SOURCES["oxford-iiit-pet"].load
    trimap = folder / "annotations" / "trimaps" / "beagle_1.png"
    Image.new("L", (60, 48), 7).save(trimap)
    with pytest.raises(DatasetError, match=r"beagle_1\.png is not a trimap"):
        load(folder, Request("segmentation", 16, 16, 3))
    (folder / "annotations" / "xmls" / "beagle_1.xml").write_text("<annotation>")
    with pytest.raises(DatasetError, match=r"beagle_1\.xml"):
        load(folder, PETS)
    (folder / "images" / "beagle_2.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match=r"beagle_2\.jpg cannot be read"):
        load(folder, Request("classification", 16, 16, 3))
    (folder / "images" / "beagle_2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"beagle_2\.jpg is missing"):
        load(folder, Request("classification", 16, 16, 3))
    (folder / "annotations" / "test.txt").write_text("beagle_2 2\n")
    with pytest.raises(DatasetError, match=r"test\.txt, line 1"):
        load(folder, PETS)


def test_nuclei_masks_are_instances_made_binary(tmp_path: Path) -> None:
    """Instance ids of 16 bits become nucleus or background; parts are disjoint and complete."""
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    chance = np.random.default_rng(0)
    for number in range(40):
        grey = Image.fromarray(chance.integers(0, 255, (20, 24), np.uint8))
        grey.save(tmp_path / "images" / f"{number}.png")
        ids = np.zeros((20, 24), np.uint16)
        ids[5:10, 5:10], ids[12:15, 12:20] = 1, 300
        Image.fromarray(ids).save(tmp_path / "masks" / f"{number}.png")
    splits = SOURCES["nuclei"].load(tmp_path, Request("segmentation", 20, 24, 3))
    small = SOURCES["nuclei"].load(tmp_path, Request("segmentation", 8, 8, 1))
    assert [small.test.paths, small.validation.paths] == [splits.test.paths, splits.validation.paths]
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 40
    assert splits.test.masks is not None
    assert splits.test.masks[0].sum() == 25 + 24


def test_gtsrb_tracks_stay_whole(tmp_path: Path) -> None:
    """No track has frames in two parts, and each class is in the test part."""
    root = tmp_path / "Final_Training" / "Images"
    for label in range(len(LABELS)):
        folder = root / f"{label:05d}"
        folder.mkdir(parents=True)
        names = [f"{track:05d}_{frame:05d}.png" for track in range(5) for frame in (9, 19)]
        for name in names:
            # A track's brightness is its own, so that its frames can be told in the result.
            Image.new("RGB", (12, 10), (label, int(name[:5]) * 50, 0)).save(folder / name)
        rows = "".join(f"{name};12;10;0;0;9;9;{label}\n" for name in names)
        header = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
        (folder / f"GT-{label:05d}.csv").write_text(header + rows)
    splits = SOURCES["gtsrb"].load(tmp_path, Request("classification", 10, 12, 3))
    parts = [splits.train, splits.validation, splits.test]
    tracks = [{tuple(image[0, 0]) for image in part.images} for part in parts]
    assert not tracks[0] & tracks[1]
    assert not tracks[0] & tracks[2]
    assert not tracks[1] & tracks[2]
    assert sum(len(part) for part in parts) == 43 * 10
    assert splits.test.labels is not None
    assert set(splits.test.labels) == set(range(43))


def test_gtsrb_names_the_missing_index(tmp_path: Path) -> None:
    """A class without its CSV is an error that names it."""
    (tmp_path / "Final_Training" / "Images").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"GT-00000\.csv is missing"):
        SOURCES["gtsrb"].load(tmp_path, Request("classification", 10, 12, 3))


def test_idx_files_are_checked(tmp_path: Path) -> None:
    """An idx file gives its array; a short one, another type or no gzip is an error that names the file."""
    path = tmp_path / "images.gz"
    head = b"\x00\x00\x08\x03" + struct.pack(">III", 2, 3, 4)
    path.write_bytes(gzip.compress(head + bytes(range(24))))
    assert read_idx(path).tolist() == np.arange(24).reshape(2, 3, 4).tolist()
    for broken in (gzip.compress(head + bytes(23)), gzip.compress(b"\x00\x00\x0d\x01"), b"plain"):
        path.write_bytes(broken)
        with pytest.raises(DatasetError, match=r"images\.gz"):
            read_idx(path)


def test_damaged_downloads_are_refused(tmp_path: Path) -> None:
    """A file whose checksum is not the published one is an error that says so."""
    (tmp_path / "train.gz").write_bytes(b"something else")
    with pytest.raises(DatasetError, match="damaged"):
        download("train.gz", "https://example.invalid/train.gz", "0" * 64, tmp_path)


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_archives_are_unpacked_whole(tmp_path: Path, kind: str) -> None:
    """Two processes that both find nothing unpack once; what a killed one left is no obstacle."""
    (tmp_path / "source" / "photos" / "a").mkdir(parents=True)
    (tmp_path / "source" / "photos" / "a" / "1.txt").write_text("one")
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), kind, tmp_path / "source"))
    folder = tmp_path / "data"
    (folder / ".unpack-left" / "photos").mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(lambda _: unpack(archive, folder, "photos"), range(4)))
    assert places == [folder / "photos"] * 4
    assert (folder / "photos" / "a" / "1.txt").read_text() == "one"
    assert {path.name for path in folder.iterdir()} <= {"photos", ".unpack-left", ".lock"}
    with pytest.raises(DatasetError, match="does not hold nothing"):
        unpack(archive, folder, "nothing")


def test_downloads_by_two_at_once_are_whole(tmp_path: Path) -> None:
    """Who asks while another one fetches waits for the file, and never sees half of it."""
    content = bytes(range(256)) * 4000
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file.bin").write_bytes(content)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "there"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, ThreadPoolExecutor(4) as pool:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/file.bin"
        digest = hashlib.sha256(content).hexdigest()
        paths = list(pool.map(lambda _: download("file.bin", url, digest, tmp_path / "data"), range(4)))
        server.shutdown()
    assert all(path.read_bytes() == content for path in paths)


def test_missing_downloads_say_what_to_do(tmp_path: Path) -> None:
    """Where a file is absent and its place cannot be reached, the error names the file and the option."""
    url = (tmp_path / "nowhere" / "train.gz").as_uri()
    with pytest.raises(DatasetError, match=r"train\.gz is missing.*--data-dir"):
        download("train.gz", url, "0" * 64, tmp_path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=2, max_size=200), st.floats(0.05, 0.9), st.integers(0, 5))
def test_groups_are_never_torn(groups: list[int], fraction: float, seed: int) -> None:
    """Whatever the groups, none has rows on both sides, every row is on one, and the seed decides."""
    kept, held = hold_out(len(groups), fraction, seed, groups)
    assert sorted([*kept, *held]) == list(range(len(groups)))
    assert not {groups[row] for row in kept} & {groups[row] for row in held}
    assert len(held)
    again = hold_out(len(groups), fraction, seed, groups)
    assert again[1].tolist() == held.tolist()


def test_each_class_gives_its_share() -> None:
    """Of a class of ten rows and one of a hundred, a tenth each is held out."""
    labels = np.repeat([0, 1], [10, 100]).astype(np.int32)
    _, held = hold_out_per_class(labels, 0.1, seed=0)
    assert np.bincount(labels[held]).tolist() == [1, 10]


@pytest.mark.parametrize("name", SOURCES)
def test_official_files_where_present(name: str) -> None:
    """Where the real data set lies in a `data` folder beside the project, it loads whole."""
    folder = Path("data") / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    source = SOURCES[name]
    splits = source.load(folder, Request(source.tasks[0], 32, 32, 3))
    assert len(splits.test) > 0
