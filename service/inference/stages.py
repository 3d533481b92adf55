"""The stages of one image, whichever way it goes: its header, its tensor, its row, its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.admission import Admission, Place
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.engines.calls import Calls, Computed
from service.images import fitting, headers
from service.images.codec import Photo
from service.images.headers import Head
from service.manifest import Manifest
from service.tasks.task import Row
from service.telemetry.metrics import STAGES, Metrics
from service.work import Errand

T = TypeVar("T")


@dataclass(slots=True)
class Order(Generic[T]):
    """One image to be answered; with `whole`, drawn on. `finish` makes the answer of its row.

    `pixel_cost` is what making its answer takes, in bytes per pixel.
    """

    errand: Errand
    data: bytes
    options: Any
    whole: bool
    pixel_cost: int
    finish: Callable[[Photo, Row], T]
    head: Head | None = None
    """What the image's header says, once it is read."""


class Stages:
    """What is done with an image of one model; decoding and encoding count their time, once for an image."""

    def __init__(
        self, manifest: Manifest, engine: Engine, settings: Settings, hands: Hands, metrics: Metrics
    ) -> None:
        name = manifest.name
        self.spec = manifest.input
        self.max_pixels = settings.max_pixels
        self.seconds_at_most = settings.deadline_ms / 1000
        self.hands, self.budget = hands, hands.budget
        # Large images wait for one another: how long tells nothing of the wait of small ones.
        self.large = Admission(settings.max_queue)
        self.seconds = {stage: metrics.stage_seconds.labels(stage, name) for stage in STAGES}
        self.calls = Calls(engine, self.seconds["engine"], metrics.batch_size.labels(name))
        self._least_side = fitting.least_side(manifest.input)

    def read(self, order: Order[T]) -> Head:
        """Read the header, once. Raises the ImageError of what need not be decoded at all."""
        if order.head is None:
            order.head = headers.read(order.data, self.max_pixels)
        return order.head

    def price(self, order: Order[T], head: Head) -> int:
        """Return the bytes that decoding the image takes. ImageTooLarge where its mask would be."""
        if order.pixel_cost:
            headers.check_mask(head, self.max_pixels)
        return head.price(None if order.whole else self._least_side, self.max_pixels)

    def line_up(self, place: Place, price: int) -> None:
        """Have an image of that price wait among those of its kind, where it is a large one."""
        if self.budget.is_large(price):
            place.move(self.large, self.seconds_at_most)

    def decode(self, order: Order[T]) -> tuple[Photo, NDArray[np.uint8]]:
        """Decode, in a thread of the caller's. Raises an ImageError or Abandoned."""
        with self.seconds["decode"].time():
            data, head = order.data, order.head
            return self.hands.decode(data, self.spec, self.max_pixels, order.whole, order.errand, head)

    def compute(self, tensor: NDArray[np.uint8]) -> Computed:
        """Compute the row of one tensor, by itself. Raises what it fails with."""
        (computed,) = self.calls.compute([tensor])
        if isinstance(computed, Exception):
            raise computed
        return computed

    def encode(self, order: Order[T], photo: Photo, row: Row) -> T:
        """Make the answer."""
        with self.seconds["encode"].time():
            return order.finish(photo, row)
