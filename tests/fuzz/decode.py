"""Whole images, through Pillow: an image within limits, or an ImageError and nothing else."""

from collections.abc import Sequence

from tests.fuzz import Target, run
from tests.fuzz.plain_png import repaired


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from service.errors import ImageError
    from service.images import codec
    from tests.images import SAMPLES, WHOLE
    from tests.service.manifests import make_input

    spec = make_input(32, 32, 3)

    def target(data: bytes) -> None:
        for form in {data, repaired(data)} if data.startswith(b"\x89PNG") else (data,):
            try:
                photo, tensor = codec.read(form, spec, 100_000, whole=True)
            except ImageError:
                continue
            assert photo.image.size == (photo.width, photo.height)
            assert tensor.shape == (32, 32, 3)

    return target, [*SAMPLES.values(), *WHOLE.values()]


if __name__ == "__main__":
    run(load)
