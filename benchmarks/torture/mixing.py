"""Rows G20, G21: what one image does to those beside it in a batch, and whether each gets its own row."""

import asyncio
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from PIL import Image

from benchmarks.torture import mixture, wire
from benchmarks.torture.ledger import Entry, Ledger
from benchmarks.torture.pictures import png
from benchmarks.torture.planted import POISON
from benchmarks.torture.subject import Subject, serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.torture.wire import Client, Reply
from benchmarks.workloads import Workload
from training import golden

TOGETHER = 32
TOLERANCE = 1e-3
"""Of a score. What is computed in a batch may be rounded otherwise than what is computed alone."""
CALLERS = 64
TARGET = mixture.OWN


def digits(count: int, seed: int) -> list[bytes]:
    """Draw images that are all different and whose answers are spread: digits laid over each other."""
    chance = np.random.default_rng(seed)
    drawn = np.stack([golden.draw_digit(chance, 28, 28)[..., 0] for _ in range(64)]).astype(np.float32)
    images = []
    for _ in range(count):
        first, second = drawn[chance.integers(len(drawn), size=2)]
        share = chance.uniform(0.3, 0.7)
        pixels = first * share + second * (1 - share) + chance.normal(0, 25, (28, 28))
        rows = np.zeros((28, 29), np.uint8)
        rows[:, 1:] = pixels.clip(0, 255)
        images.append(png(28, 28, 8, 0, rows.tobytes()))
    return images


def _scores(result: dict[str, Any]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in result["top"]}


def _same(found: dict[str, float], expected: dict[str, float]) -> bool:
    return found.keys() == expected.keys() and all(
        abs(score - expected[label]) <= TOLERANCE for label, score in found.items()
    )


async def _alone(subject: Subject, images: Sequence[bytes]) -> list[dict[str, float]]:
    """Ask for the answer of each image with nobody else there."""
    found = []
    async with Client(subject.url, Ledger()) as client:
        for image in images:
            _, reply = await client.ask(wire.post(TARGET, image, "image/png"))
            assert reply
            found.append(_scores(orjson.loads(bytes(reply.body))["results"][0]))
    return found


# ---- poison


def poison(scale: Scale) -> Iterator[Row]:
    """Put one image that fails among 31 good ones, a thousand times: of one request, and of 32 callers."""
    rounds = scale.of(1000, 20)
    images = digits(TOGETHER - 1, seed=3)
    grey = io.BytesIO()
    Image.new("L", (28, 28), POISON).save(grey, "PNG")
    with serving(scale.models, "poison", max_images=TOGETHER) as subject:
        expected = wire.run(_alone(subject, images))
        for name, bad in (
            ("damaged image", _half(images[0])),
            ("image the engine fails on", grey.getvalue()),
        ):
            lost = wire.run(_among_callers(subject, images, expected, bad, rounds))
            what = f"{name} of 32 callers, {rounds:,} times"
            yield Row(f"{what}: others' answers", f"{lost} lost or changed", "0", not lost)
        lost = wire.run(_in_one_request(subject, images, expected, rounds))
        what = f"damaged image of 32 in one request, {rounds:,} times"
        yield Row(f"{what}: others", f"{lost} lost or changed", "0", not lost)


def _half(image: bytes) -> bytes:
    return image[: len(image) // 2]


async def _among_callers(
    subject: Subject, images: list[bytes], expected: list[dict[str, float]], bad: bytes, rounds: int
) -> int:
    chance = np.random.default_rng(4)
    requests = [wire.post(TARGET, image, "image/png") for image in images]
    poisoned = wire.post(TARGET, bad, "image/png")
    lost = 0
    async with Client(subject.url, Ledger()) as client:
        for _ in range(rounds):
            at = int(chance.integers(len(requests)))
            replies = await asyncio.gather(
                *map(client.ask, [*requests[:at], poisoned, *requests[at:]]),
            )
            (spoilt, _reply) = replies.pop(at)
            assert spoilt.status not in {0, 200}, "The poison was answered."
            for (entry, reply), wanted in zip(replies, expected, strict=True):
                lost += not (
                    entry.status == 200
                    and reply
                    and _same(_scores(orjson.loads(bytes(reply.body))["results"][0]), wanted)
                )
    return lost


async def _in_one_request(
    subject: Subject, images: list[bytes], expected: list[dict[str, float]], rounds: int
) -> int:
    chance = np.random.default_rng(4)
    lost = 0
    async with Client(subject.url, Ledger()) as client:
        for _ in range(rounds):
            at = int(chance.integers(len(images)))
            posted = (*images[:at], _half(images[0]), *images[at:])
            body, kind = Workload("poison", "/classify", "digits", posted).body("multipart")
            _, reply = await client.ask(wire.post(TARGET, body, kind))
            if reply is None or reply.status != 200:
                lost += len(images)
                continue
            results = orjson.loads(bytes(reply.body))["results"]
            assert "error" in results.pop(at), "The poison was answered."
            lost += sum(
                "error" in result or not _same(_scores(result), wanted)
                for result, wanted in zip(results, expected, strict=True)
            )
    return lost


# ---- tags


def tagged(scale: Scale) -> Iterator[Row]:
    """Ask a hundred thousand times, every image another one, in the words of several clients, and compare
    with what each gets alone.
    """
    count = scale.of(100_000, 1500)
    images = digits(count, seed=2)
    with serving(scale.models) as subject:
        expected = wire.run(_alone(subject, images))
        swapped, failed = wire.run(_crowded(subject, images, expected))
    name = f"{count:,} requests of {CALLERS} callers"
    told = _told_apart(expected)
    yield Row(f"{name}: failed", str(failed), "0", not failed)
    yield Row(f"{name}: not their own answer", str(swapped), "0", not swapped)
    yield Row(f"{name}: pairs whose swap would show", f"{told:.2%}", ">= 99 %", told >= 0.99)


async def _crowded(
    subject: Subject, images: list[bytes], expected: list[dict[str, float]]
) -> tuple[int, int]:
    order = np.random.default_rng(6).permutation(len(images))
    ledger = Ledger()
    swapped = 0

    def check(number: int, entry: Entry, reply: Reply | None) -> None:
        nonlocal swapped
        if entry.status == 200 and reply:
            swapped += not _same(mixture.scores(reply), expected[order[number]])

    requests = (mixture.request(images[index], number) for number, index in enumerate(order))
    async with Client(subject.url, ledger) as client:
        await wire.closed_loop(client, requests, CALLERS, math.inf, check)
    return swapped, len(ledger.entries) - len(ledger.statuses(200)) + ledger.uneven


def _told_apart(expected: list[dict[str, float]]) -> float:
    """Return the share of random pairs whose answers differ by more than the tolerance."""
    chance = np.random.default_rng(8)
    pairs = chance.integers(len(expected), size=(20_000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return float(np.mean([not _same(expected[one], expected[other]) for one, other in pairs]))
