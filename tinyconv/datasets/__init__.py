"""Images to train on: bundled digits, MNIST, Fashion-MNIST, CIFAR-10, and any folder of pictures.

    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()     as in Keras
    data = datasets.load("mnist")                                         images with a channel axis, and class names
    data = datasets.load("flowers/", image_size=(150, 150))               one sub-folder per class
"""

from tinyconv.datasets import cifar10, digits, fashion_mnist, image_folder, mnist
from tinyconv.datasets.augment import Augment
from tinyconv.datasets.catalog import FileReport, Status, download, load, names, status, verify
from tinyconv.datasets.dataset import Dataset

__all__ = [
    "Augment", "Dataset", "FileReport", "Status", "cifar10", "digits", "download", "fashion_mnist", "image_folder",
    "load", "mnist", "names", "status", "verify",
]
