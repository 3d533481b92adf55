"""Decoding in processes: the same pixels, and whatever happens to one of them stays in it."""

import gc
import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from service.configuration.settings import Settings
from service.decoding import worker
from service.decoding.nursery import IMPORT_SECONDS
from service.decoding.pool import Decoders, Hands
from service.errors import (
    BrokenImage,
    DecoderCrashed,
    ImageError,
    ImageTooCostly,
    ImageTooLarge,
    ImageTooSmall,
    NotAnImage,
)
from service.images import codec
from service.work import Abandoned, Errand
from tests.images import LOSSY, SAMPLES, WHOLE, noise, orientation_block, png
from tests.patches import P3, with_profile
from tests.processes import children, runs
from tests.service import rogue_decoder as rogue
from tests.service.manifests import make_input
from training import golden

MAX_PIXELS = 2**24
SECONDS = 1.0
MEMORY = 2**28
SPEC = make_input(32, 32, 3)


def jpeg(width: int, height: int = 24) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


GOOD = jpeg(40)


def is_right(decoders: Decoders) -> bool:
    """Return whether a good image comes out as it should."""
    photo, tensor = decoders.decode(GOOD, SPEC, MAX_PIXELS)
    expected = codec.read(GOOD, SPEC, MAX_PIXELS, whole=False)
    return (photo.width, photo.height) == (40, 24) and bool((tensor == expected[1]).all())


def open_files() -> int:
    """Return how many descriptors this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """Two processes that decode as the service's do."""
    made = Decoders(2, 5, MEMORY, 5)
    yield made
    made.close()


@pytest.fixture(scope="module")
def rogues() -> Iterator[Decoders]:
    """One process that misbehaves on images of certain widths."""
    made = Decoders(1, SECONDS, MEMORY, 5, "tests.service.rogue_decoder")
    yield made
    made.close()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("whole", [False, True])
def test_pixels_are_the_same_as_in_a_thread(decoders: Decoders, channels: int, whole: bool) -> None:
    """(D28) Tensor, size and, where wanted, pixels do not depend on where an image is decoded."""
    spec = make_input(48, 40, channels)
    for data in [*SAMPLES.values(), *(sample.data for sample in golden.samples("shapes"))]:
        photo, tensor = decoders.decode(data, spec, MAX_PIXELS, whole)
        expected, same = worker.decode(data, spec, MAX_PIXELS, whole)
        assert (tensor == same).all()
        assert (photo.width, photo.height) == (expected.width, expected.height)
        assert photo.image.mode == expected.image.mode or not whole
        assert photo.image.tobytes() == expected.image.tobytes() or not whole


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"%PDF-1.7", NotAnImage),
        (GOOD[:300], BrokenImage),
        (png((5000, 3400), 8, 0, b""), ImageTooLarge),
        (jpeg(3), ImageTooSmall),
    ],
)
def test_errors_are_the_same_as_in_a_thread(decoders: Decoders, data: bytes, error: type[ImageError]) -> None:
    """What is wrong with an image is told in the same words."""
    with pytest.raises(error) as found:
        decoders.decode(data, SPEC, MAX_PIXELS)
    with pytest.raises(error) as expected:
        worker.decode(data, SPEC, MAX_PIXELS)
    assert found.value.detail == expected.value.detail


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("limit", [2**24, 400 * 300, 100_000])
def test_large_jpegs_are_drawn_on_at_a_fraction(decoders: Decoders, limit: int, whole: bool) -> None:
    """(D4) Past the limit a JPEG is answered at its own size, and its pixels come smaller, as in a thread."""
    data = jpeg(800, 600)
    photo, tensor = decoders.decode(data, SPEC, limit, whole)
    expected, same = worker.decode(data, SPEC, limit, whole)
    assert (photo.width, photo.height) == (800, 600) == (expected.width, expected.height)
    assert (tensor == same).all()
    if whole:
        scale = {2**24: 1, 400 * 300: 2, 100_000: 4}[limit]
        assert photo.image.size == (800 // scale, 600 // scale)
        assert photo.image.tobytes() == expected.image.tobytes()


@pytest.mark.parametrize("name", ["gif", "bmp", "lzw tiff", "ppm", "avif", "heic"])
def test_rarer_formats_are_decoded_in_processes_alone(name: str) -> None:
    """Where JPEG, PNG and WebP are decoded in threads, others are not: a process is started for the first."""
    data = (WHOLE | LOSSY)[name]
    with Hands(Settings(decode_isolation="thread", decode_threads=1)) as hands:
        hands.start()
        before = children(os.getpid())
        hands.decode(GOOD, SPEC, MAX_PIXELS, False)
        assert children(os.getpid()) == before
        photo, tensor = hands.decode(data, SPEC, MAX_PIXELS, True)
        assert len(children(os.getpid())) == len(before) + 1
        assert not hands.isolated
    expected, same = codec.read(data, SPEC, MAX_PIXELS, whole=True)
    assert (tensor == same).all()
    assert photo.image.tobytes() == expected.image.tobytes()
    assert children(os.getpid()) == before


@pytest.mark.parametrize(("resize", "share"), [("letterbox", 1.0), ("crop", 0.7), ("tile", 1.0)])
def test_a_decoder_fits_by_the_models_rule(decoders: Decoders, resize: str, share: float) -> None:
    """A process of its own makes the tensor that this one makes, whatever the rule, profiles too."""
    spec = make_input(32, 40, 3, resize, share)
    for data in (GOOD, with_profile("JPEG", P3)):
        _, tensor = decoders.decode(data, spec, MAX_PIXELS)
        _, same = codec.read(data, spec, MAX_PIXELS, whole=False)
        assert (tensor == same).all()


def test_profiles_need_nothing_that_is_not_there(decoders: Decoders) -> None:
    """A decoder that can open no file converts colours all the same."""
    for kind in ("JPEG", "HEIC"):
        data = with_profile(kind, P3)
        _, tensor = decoders.decode(data, SPEC, MAX_PIXELS)
        _, same = codec.read(data, SPEC, MAX_PIXELS, whole=False)
        assert (tensor == same).all()


def test_phones_photos_need_nothing_that_is_not_there(decoders: Decoders) -> None:
    """Though a decoder can open no file, it decodes what makes Pillow import more: EXIF, MPO."""
    buffer = io.BytesIO()
    picture = Image.fromarray(noise(64, 64))
    picture.save(buffer, "MPO", save_all=True, append_images=[picture], exif=orientation_block(b"\6"))
    photo, _ = decoders.decode(buffer.getvalue(), SPEC, MAX_PIXELS, True)
    assert (photo.width, photo.height) == (64, 64)


@pytest.mark.parametrize("width", [rogue.SEGFAULT, rogue.ABORT])
def test_a_crash_costs_one_request(rogues: Decoders, width: int) -> None:
    """(D25) A decoder that segfaults or aborts costs its image a 503; within 1 s the next is answered."""
    assert is_right(rogues)  # the process that they are forked from has started

    def crash() -> float:
        started = time.monotonic()
        with pytest.raises(DecoderCrashed):
            rogues.decode(jpeg(width), SPEC, MAX_PIXELS)
        assert is_right(rogues)
        return time.monotonic() - started

    # The quickest counts: other processes may be busy.
    assert min(crash() for _ in range(3)) < 1


def test_an_endless_decode_is_the_images_fault(rogues: Decoders) -> None:
    """(D26) One that computes for too long is stopped, the image refused with 422, and the next answered."""
    found: ImageError = DecoderCrashed("")
    for _ in range(5):
        with pytest.raises(ImageError) as caught:
            rogues.decode(jpeg(rogue.SPIN), SPEC, MAX_PIXELS)
        found = caught.value
        # Where others leave it less than half a processor, it is not the image's fault: the next test.
        if isinstance(found, ImageTooCostly):
            break
    assert isinstance(found, ImageTooCostly)
    assert "longer than 1 s" in found.detail
    assert is_right(rogues)


def test_a_decode_that_nobody_waits_for_is_ended(rogues: Decoders) -> None:
    """(D26, F5) A decoder whose caller has left is killed, not waited for; the next image is decoded."""
    assert is_right(rogues)
    errand = Errand()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(rogues.decode, jpeg(rogue.SPIN), SPEC, MAX_PIXELS, errand=errand)
        while not errand._stop:
            pass
        errand.gone = True
        errand.stop()
        # At its limit of a second it would be ImageTooCostly.
        assert isinstance(asked.exception(), Abandoned)
    assert is_right(rogues)
    with pytest.raises(Abandoned):
        rogues.decode(GOOD, SPEC, MAX_PIXELS, errand=errand)


def test_a_stuck_decode_is_not(rogues: Decoders) -> None:
    """(D26) One that got no processor for as long is not the image's fault: 503."""
    with pytest.raises(DecoderCrashed):
        rogues.decode(jpeg(rogue.SLEEP), SPEC, MAX_PIXELS)
    assert is_right(rogues)


def test_a_greedy_decode_is_refused(rogues: Decoders) -> None:
    """(D27) One that wants more memory than it may have ends in a 422, and the process goes on."""
    assert is_right(rogues)
    with_link = rogues._idle.queue[-1]
    assert with_link
    with pytest.raises(BrokenImage, match="memory"):
        rogues.decode(jpeg(rogue.GREEDY), SPEC, MAX_PIXELS)
    assert is_right(rogues)
    assert rogues._idle.queue[-1] is with_link


@pytest.mark.parametrize("width", [rogue.OPEN, rogue.CONNECT])
def test_a_decoder_can_open_nothing(rogues: Decoders, width: int) -> None:
    """An image that takes its decoder over finds no file to read and no network."""
    with pytest.raises(DecoderCrashed):
        rogues.decode(jpeg(width), SPEC, MAX_PIXELS)


@pytest.mark.parametrize("width", [rogue.LIE, rogue.BIG_LIE])
def test_a_decoder_is_not_believed(rogues: Decoders, width: int) -> None:
    """An answer that does not have the size that was asked for ends the decoder, not the server."""
    with pytest.raises(DecoderCrashed):
        rogues.decode(jpeg(width), SPEC, MAX_PIXELS, whole=True)
    assert is_right(rogues)


def test_a_decoder_lost_while_idle_costs_nothing(decoders: Decoders) -> None:
    """(H5) When an idle decoder is killed, the next image is decoded by another."""
    assert is_right(decoders)
    link = decoders._idle.queue[-1]
    assert link
    os.kill(link.pid, signal.SIGKILL)
    assert is_right(decoders)


def test_a_lost_nursery_costs_nothing(decoders: Decoders) -> None:
    """(H5) When the nursery is killed, its decoders end with it, and the next image brings new ones."""
    assert is_right(decoders)
    assert decoders.nursery.process
    decoders.nursery.process.kill()
    decoders.nursery.process.wait()
    assert is_right(decoders)


def test_decoders_outlive_the_thread_that_asked(decoders: Decoders) -> None:
    """(H5) A nursery that was opened from a thread of a model lives on when that thread has ended, and so do
    its decoders.
    """
    assert is_right(decoders)
    with ThreadPoolExecutor(1) as lane:
        assert decoders.nursery.process
        decoders.nursery.process.kill()
        decoders.nursery.process.wait()
        assert lane.submit(is_right, decoders).result()
    process, link = decoders.nursery.process, decoders._idle.queue[-1]
    assert process
    assert link
    assert is_right(decoders)
    assert decoders.nursery.process is process
    assert decoders._idle.queue[-1] is link
    assert runs(process.pid)
    assert runs(link.pid)


def test_a_stopped_nursery_is_replaced(decoders: Decoders) -> None:
    """(H5) Decoders that are killed while the process they come from is stopped are replaced all the same,
    long before that process would have been given up for its imports.
    """
    assert is_right(decoders)
    stopped = decoders.nursery.process
    assert stopped
    os.kill(stopped.pid, signal.SIGSTOP)
    for pid in children(stopped.pid):
        os.kill(pid, signal.SIGKILL)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(is_right, decoders).result(IMPORT_SECONDS / 2)
    assert decoders.nursery.process is not stopped
    assert not runs(stopped.pid)


def test_there_are_never_more_than_asked_for(rogues: Decoders) -> None:
    """However many images come and crash, there is the nursery and at most one decoder at any time."""
    assert is_right(rogues)
    nursery = rogues.nursery.process
    assert nursery
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, len(children(nursery.pid)))

    with ThreadPoolExecutor(5) as threads:
        watching = threads.submit(watch)
        asked = [threads.submit(rogues.decode, jpeg(rogue.ABORT), SPEC, MAX_PIXELS) for _ in range(12)]
        assert all(isinstance(found.exception(), DecoderCrashed) for found in asked)
        done.set()
    watching.result()
    assert most == 1


def test_limits_hold_in_a_decoder(decoders: Decoders) -> None:
    """Memory, files and core dumps are limited, no rights are gained, and the environment has no secret."""
    assert is_right(decoders)
    link = decoders._idle.queue[-1]
    assert link
    proc = Path(f"/proc/{link.pid}")
    limits = {line[:25].strip(): line[26:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
    size = int(limits["Max address space"][0])
    assert MEMORY < size < MEMORY + 2**31
    for name in ("Max file size", "Max open files", "Max core file size"):
        assert limits[name] == ["0", "0"]
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()
    assert b"STRIATE_" not in (proc / "environ").read_bytes()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Have nothing closed by the collector that other tests have left open. To collect it first would go
    through all that a process of many tests holds, which takes up to half a minute.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_shutdown_leaves_no_process() -> None:
    """(H5) After the hands are shut down, no process of theirs is left and no descriptor."""
    before = open_files()
    hands = Hands(Settings(decode_isolation="process", decode_threads=2))
    hands.start()
    hands.decode(GOOD, SPEC, MAX_PIXELS, False)
    assert hands._decoders
    nursery = hands._decoders.nursery.process
    assert nursery
    started = [nursery.pid, *children(nursery.pid)]
    assert len(started) == 2
    hands.shutdown()
    assert not any(runs(pid) for pid in started)
    assert open_files() == before


@pytest.mark.parametrize(
    ("host", "isolation", "isolated"),
    [
        ("127.0.0.1", "auto", False),
        ("::1", "auto", False),
        ("localhost", "auto", False),
        ("0.0.0.0", "auto", True),
        ("::", "auto", True),
        ("192.0.2.7", "auto", True),
        ("striate.example", "auto", True),
        ("0.0.0.0", "thread", False),
        ("127.0.0.1", "process", True),
    ],
)
def test_who_listens_beyond_loopback_isolates(host: str, isolation: str, isolated: bool) -> None:
    """The safe way is the default wherever somebody else could post; either can be set."""
    made = Settings.model_validate({"host": host, "decode_isolation": isolation})
    assert made.isolates_decoding is isolated
