"""MNIST and Fashion-MNIST: 28x28 grey images in the idx format of http://yann.lecun.com/exdb/mnist/."""

import gzip
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.archives import download
from training.datasets.dataset import (
    DatasetError,
    Request,
    Samples,
    Source,
    Splits,
    hold_out_per_class,
)
from training.datasets.reading import fit_images

VALIDATION_FRACTION = 1 / 12
"""5,000 of the 60,000 training images choose the checkpoint."""


@dataclass(frozen=True)
class _Published:
    """Where the four files are published, and their sha256."""

    url: str
    train_images: str
    train_labels: str
    test_images: str
    test_labels: str


_MNIST = _Published(
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
_FASHION = _Published(
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one gzipped idx file of unsigned bytes; DatasetError where the header and the size disagree."""
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DatasetError(f"{path} is not a readable gzip file: {error}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise DatasetError(f"{path} is not an idx file of unsigned bytes (its first bytes are wrong).")
    rank = data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">i4", rank, 4))
    if len(data) != 4 + 4 * rank + int(np.prod(shape)):
        raise DatasetError(f"{path} is cut short: its header promises {shape}.")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _load(published: _Published, labels: tuple[str, ...], folder: Path, request: Request) -> Splits:
    def samples(prefix: str, images_sha: str, labels_sha: str) -> Samples:
        images = f"{prefix}-images-idx3-ubyte.gz"
        targets = f"{prefix}-labels-idx1-ubyte.gz"
        pixels = read_idx(download(images, published.url + images, images_sha, folder))
        classes = read_idx(download(targets, published.url + targets, labels_sha, folder))
        return Samples(fit_images(pixels, request), classes.astype(np.int32))

    train = samples("train", published.train_images, published.train_labels)
    test = samples("t10k", published.test_images, published.test_labels)
    assert train.labels is not None
    kept, held = hold_out_per_class(train.labels, VALIDATION_FRACTION, seed=0)
    return Splits(train.take(kept), train.take(held), test, labels)


MNIST = Source(
    name="mnist",
    title="MNIST handwritten digits",
    tasks=("classification",),
    licence="CC BY-SA 3.0 (LeCun, Cortes, Burges)",
    homepage="http://yann.lecun.com/exdb/mnist/",
    split_rule="official test set; 5,000 training images, the same share of each digit, for validation",
    load=partial(_load, _MNIST, tuple("0123456789")),
)

FASHION_MNIST = Source(
    name="fashion-mnist",
    title="Fashion-MNIST clothing",
    tasks=("classification",),
    licence="MIT (Zalando SE)",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    split_rule="official test set; 5,000 training images, the same share of each class, for validation",
    load=partial(
        _load,
        _FASHION,
        (
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
    ),
)
