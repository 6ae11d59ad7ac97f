"""One training from the command line: planned, started or resumed, trained, tested, and told about."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer

from tinyconv import checks, random, zoo
from tinyconv.callbacks import Callback, ReduceLROnPlateau
from tinyconv.cli import sources
from tinyconv.datasets import Augment, Dataset
from tinyconv.errors import ArgumentError, DivergedError
from tinyconv.kernels import compiling
from tinyconv.models import Sequential
from tinyconv.saving import save
from tinyconv.training.data import split
from tinyconv.training.history import History
from tinyconv.training.run_folder import RunFolder

PATIENCE = 3  # epochs without a better validation loss before ReduceLROnPlateau acts
GENTLE = {"rotation_range": 10, "zoom_range": 0.1, "width_shift_range": 0.1, "height_shift_range": 0.1}
EPOCHS_OF_BUNDLED_DIGITS = 30  # they are few: a network must see them often, and never twice the same


@dataclass(frozen=True)
class Plan:
    """All that decides how a run goes: its folder's config.json, and what resuming it needs."""

    model: str
    data: str
    classes: Sequence[str] | None
    epochs: int
    batch_size: int
    validation_split: float
    seed: int
    optimizer: str
    learning_rate: float
    schedule: str
    augment: Mapping[str, Any]
    reduce_on_plateau: bool
    limit_steps: int | None
    fuse: bool
    backend: str | None


def plan(entry: zoo.ZooEntry, given: Mapping[str, Any], *, epochs: int | None, backend: str | None) -> Plan:
    """What the user gave, and what the network's lesson did where nothing was given."""
    data = given.get("data", entry.dataset)
    if data is None:
        raise ArgumentError(f"{entry.name} learns from your own pictures, in one folder per class: give it as --data.")
    is_bundled = data == "digits"
    usual_epochs = EPOCHS_OF_BUNDLED_DIGITS if is_bundled else entry.epochs
    augmented = given.get("augment", is_bundled or bool(entry.augment))
    return _checked(Plan(
        model=entry.name, data=str(data), classes=given.get("classes"),
        epochs=usual_epochs if epochs is None else epochs,
        batch_size=given.get("batch_size", entry.batch_size),
        validation_split=given.get("validation_split", entry.validation_split),
        seed=given.get("seed", 0),
        optimizer=given.get("optimizer", entry.optimizer),
        learning_rate=given.get("learning_rate", entry.learning_rate),
        schedule=given.get("schedule", entry.schedule),
        augment=(entry.augment or GENTLE) if augmented else {},
        reduce_on_plateau=entry.reduce_on_plateau,
        limit_steps=given.get("limit_steps"),
        fuse=given.get("fuse", True), backend=backend,
    ))


def _checked(recipe: Plan) -> Plan:
    """`recipe`, from the command line or from a file that anyone may have edited; raises ArgumentError."""
    zoo.entry(recipe.model)
    Augment(**recipe.augment)
    limit = recipe.limit_steps
    return replace(
        recipe,
        epochs=checks.whole_number(recipe.epochs, "--epochs", minimum=1),
        batch_size=checks.whole_number(recipe.batch_size, "--batch-size", minimum=1),
        validation_split=checks.number(recipe.validation_split, "--validation-split", minimum=0, below=1),
        seed=checks.whole_number(recipe.seed, "--seed"),
        learning_rate=checks.number(recipe.learning_rate, "--learning-rate", minimum=0),
        limit_steps=None if limit is None else checks.whole_number(limit, "--limit-steps", minimum=1),
    )


def start(recipe: Plan, folder: Path | None) -> "Session":
    """A new run; its folder is made last, when nothing else can be wrong."""
    dataset = _load(recipe)
    if len(dataset.class_names) < 2:
        raise ArgumentError(f"{recipe.data} gives one class only, {dataset.class_names[0]!r}: nothing to tell apart.")
    if not len(dataset.x_test):
        raise ArgumentError(f"{recipe.data} leaves nothing to test on: each class needs two pictures or more.")
    split(dataset.x_train, dataset.y_train, recipe.validation_split)  # raises if a part of the two would be empty
    model = zoo.build(
        recipe.model, input_shape=dataset.image_shape, classes=len(dataset.class_names), backend=recipe.backend,
        seed=recipe.seed, fuse=recipe.fuse, optimizer=recipe.optimizer, learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
    )
    run = RunFolder(folder or sources.new_run(recipe.model, recipe.data))
    run.create({**asdict(recipe), "class_names": list(dataset.class_names)})
    return Session(recipe, run, model, dataset, run.callbacks(*_callbacks(recipe)), History())


def resume(folder: Path | None, *, epochs: int | None, backend: str | None) -> "Session":
    """The run in `folder`, or the latest, after its last whole epoch."""
    run = RunFolder(folder or sources.latest_run())
    config = run.config
    try:
        recipe = _checked(Plan(**{name: value for name, value in config.items() if name != "class_names"}))
    except (ArgumentError, TypeError) as problem:
        raise ArgumentError(
            f"{run.path / 'config.json'} is not as `tinyconv train` of this version writes it: {problem}"
        ) from problem
    model, callbacks, history, done = run.resume(*_callbacks(recipe), backend=backend or recipe.backend)
    wanted = recipe.epochs if epochs is None else epochs
    if done >= wanted:
        raise ArgumentError(f"The run in {run.path} has its {done} epochs already; ask for more with --epochs.")
    typer.echo(f"{run.path} goes on after epoch {done}")
    recipe = replace(recipe, epochs=wanted, backend=model.backend.name)
    return Session(recipe, run, model, _load(recipe), callbacks, history)


class Session(NamedTuple):
    """A run that is ready to train; `history` has the epochs that are behind it."""

    plan: Plan
    run: RunFolder
    model: Sequential
    dataset: Dataset
    callbacks: list[Callback]
    history: History

    def train(self, verbose: Any) -> None:
        """Train, test, write the results, and say where they are."""
        began = time.perf_counter()
        if verbose != 0:
            self._introduce()
        try:
            with nullcontext() if verbose == 0 else compiling.listening(self._say_that_kernels_are_compiled):
                self._merge(self._fit(verbose))
        except KeyboardInterrupt:
            self._say_how_to_go_on()
            raise
        except DivergedError:
            save(self.model, self.run.path / sources.LAST_GOOD)
            typer.echo(f"\nThe last good weights are kept in {self.run.path / sources.LAST_GOOD}")
            raise
        seconds = time.perf_counter() - began
        recipe, dataset = self.plan, self.dataset
        x_test = sources.scaled(dataset.x_test)
        results = self.run.finish(self.model, self.history, x_test, dataset.y_test, dataset.class_names)
        typer.echo(
            f"\ntest accuracy {results['test_accuracy']:.4f} ({results['wrong']} of {results['samples']:,} wrong), "
            f"test loss {results['test_loss']:.4f}, trained in {seconds:.0f} s"
        )
        typer.echo(f"run folder    {self.run.path}")
        if verbose != 0:
            typer.echo(f"memory        {self.model.plan.memory()}")
            typer.echo("pictures      learning-curve.png, confusion-matrix.png, misclassified.png in it")
            picture = "PICTURE-OF-A-DIGIT" if recipe.data in sources.DIGITS else "PICTURE"
            typer.echo(f"next          tinyconv evaluate, or tinyconv predict {picture}")

    def _fit(self, verbose: Any) -> History:
        recipe = self.plan
        (x, y), validation = split(sources.scaled(self.dataset.x_train), self.dataset.y_train, recipe.validation_split)
        if recipe.limit_steps is not None:
            order = random.permutation(random.key(recipe.seed, "limit"), len(x))
            kept = order[: recipe.limit_steps * recipe.batch_size]
            x, y = x[kept], y[kept]
        return self.model.fit(
            x, y, batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=verbose, callbacks=self.callbacks,
            validation_data=validation, initial_epoch=len(self.history.epoch),
            augment=Augment(**recipe.augment) if recipe.augment else None,
        )

    def _merge(self, new: History) -> None:
        """Put the epochs of this session behind those before it."""
        self.history.epoch.extend(new.epoch)
        for name, values in new.history.items():
            self.history.history.setdefault(name, []).extend(values)

    def _introduce(self) -> None:
        """Say what is about to happen."""
        recipe, dataset = self.plan, self.dataset
        numbers = np.arange(len(dataset.x_train))
        (learned, _), held_out = split(numbers, numbers, recipe.validation_split)
        validation = f"{len(held_out[0]):,} held out to validate, " if held_out else ""
        typer.echo(
            f"{recipe.model} ({self.model.count_params():,} parameters) on {dataset.name}: "
            f"{len(learned):,} images to learn from, {validation}{len(dataset.x_test):,} to test"
        )
        epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
        typer.echo(
            f"{epochs}, batches of {recipe.batch_size}, {recipe.optimizer}, learning rate "
            f"{recipe.learning_rate:g} ({recipe.schedule}), seed {recipe.seed}, {self.model.backend.name}"
        )

    def _say_that_kernels_are_compiled(self) -> None:
        """Why nothing seems to happen at first."""
        made_for = "GPU" if self.model.backend.name == "cupy" else "processor"
        # Not typer.echo, which would not see that a progress bar has put itself in the way of sys.stdout.
        print(f"compiling kernels for this {made_for}, which takes a while the first time", flush=True)

    def _say_how_to_go_on(self) -> None:
        if self.run.last.exists():
            typer.echo(f"\nThe epochs so far are kept. Go on with: tinyconv train --resume --run {self.run.path}")


def _load(recipe: Plan) -> Dataset:
    """The data of a plan: in their own size for networks that take any, in the lesson's for pictures from a folder."""
    entry = zoo.entry(recipe.model)
    is_own_size = entry.dataset is not None and not Path(recipe.data).is_dir()
    shape = None if is_own_size else entry.input_shape
    return sources.load_data(recipe.data, shape, classes=recipe.classes, seed=recipe.seed)


def _callbacks(recipe: Plan) -> list[Callback]:
    held_out = recipe.validation_split > 0
    return [ReduceLROnPlateau(patience=PATIENCE)] if recipe.reduce_on_plateau and held_out else []
