"""The data sets, one module per source, behind one interface (`dataset.Source`)."""

from training.datasets.bccd import BCCD
from training.datasets.cifar import CIFAR_10, CIFAR_100
from training.datasets.dataset import (
    DatasetError,
    MaskValues,
    Question,
    Request,
    Resize,
    Samples,
    Source,
    Splits,
)
from training.datasets.gtsrb import GTSRB
from training.datasets.idx import FASHION_MNIST, MNIST
from training.datasets.nuclei import NUCLEI
from training.datasets.own.folder import FOLDER
from training.datasets.pets import PETS
from training.learnable import Task

_ALL = (MNIST, FASHION_MNIST, CIFAR_10, CIFAR_100, PETS, NUCLEI, GTSRB, BCCD, FOLDER)
SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
"""Every data set by the name that recipes use, which is also its folder below `--data-dir`; but `folder` is
wherever the recipe's `data` says."""

__all__ = [
    "SOURCES",
    "DatasetError",
    "MaskValues",
    "Question",
    "Request",
    "Resize",
    "Samples",
    "Source",
    "Splits",
    "Task",
]
