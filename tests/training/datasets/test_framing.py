"""Labels come into the model's frame with their images, in every data set, and padding counts nowhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.images.fitting import PAD
from tests.service.manifests import make_input
from tests.training.folders import mask_folder, picture
from training.datasets import SOURCES, Request, framing
from training.datasets.own import folder as own
from training.datasets.reading import fit_images, read_images

REQUEST = Request("classification", 16, 16, 3)


def test_a_box_reaches_out_of_a_crop() -> None:
    """As it was drawn: an overlap with it is that in the photo, of which an answer knows a part alone."""
    crop = make_input(32, 32, 3, "crop")
    assert framing.box_into((0.0, 0.0, 0.5, 1.0), (400, 100), crop) == pytest.approx([-1.5, 0, 0.5, 1])
    letterbox = make_input(32, 32, 3, "letterbox")
    assert framing.box_into((0.0, 0.0, 0.5, 1.0), (400, 100), letterbox) == pytest.approx(
        [0, 12 / 32, 0.5, 20 / 32]
    )
    # What a label file states beyond the photo is cut at the photo's edge, as ever.
    assert framing.box_into((-0.1, 0.0, 0.5, 1.2), (400, 100), make_input()) == pytest.approx([0, 0, 0.5, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_mask_is_padded_after_its_numbers_are_classes(dtype: type[np.generic]) -> None:
    """What the values mean is asked of the mask alone; the padding is 0, whatever 0 means in the file."""
    values = np.full((10, 40), 3, dtype)
    seen: list[tuple[int, ...]] = []

    def classes(
        fitted: np.ndarray[tuple[int, ...], np.dtype[np.uint16]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        seen.append(fitted.shape)
        return (fitted + 4).astype(np.uint8)

    framed = framing.mask_into(values, make_input(20, 20, 3, "letterbox"), classes)
    assert seen == [(5, 20)]
    assert (framed[7:12] == 7).all()
    assert not framed[:7].any()
    assert not framed[12:].any()


def test_contents_say_where_images_lie() -> None:
    """Of letterboxed images, in pixels of the frame; of others all of the frame is image."""
    frame = make_input(20, 20, 3, "letterbox")
    found = framing.contents([(40, 10), (10, 40)], frame)
    assert found is not None
    assert found.tolist() == [[0, 7, 20, 12], [7, 0, 12, 20]]
    assert framing.contents([(40, 10)], make_input(20, 20)) is None


def test_one_cache_holds_each_rule_by_itself(tmp_path: Path) -> None:
    """The same files at one size by another rule, or another share, are not taken for what was decoded."""
    path = tmp_path / "a.png"
    picture(path, (40, 20))
    frames = [make_input(16, 16), make_input(16, 16, 3, "letterbox")]
    frames += [make_input(16, 16, 3, "crop", share) for share in (1.0, 0.5)]
    read = []
    for _ in range(2):
        for frame in frames:
            request = replace(REQUEST, resize=frame.resize, crop_share=frame.crop_share)
            read.append(read_images([path], request))
    for first, again in zip(read[:4], read[4:], strict=True):
        assert (first == again).all()
    for number, one in enumerate(read[:4]):
        assert not any((one == other).all() for other in read[number + 1 : 4])
    assert (read[1][0, :4] == PAD).all()


def test_images_without_files_are_fitted_alike() -> None:
    """Those of a data set in one array are letterboxed and cropped, too."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 20), np.uint8)
    boxed = fit_images(pixels, Request("classification", 20, 20, 1, resize="letterbox"))
    assert (boxed[:, 5:15, :, 0] == pixels).all()
    assert (boxed[:, :5] == PAD).all()
    cropped = fit_images(pixels, Request("classification", 10, 10, 3, resize="crop"))
    assert (cropped == pixels[:, :, 5:15, None]).all()
    # Of the right size already, a crop still keeps a part alone.
    part = fit_images(pixels, Request("classification", 10, 20, 1, resize="crop", crop_share=0.5))
    assert part.shape == (2, 10, 20, 1)
    assert (part[..., 0] != pixels).any()


def test_pets_are_letterboxed_with_their_labels(data_dir: Path) -> None:
    """Head boxes and trimaps lie on the photo within its padding, and contents say where that is."""
    folder = data_dir / "oxford-iiit-pet"
    load = SOURCES["oxford-iiit-pet"].load
    boxes = load(folder, Request("localization", 60, 60, 3, resize="letterbox")).test
    assert boxes.boxes is not None
    # 12..36 of 60 across, and 6..24 of 48 down, six pixels from the top.
    assert boxes.boxes[0] == pytest.approx([12 / 60, 12 / 60, 36 / 60, 30 / 60])
    masks = load(folder, Request("segmentation", 60, 60, 3, resize="letterbox")).test
    plain = load(folder, Request("segmentation", 48, 60, 3)).test
    assert masks.masks is not None
    assert plain.masks is not None
    assert masks.contents is not None
    assert plain.contents is None
    assert (masks.contents == (0, 6, 60, 54)).all()
    assert (masks.masks[:, 6:54] == plain.masks).all()
    assert (masks.images[:, 6:54] == plain.images).all()
    assert not masks.masks[:, :6].any()
    assert not masks.masks[:, 54:].any()
    assert masks.take(np.asarray([1])).contents.tolist() == [[0, 6, 60, 54]]  # type: ignore[union-attr]


def test_own_masks_and_objects_are_letterboxed(tmp_path: Path) -> None:
    """Of one's own folder, read anew and from the cache: beside the image is background, and no object."""
    values = np.zeros((16, 24), np.uint8)
    values[4:8, 4:8], values[10:14, 12:20] = 1, 2
    mask_folder(tmp_path, [Image.fromarray(values) for _ in range(6)])
    request = Request("segmentation", 24, 24, 3, masks="instances", resize="letterbox")
    for _ in range(2):
        splits = own.load(tmp_path, request)
        samples = splits.train
        assert samples.contents is not None
        assert (samples.contents == (0, 4, 24, 20)).all()
        assert samples.masks is not None
        assert samples.instances is not None
        assert (samples.instances[:, 4:20] == values).all()
        assert (samples.masks[:, 4:20] == (values > 0)).all()
        assert not samples.masks[:, :4].any()
        assert (samples.images[:, :4] == PAD).all()
        assert (samples.images[:, 4:20] != PAD).any()


def test_own_boxes_are_cropped(tmp_path: Path) -> None:
    """Of one's own folder, too, a box reaches out of a crop as far as the object does."""
    lines = ["file,x_min,y_min,x_max,y_max,label"]
    for number in range(6):
        picture(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,0,4,12,12,cat")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    request = Request("localization", 16, 16, 3, resize="crop")
    boxes = own.load(tmp_path, request).train.boxes
    # Of 24x16, x 4 to 20 is kept.
    assert boxes == pytest.approx(np.asarray([[-0.25, 0.25, 0.5, 0.75]] * len(boxes)))  # type: ignore[arg-type]
