"""Reads all images of a listing once: what they are, what is wrong with them, and which are the same."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets import cache, framing, reading
from training.datasets.dataset import DatasetError, MaskValues, Request
from training.datasets.division import join
from training.datasets.labels.annotations import box_fault
from training.datasets.own import likeness, masks
from training.datasets.own.colours import Colours
from training.datasets.own.legend import read_legend
from training.datasets.own.listing import PARTS, Fault, Item, Listing
from training.datasets.own.meaning import COLOURS, DRAWN, Values


@dataclass(frozen=True)
class Seen:
    """One readable image, and what lay in its file.

    `row` is its place among the listing's items, and in the arrays of a `Canvas`; `width` and `height` are
    the upright image's; `mode` and `format` are Pillow's names; `key` is the same for the same pixels.
    """

    item: Item
    row: int
    width: int
    height: int
    mode: str
    format: str
    turned: bool
    key: str
    values: Values | None = None
    look: likeness.Look | None = None


@dataclass(frozen=True)
class Canvas:
    """Where what is read goes, by the rows of the listing's items, at the asked size.

    `images` uint8 `[N, h, w, C]` and, where there are masks, `masks` uint16 `[N, h, w]` of their own values.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint16] | None = None


def canvas(listing: Listing, request: Request) -> Canvas:
    """Make room on disk for all that a listing has; it goes with the process."""
    shape = (len(listing.items), request.height, request.width)
    return Canvas(
        cache.scratch((*shape, request.channels), np.uint8),
        cache.scratch(shape, np.uint16) if request.truth == "mask" else None,
    )


@dataclass(frozen=True)
class Survey:
    """A listing, its readable images, and all that is wrong with it, label files and images alike."""

    listing: Listing
    seen: tuple[Seen, ...]
    faults: tuple[Fault, ...]
    colours: Colours
    """Of its masks."""
    near: Mapping[int, int] = field(default_factory=dict)
    """Of each near-duplicate, by its `row`, the least row of its group."""

    def sound(self) -> tuple[Seen, ...]:
        """Return the images with which nothing is wrong."""
        broken = {fault.file for fault in self.faults}
        return tuple(seen for seen in self.seen if not broken & set(_files(self.listing, seen.item)))

    def mask_values(self, seen: Seen) -> NDArray[np.int32]:
        """Return the values of an image's mask, int32 `[height, width]` of the file's own size."""
        return _mask_of(seen, self.colours)[0]


def _files(listing: Listing, item: Item) -> Iterator[str]:
    yield listing.name(item.path)
    if isinstance(item.mask, Path):
        yield listing.name(item.mask)


def survey(listing: Listing, request: Request, onto: Canvas | None = None) -> Survey:
    """Read every image of a listing, `onto` a canvas if the pixels are wanted.

    Nothing but DatasetError for a bad `group_by` is raised.
    """
    colours = Colours(read_legend(listing.legend) if listing.legend else None)
    reader = _Reader(listing, request, _exact(listing.items), colours, onto)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(reader.read, range(len(listing.items)), listing.items))
    seen = tuple(result for result in results if isinstance(result, Seen))
    faults = [*listing.faults]
    for result in results:
        faults += [] if isinstance(result, Seen) else result
    faults += _mixed(listing, seen)
    faults += _contradictions(listing, seen, request.masks, colours)
    faults += _leaks(listing, seen, sides(seen, request.group_by))
    looks = {one.row: one.look for one in seen if one.look and request.near}
    return Survey(listing, seen, tuple(faults), colours, likeness.near(looks))


_JPEG = frozenset(("JPEG", "MPO"))


def _exact(items: Sequence[Item]) -> set[Path]:
    """Return the JPEGs that must be decoded in full to be compared with other files.

    Two JPEGs of the same picture are the same at any fraction of their size; a PNG is only the same as a
    JPEG that was decoded whole. So whole they must be where a file of another format has the same size.
    """
    headers = {item.path: reading.read_header(item.path) for item in items}
    formats: dict[tuple[int, ...], set[str]] = defaultdict(set)
    for header in headers.values():
        if header:
            formats[tuple(sorted(header[0]))].add(header[2])
    mixed = {size for size, found in formats.items() if found & _JPEG and found - _JPEG}
    return {path for path, header in headers.items() if header and tuple(sorted(header[0])) in mixed}


@dataclass(frozen=True)
class _Reader:
    listing: Listing
    request: Request
    exact: set[Path]
    colours: Colours
    onto: Canvas | None

    def read(self, row: int, item: Item) -> Seen | list[Fault]:
        """Read one image with its mask, or say all that is wrong with it."""
        name = self.listing.name(item.path)
        try:
            least = None if item.path in self.exact else reading.least_side(self.request)
            photo = reading.read_photo(item.path, self.request.channels, least, self.request)
        except DatasetError as error:
            return [Fault(name, "unreadable", _without_path(error, item.path))]
        item = item.scaled(photo.width, photo.height)
        found = [box_fault(name, stated, (photo.width, photo.height)) for stated in item.stated]
        faults = [fault for fault in found if fault]
        if faults:
            # Boxes of an image of another size are all wrong together.
            return faults[:1] if faults[0].kind == "wrong size" else faults
        pixels = photo.image.tobytes()
        key = hashlib.sha256(f"{photo.width} {photo.height} ".encode() + pixels).hexdigest()
        if self.onto:
            self.onto.images[row] = reading.fit(photo, self.request)
        seen = Seen(
            item, row, photo.width, photo.height, photo.mode, photo.format, photo.turned, key,
            look=likeness.look(photo.image, (photo.width, photo.height)),
        )  # fmt: skip
        return self._with_mask(seen) if item.mask else seen

    def _with_mask(self, seen: Seen) -> Seen | list[Fault]:
        mask = seen.item.mask
        assert mask is not None
        path = mask if isinstance(mask, Path) else seen.item.path
        name = self.listing.name(path)
        try:
            values, known = _mask_of(seen, self.colours)
        except DatasetError as error:
            return [Fault(name, "broken mask", _without_path(error, path))]
        height, width = values.shape
        if (width, height) != (seen.width, seen.height):
            text = f"the mask is {width}x{height}, its upright image {seen.width}x{seen.height}"
            return [Fault(name, "wrong size", text)]
        if self.onto and self.onto.masks is not None:
            self.onto.masks[seen.row] = framing.mask_into(values, self.request)
        return replace(seen, values=known)


def _mask_of(seen: Seen, colours: Colours) -> tuple[NDArray[np.int32], Values]:
    mask = seen.item.mask
    if isinstance(mask, Path):
        return masks.read(mask, colours)
    assert mask is not None
    return masks.draw(seen.item.path, mask, (seen.width, seen.height))


def _without_path(error: DatasetError, path: Path) -> str:
    return str(error).removeprefix(f"{path} ").rstrip(".")


def _mixed(listing: Listing, seen: Sequence[Seen]) -> Iterator[Fault]:
    """Find masks in colour among others that are not, or the other way round; the fewer are named."""
    kinds: dict[bool, list[Seen]] = {True: [], False: []}
    for one in seen:
        if one.values and one.values.mode not in ("RGB", "RGBA"):
            kinds[one.values.mode == COLOURS].append(one)
    fewer, more = sorted((True, False), key=lambda coloured: len(kinds[coloured]))
    for one in kinds[fewer] if kinds[more] else ():
        what = "a colour picture" if fewer else "no colour picture"
        right = (
            "one value per class or object, as most are here"
            if fewer
            else "one colour per class, as most here"
        )
        if isinstance(one.item.mask, Path):
            yield Fault(listing.name(one.item.mask), "broken mask", f"is {what}: a mask needs {right}")


def _contradictions(
    listing: Listing, seen: Sequence[Seen], stated: MaskValues, colours: Colours
) -> Iterator[Fault]:
    first: dict[str, Seen] = {}
    for one in seen:
        other = first.setdefault(one.key, one)
        name, twin = (listing.name(each.item.path) for each in (one, other))
        if other.item.names != one.item.names:
            own, others = (" and ".join(each.item.names) or "nothing" for each in (one, other))
            text = f"is {own}, but {twin} is the same picture and {others}"
        elif not _same_box(other.item, one.item):
            text = f"has another box than {twin}, which is the same picture"
        elif other is not one and not _same_mask(other, one, stated, colours):
            text = f"has another mask than {twin}, which is the same picture"
        else:
            continue
        yield Fault(name, "contradiction", text)


def _same_box(other: Item, one: Item) -> bool:
    """Return whether the box of one, or all where all are learnt, are among the other's, but for a pixel."""
    boxes = [stated.box for stated in other.stated]
    own = [one.box] if one.box else [stated.box for stated in one.stated]
    found = all(any(np.allclose(mine, box, rtol=0, atol=1) for box in boxes) for mine in own)
    return found and (one.box is not None or len(own) == len(boxes))


def _same_mask(other: Seen, one: Seen, stated: MaskValues, colours: Colours) -> bool:
    """Return whether two masks show the same, though objects may be numbered in another order."""
    if one.item.mask is None or other.item.mask is None or one.item.mask == other.item.mask:
        return True
    left, known = _mask_of(other, colours)
    right = _mask_of(one, colours)[0]
    if stated == "classes" or (not stated and known.mode in ("P", DRAWN, COLOURS)):
        return np.array_equal(left, right)
    if not np.array_equal(left > 0, right > 0):
        return False
    # Each value here must be one value there.
    pairs = np.unique(left.astype(np.int64) * 65536 + right)
    return stated == "binary" or len(pairs) == len(np.unique(left)) == len(np.unique(right))


def sides(seen: Sequence[Seen], group_by: str, near: Mapping[int, int] | None = None) -> list[int]:
    """Group what must not be torn apart: copies of a picture, near-duplicates (see `Survey.near`), and files
    of which `group_by` finds the same.

    What counts of `group_by` is its first group, or else all that it matches in the file's name.
    """
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise DatasetError(f"--group-by {group_by!r} is not a regular expression: {error}.") from None
    keys = []
    for one in seen:
        names = [one.key]
        if near and one.row in near:
            names.append(f"near {near[one.row]}")
        if group_by:
            match = pattern.search(one.item.path.name)
            if match is None:
                raise DatasetError(f"--group-by {group_by!r} finds nothing in the name of {one.item.path}.")
            names.append(f"group {match.group(1) if pattern.groups else match.group()}")
        keys.append(names)
    return join(keys)


def _leaks(listing: Listing, seen: Sequence[Seen], groups: Sequence[int]) -> Iterator[Fault]:
    """Find images that belong together with one of a later part of the user's own division.

    What is in no part may be trained on. The later part keeps its image: the test stays what it is.
    """
    members = defaultdict(list)
    for one, group in zip(seen, groups, strict=True):
        members[group].append(one)
    for several in members.values():
        for one in several:
            later = [other for other in several if _rank(other) > _rank(one)]
            if not later:
                continue
            # The picture itself says more than another one of its group.
            last = max(later, key=lambda other: (other.key == one.key, _rank(other)))
            own, place = one.item.part or "no part", f"as {listing.name(last.item.path)}, in {last.item.part}"
            text = f"is in {own} and, {place}: take it out of one"
            if last.key != one.key:
                text = f"is in {own} and its group is, {place}: put all of the group into one part"
            yield Fault(listing.name(one.item.path), "leak", text)


def _rank(one: Seen) -> int:
    return PARTS.index(one.item.part) if one.item.part else 0
