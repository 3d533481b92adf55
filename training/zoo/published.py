"""Weights that `keras.applications` publishes: one file each, downloaded once, or put in place by hand."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import keras

from training.zoo.torchfile import PretrainedError

_BASE = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True)
class Published:
    """A file of weights: where it comes from, and its digest, MD5 or SHA-256, as Keras itself has it."""

    url: str
    digest: str

    @property
    def file(self) -> Path:
        """Where it lies once it was downloaded: where Keras itself looks for it."""
        # `keras.config` has no public name for this.
        home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
        return Path(home) / "models" / self.url.rpartition("/")[2]

    @property
    def algorithm(self) -> str:
        """Which digest it is, by its length."""
        return "md5" if len(self.digest) == 32 else "sha256"

    def fetch(self) -> Path:
        """Return the file, downloaded where it is not there; PretrainedError says what to do without it."""
        if self.file.is_file():
            return self._checked()
        try:
            # Into a folder that is not there, Keras would not download.
            self.file.parent.mkdir(parents=True, exist_ok=True)
            keras.utils.get_file(
                self.file.name,
                self.url,
                cache_dir=str(self.file.parents[1]),
                cache_subdir="models",
                file_hash=self.digest,
            )
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise PretrainedError(
                f"The ImageNet weights could not be downloaded ({error}). They are needed once; without a "
                f"network, get {self.url} elsewhere and put it at {self.file} ({self._words(self.digest)}); "
                f"or choose efficientnet-lite0, whose weights are in a package, or give a file or a run."
            ) from error
        return self._checked()

    def _checked(self) -> Path:
        if not self.file.is_file():
            raise PretrainedError(
                f"{self.file.parent} cannot be written to: put {self.url} there ({self._words(self.digest)})."
            )
        with self.file.open("rb") as stream:
            found = hashlib.file_digest(stream, self.algorithm).hexdigest()
        if found != self.digest:
            raise PretrainedError(
                f"{self.file} is damaged or another file: its {self._words(found)}, not {self.digest}. "
                f"Delete it, so that it is downloaded again, or put {self.url} in its place."
            )
        return self.file

    def _words(self, digest: str) -> str:
        return f"{'MD5' if self.algorithm == 'md5' else 'SHA-256'} is {digest}"


VGG16 = Published(
    f"{_BASE}vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"
)
RESNET50 = Published(
    f"{_BASE}resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"
)
XCEPTION = Published(
    f"{_BASE}xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "b0042744bf5b25fce3cb969f33bebb97",
)
EFFICIENTNET_V2_B0 = Published(
    f"{_BASE}efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"
)
MOBILENET_V3_SMALL = Published(
    f"{_BASE}mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "d3e8ec802a04aa4fc771ee12a9a9b836",
)
MOBILENET_V3_LARGE = Published(
    f"{_BASE}mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    "07fb09a5933dd0c8eaafa16978110389",
)
CONVNEXT_TINY = Published(
    f"{_BASE}convnext/convnext_tiny_notop.h5",
    "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
)
