"""Which input sizes an architecture takes."""

from dataclasses import dataclass

Shape = tuple[int, int, int]


class ArchitectureError(ValueError):
    """A network cannot be built as asked. The text says what would be possible."""


@dataclass(frozen=True)
class Size:
    """Height and width: at least `least`, and a multiple of `multiple`."""

    least: int = 8
    multiple: int = 1

    def check(self, name: str, shape: Shape) -> None:
        """Raise ArchitectureError where `shape`, (height, width, channels), does not fit."""
        height, width, _ = shape
        if min(height, width) < self.least:
            raise ArchitectureError(
                f"{name} needs images of at least {self.least}x{self.least} pixels, got {height}x{width}."
            )
        if height % self.multiple or width % self.multiple:
            raise ArchitectureError(
                f"{name} halves its input again and again: height and width must be multiples of "
                f"{self.multiple}, got {height}x{width}."
            )
