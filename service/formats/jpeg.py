"""JPEG files, scan by scan: decoded where every row is there, refused where one is not.

libjpeg fills what is missing with grey, decodes what lies behind a cut as if it were pixels, and tells both
in warnings that Pillow hides; a file that only lacks its end mark it never finishes. But it can be fed piece
by piece, and says whether it needs more. So each scan is fed up to where its data ends, by its own bytes, and
the rule is: a scan is whole if it is not finished shortly before that place, and is finished there.

Every row is there if each component of the image has a first scan (of a progressive one: of its lowest
frequencies) and no scan is cut. A missing end mark is no damage, nor is anything behind the last scan; but a
progressive image without its end mark must have all of its bits, else a scan could be missing unnoticed.
(ITU-T T.81, annexes F, G and H.) Where the end mark is missing and no marker ends the data, some bytes may
follow, unless they only go on with what was repeated before.

Not told are: data of the same length as what is missing, to a few bytes in its decoded form; and a gap within
one restart interval, for only the number of those is held.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

from PIL import Image, ImageFile

from .scans import END, TEXT, Damaged, Layout, Scan, end_of, filler_of

_SLACK = 8
"""Bytes that may stand between a scan's last and the next marker: some cameras write a few."""
_STRAY, _STRAY_LEAST, _STRAY_SHARE = 1024, 24, 8
"""The same where the file ends, or before a marker that cannot follow: random bytes have one after 260, on
the average. At most, at least, and which part of all data it is, for what stands in for missing pixels ends
anywhere."""
_STEP = 16
_AHEAD = b"\xff\x00" * 7
"""What libjpeg wants to see behind what it decodes, to fill a buffer of 64 bits: bytes of ones, for no
Huffman code is made of ones alone (T.81, section C.2)."""
_ZEROS = bytes(8)
"""The same for arithmetic coding, whose last bytes are left out where they are zero (T.81, section D.1.8)."""
_PROBE = bytes(3)
_LAST_MARK = re.compile(rb"(?s)(?:[^\xff]|\xff\x00)*\xff\xd9\Z")
"""The end of a file without any other mark."""


class Decoder(Protocol):
    """What Pillow's decoders are."""

    def decode(self, data: bytes | memoryview, /) -> tuple[int, int]:
        """Return the bytes that were taken, a negative number at the end, and an error's number or 0."""

    def setimage(self, image: object, extents: tuple[int, int, int, int] | None, /) -> None:
        """Say where the pixels go."""

    def cleanup(self) -> object:
        """Free what it holds."""


class _Job:
    """One JPEG to decode, by decoders that `make` gives, all for the same pixels."""

    def __init__(self, layout: Layout, make: Callable[[], Decoder]) -> None:
        self._layout = layout
        self._make = make

    def run(self) -> bool:
        """Return whether the image was decoded, and is whole."""
        if self._layout.arithmetic:
            # They take only all at once, and fail where it is too little.
            return not self._tries(self._decodes_short) and self._tries(self._decodes_at_once)
        # Mostly the file's last mark ends the only scan; if not, the decoder is finished earlier.
        layout, last = self._layout, len(self._layout.data) - len(END)
        if layout.single and not layout.first.interval and _LAST_MARK.match(layout.data, max(0, last - 32)):
            if self._tries(partial(self._decodes_scan, scan=layout.first, end=last)):
                return True
            if end_of(layout.data, layout.first)[0] == last:
                return False
        return self._tries(self._decodes)

    def _tries(self, work: Callable[["_Stream"], bool]) -> bool:
        stream = _Stream(self._layout.data, self._make(), self._layout.single)
        try:
            return work(stream)
        finally:
            stream.close()

    def _decodes(self, stream: "_Stream") -> bool:
        """Feed scan by scan; return whether each is whole."""
        for scan, end in self._layout.scans():
            if not self._decodes_scan(stream, scan, end):
                return False
        stream.feed(END)
        return stream.done

    def _decodes_scan(self, stream: "_Stream", scan: Scan, end: int) -> bool:
        """Feed a scan; return whether it is finished at its end, or where a filler starts, and not before."""
        data = self._layout.data
        filler, certain = filler_of(data, scan, end)
        if scan.has_hole(data, filler):
            return False
        slack = self._slack(end) if filler == end else _SLACK
        for stop in (filler,) if certain and not scan.refines else sorted({filler, end}):
            for at in (*range(stop - slack, stop - _SLACK, _STEP), stop - _SLACK):
                if self._has_finished(stream, scan, at):
                    # Not by data that was put there, if it goes on behind the last pixel.
                    place, stream.at = stream.at, end
                    return at > stop - slack and not self._layout.is_copied(place)
            stream.go_to(min(stop + len(_AHEAD), end))
            if stop == end:
                stream.feed(_AHEAD)
            if stream.is_finished(_PROBE if stop == end else b""):
                stream.at = end
                return True
        return False

    def _has_finished(self, stream: "_Stream", scan: Scan, at: int) -> bool:
        if at <= max(scan.start, stream.at):
            return False
        stream.go_to(at)
        return stream.is_finished()

    def _slack(self, end: int) -> int:
        """Return how many bytes may stand between a scan's last one and where its data ends."""
        if not self._layout.is_stray(end):
            return _SLACK
        # Arithmetic codes take nearly anything for pixels.
        share = 0 if self._layout.arithmetic else (end - self._layout.first.start) // _STRAY_SHARE
        return min(_STRAY, max(_STRAY_LEAST, share))

    def _decodes_at_once(self, stream: "_Stream", short: bool = False) -> bool:
        """Feed whole scans, the last one without some of its bytes where it shall be `short`."""
        scans = list(self._layout.scans())
        for scan, end in scans:
            stop = filler_of(self._layout.data, scan, end)[0]
            if short and scan is scans[-1][0]:
                stop -= self._slack(end)
                if stop <= scan.start:
                    return False
                stream.go_to(stop)
            else:
                # Text may begin with the scan's last bytes; a pattern does not.
                text = stop < end and self._layout.data[stop] in TEXT
                stream.go_to(min(stop + 8, end) if text else stop, _ZEROS)
            stream.at = end
        if not short:
            stream.feed(END)
        return stream.is_finished()

    def _decodes_short(self, stream: "_Stream") -> bool:
        return self._decodes_at_once(stream, short=True)


def load(opened: ImageFile.ImageFile, data: bytes, mode: str | None, side: int | None) -> None:
    """Decode a JPEG that was opened from these bytes. Raises Damaged where rows are missing.

    Where `side` is given and the JPEG's kind allows it, it is decoded at a fraction of its size, with no side
    below that, and grey where `mode` is L.
    """
    layout = Layout(data)
    if side and layout.scalable:
        opened.draft(mode, (side, side))
    opened.load_prepare()
    tile = opened.tile[0]

    def make() -> Decoder:
        decoder: Decoder = Image._getdecoder(opened.mode, tile.codec_name, tile.args, opened.decoderconfig)
        decoder.setimage(opened.im, tile.extents)
        return decoder

    if not _Job(layout, make).run():
        raise Damaged
    opened.tile = []


class _Stream:
    """Feeds one decoder; `at` is how far of the data it has come."""

    def __init__(self, data: bytes, decoder: Decoder, single: bool) -> None:
        self._view = memoryview(data)
        self._decoder = decoder
        self._single = single
        self._left = b""
        self.at = 0
        self.done = self.broken = False

    def go_to(self, stop: int, behind: bytes = b"") -> None:
        """Feed the data up to there, and something behind it."""
        piece = self._view[self.at : stop]
        self.at = max(stop, self.at)
        self.feed(bytes(piece) + behind if behind else piece)

    def feed(self, piece: bytes | memoryview) -> None:
        if self.done or self.broken:
            return
        data = self._left + piece if self._left else piece
        taken, error = self._decoder.decode(data)
        if taken < 0:
            self.done, self.broken, self._left = not error, bool(error), b""
        else:
            self._left = bytes(data[taken:])

    def is_finished(self, probe: bytes = b"") -> bool:
        """Return whether the decoder has all rows of this scan.

        Of an only scan, it says so. Of several, it has if it takes each single byte at once, looking for the
        next marker; amid a scan it waits for more. The bytes are those of `probe`, else the data's next.
        """
        if self._single or self.done:
            return self.done
        for _ in range(len(_PROBE)):
            before = len(self._left)
            if probe:
                self.feed(probe[:1])
            else:
                self.go_to(self.at + 1)
            # A marker's first byte is left until its second is there.
            if self.broken or before > 1 or self._left not in (b"", b"\xff"):
                return False
        return True

    def close(self) -> None:
        self._decoder.cleanup()
