"""What MODEL and --data of the commands mean: the zoo, trained models, run folders, datasets, image folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv import datasets, zoo
from tinyconv.datasets import Dataset
from tinyconv.errors import ArgumentError, DataError
from tinyconv.models import Sequential
from tinyconv.naming import suggestion
from tinyconv.saving import load_model
from tinyconv.training.run_folder import RunFolder

Array = np.ndarray[Any, Any]
ImageShape = tuple[int, int, int]

RUNS = Path("runs")
CONFIG: dict[str, type] = {"data": str, "classes": list, "class_names": list, "seed": int}  # what is read here of a run
LAST_GOOD = "last-good.safetensors"  # in the folder of a run that diverged
DIGITS = ("digits", "mnist")  # the data of networks that read handwritten digits


@dataclass(frozen=True)
class Trained:
    """A model, where it came from, its run's config, {} for one saved outside of a run, and whether it has learnt."""

    model: Sequential
    path: Path
    config: Mapping[str, Any]
    trained: bool = True

    @property
    def image_shape(self) -> ImageShape:
        """(height, width, channels) of the images that the model takes; raises DataError if it takes something else."""
        shape = self.model.input_shape[1:]
        if len(shape) != 3:
            raise DataError(f"{self.path} takes inputs of shape {shape}, which are no images.")
        height, width, channels = (int(size or 0) for size in shape)
        return height, width, channels

    @property
    def classes(self) -> int:
        """How many classes the model tells apart; raises DataError if its outputs are something else."""
        shape = self.model.output_shape
        if len(shape) != 2:
            raise DataError(f"{self.path} gives outputs of shape {shape}, which are no class probabilities.")
        return max(2, int(shape[1]))  # one output is the probability of the second of two classes

    @property
    def class_names(self) -> list[str] | None:
        """The classes of the data that the run was trained on, where that is known."""
        return self.config.get("class_names")

    @property
    def reads_digits(self) -> bool:
        """Whether a picture for this model should be treated as one of a digit: also when nothing else is known."""
        return self.image_shape == (28, 28, 1) and self.config.get("data", "mnist") in DIGITS

    def load_data(self, name: str | None) -> Dataset:
        """The data called `name`, or those of the run, in the model's image size."""
        name = name or self.config.get("data")
        if name is None:
            raise ArgumentError(f"{self.path} does not say what it was trained on; give --data.")
        same = name == self.config.get("data")
        classes = self.config.get("classes") if same else None
        return load_data(name, self.image_shape, classes=classes, seed=self.config.get("seed", 0))


def find_network(name: str) -> Sequential:
    """The network that `name` means: one of the zoo, untrained, a run folder, or a saved model."""
    if name in zoo.names():
        return zoo.build(name, backend="numpy")
    if not Path(name).exists():
        raise ArgumentError(f"{name!r} is no network, no run folder and no file. {suggestion(name, zoo.names())}")
    return find_trained(name, backend="numpy").model


def find_trained(name: str | None, *, backend: str | None = None) -> Trained:
    """The trained model that `name` means: a run folder or a saved model; None is the latest run below `RUNS`."""
    path = latest_run() if name is None else Path(name)
    file = model_file(path)
    config = RunFolder(path).config if file != path else {}
    for key, kind in CONFIG.items():
        if not isinstance(config.get(key), kind | None):
            raise ArgumentError(f"{path / 'config.json'} is damaged: {key} is {config[key]!r}.")
    return Trained(load_model(file, backend=backend), path, config)


def model_file(path: Path) -> Path:
    """The file of the trained model at `path`: of a run folder its model or, before the end, its last checkpoint.

    A run that diverged has kept its last good weights.  Raises ArgumentError for a run without any of these.
    """
    if str(path) in zoo.names() and not path.exists():
        raise ArgumentError(f"{path} is not trained yet: run `tinyconv train --model {path}` and name its run folder.")
    if not (path / "config.json").is_file():
        return path
    for file in (path / "model.safetensors", RunFolder(path).last, path / LAST_GOOD):
        if file.exists():
            return file
    raise ArgumentError(f"The run in {path} has no model yet: it did not get to the end of its first epoch.")


def latest_run() -> Path:
    """The run below `RUNS` that wrote a model last; raises ArgumentError when there is none."""
    written = {
        model.stat().st_mtime: model.relative_to(RUNS).parts[0]
        for pattern in ("*/model.safetensors", "*/checkpoints/last.safetensors") for model in RUNS.glob(pattern)
    }
    if not written:
        begun = any(RUNS.glob("*/config.json"))
        what = f"No run in {RUNS}/ has got to the end of an epoch" if begun else f"There is no run in {RUNS}/ here"
        raise ArgumentError(f"{what} yet: train one with `tinyconv train`, or say which model to use.")
    return RUNS / written[max(written)]


def new_run(model: str, data: str) -> Path:
    """A new folder for a run, runs/<model>-<data>-<number>: no other process gets the same."""
    number = 1
    while True:
        folder = RUNS / f"{model}-{Path(data).name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            continue
        except OSError:
            pass  # whoever writes into it will say what is wrong
        return folder


def load_data(
    name: str, image_shape: ImageShape | None = None, *, classes: Sequence[str] | None = None, seed: int = 0
) -> Dataset:
    """The dataset called `name`, or the image folder there, with only the `classes` named.

    Images of a folder are read in `image_shape`, others are resized to it where it is given.  Raises ArgumentError when
    the channels differ.
    """
    is_folder = name not in datasets.names() and Path(name).is_dir()
    options: dict[str, Any] = {"seed": seed} if is_folder else {}
    if is_folder and image_shape is not None:
        options |= {"image_size": image_shape[:2], "color_mode": "grayscale" if image_shape[2] == 1 else "rgb"}
    data = datasets.load(name, **options)
    if classes:
        data = data.select(classes)
    if image_shape is None or data.image_shape == image_shape:
        return data
    if data.image_shape[2] != image_shape[2]:
        raise ArgumentError(
            f"The images of {name} have {data.image_shape[2]} channels, but the network takes {image_shape[2]}."
        )
    return data.resize(image_shape[:2])


def scaled(x: Array) -> Array:
    """Bytes as float32 in [0, 1], as all networks of the zoo take them."""
    return x.astype(np.float32) / np.float32(255)
