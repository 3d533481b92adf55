"""What is posted: drawn images, as the bodies of requests."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from training import golden

BOUNDARY = "striate-benchmark-boundary"


@dataclass(frozen=True)
class Workload:
    """One kind of request: its path, the images in it, and the model that answers."""

    name: str
    path: str
    model: str
    images: tuple[bytes, ...]

    @property
    def query(self) -> str:
        """The path with the model."""
        return f"{self.path}?model={self.model}"

    def body(self, form: str) -> tuple[bytes, str]:
        """Return (body, content type): `raw`, for one image, or `multipart`."""
        if form == "raw":
            (image,) = self.images
            return image, "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"
        parts = b"".join(
            b'--%s\r\nContent-Disposition: form-data; name="file"; filename="image"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n%s\r\n" % (BOUNDARY.encode(), image)
            for image in self.images
        )
        return parts + b"--%s--\r\n" % BOUNDARY.encode(), f"multipart/form-data; boundary={BOUNDARY}"


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=88)
    return buffer.getvalue()


def workloads() -> dict[str, Workload]:
    """Draw the images; the same every time."""
    chance = np.random.default_rng(0)
    digit = _encoded(Image.fromarray(golden.draw_digit(chance, 28, 28)).convert("L"), "PNG")
    nuclei = Image.fromarray(golden.draw_nuclei(chance, 640, 480))
    photo = _encoded(nuclei, "JPEG")
    large = _encoded(nuclei.resize((4000, 3000), Image.Resampling.BICUBIC), "JPEG")
    pet = _encoded(Image.fromarray(golden.draw_pet(chance, 640, 480)), "JPEG")
    sign = _encoded(Image.fromarray(golden.draw_sign(chance, 96, 96)), "JPEG")
    garment = _encoded(Image.fromarray(golden.draw_clothes(chance, 28, 28)).convert("L"), "PNG")
    found = (
        Workload("digit", "/classify", "digits", (digit,)),
        Workload("garment", "/classify", "fashion", (garment,)),
        Workload("sign", "/classify", "signs", (sign,)),
        Workload("photo to classes", "/classify", "pets", (pet,)),
        Workload("photo to box", "/localize", "pet-heads", (pet,)),
        Workload("photo to three classes of pixels", "/segment", "pet-masks", (pet,)),
        Workload("photo to mask", "/segment", "nuclei", (photo,)),
        Workload("12 MP to mask", "/segment", "nuclei", (large,)),
        Workload("16 photos to mask", "/segment", "nuclei", (photo,) * 16),
    )
    return {workload.name: workload for workload in found}
