"""Who can take part: tinyconv in its variants, PyTorch and Keras in theirs, each also with another memory allocator.

"As installed" is what one gets from `pip install` and a tutorial; "as an expert tunes it" also counts the contestants
with `tuned`: PyTorch's fused Adam, and tcmalloc preloaded in place of the system's malloc (LD_PRELOAD), which keeps the
pages of freed arrays where malloc gives them back to the system and takes page faults for the next ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyconv.errors import ArgumentError
from tinyconv.naming import suggestion

from .process import ContestantError, Worker, find_tcmalloc

ENGINES = "tinyconv.benchmarks.engines"
WITH_TCMALLOC = "+tcmalloc"


@dataclass(frozen=True)
class Contestant:
    """A framework in one mode.

    Attributes:
        name: for the command line and the results.
        label: for tables and plots.
        family: "tinyconv", "pytorch" or "keras".
        options: of the classes in its engine.
        environment: variables of its process.
        python: another interpreter that has it; None for this one.
        preload: a library for LD_PRELOAD.
        tuned: needs an expert.
        gpu: computes on a GPU.
    """

    name: str
    label: str
    family: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    preload: str | None = None
    tuned: bool = False
    gpu: bool = False

    @property
    def engine(self) -> str:
        """The module, in the contestant's process, that runs it."""
        return f"{ENGINES}.{self.family}"

    def start(self, threads: int, environment: Mapping[str, str] | None = None) -> Worker:
        """Start its process, with further variables of `environment`; raises ContestantError."""
        return Worker(
            threads=threads, python=self.python, preload=self.preload,
            environment={**self.environment, **(environment or {})},
        )

    def with_tcmalloc(self, library: str) -> "Contestant":
        """The same with tcmalloc preloaded."""
        return replace(
            self, name=self.name + WITH_TCMALLOC, label=f"{self.label} + tcmalloc", preload=library, tuned=True
        )


TINYCONV = Contestant("tinyconv", "tinyconv", "tinyconv")
UNFUSED = Contestant("tinyconv-unfused", "tinyconv unfused", "tinyconv", {"fuse": False})
NUMPY = Contestant("tinyconv-numpy", "tinyconv on NumPy", "tinyconv", {"backend": "numpy"})
EAGER = Contestant("pytorch", "PyTorch eager", "pytorch")
CHANNELS_LAST = Contestant("pytorch-channels-last", "PyTorch channels_last", "pytorch", {"channels_last": True})
COMPILED = Contestant("pytorch-compiled", "PyTorch compiled", "pytorch", {"compiled": True})
FUSED_ADAM = Contestant(
    "pytorch-fused-adam", "PyTorch channels_last, fused Adam", "pytorch", {"channels_last": True, "fused_adam": True},
    tuned=True,
)
KERAS_TENSORFLOW = Contestant(
    "keras-tensorflow", "Keras on TensorFlow", "keras",
    environment={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"},
)
KERAS_JAX = Contestant("keras-jax", "Keras on JAX", "keras", environment={"KERAS_BACKEND": "jax"})

CUPY = Contestant("tinyconv-gpu", "tinyconv on the GPU", "tinyconv", {"backend": "cupy"}, gpu=True)
EAGER_GPU = Contestant("pytorch-gpu", "PyTorch eager on the GPU", "pytorch", {"device": "cuda"}, gpu=True)
COMPILED_GPU = Contestant(
    "pytorch-gpu-compiled", "PyTorch compiled, CUDA graphs", "pytorch",
    {"device": "cuda", "channels_last": True, "compiled": True, "fused_adam": True}, gpu=True,
)

ALONE = (UNFUSED, NUMPY)  # variants to learn from: not with tcmalloc
ALL = (TINYCONV, *ALONE, EAGER, CHANNELS_LAST, COMPILED, KERAS_TENSORFLOW, KERAS_JAX, FUSED_ADAM)
ON_GPU = (CUPY, EAGER_GPU, COMPILED_GPU)
NAMES = tuple(contestant.name for contestant in ALL)
GPU_NAMES = tuple(contestant.name for contestant in ON_GPU)


@dataclass(frozen=True)
class Field:
    """Who takes part, and, by name, why others do not."""

    contestants: tuple[Contestant, ...]
    absent: Mapping[str, str] = field(default_factory=dict)


def choose(
    names: Iterable[str], *, tcmalloc: bool = True, library: Path | None = None, keras_python: str | None = None
) -> Field:
    """The contestants called `names`, each also with tcmalloc where `tcmalloc` says so and it is found.

    `library` is where tcmalloc is, None for the system's; `keras_python` an interpreter that has Keras.  Raises
    ArgumentError for an unknown name.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in NAMES + GPU_NAMES:
            raise ArgumentError(f"There is no contestant {name!r}. {suggestion(name, NAMES + GPU_NAMES)}")
    chosen = [
        replace(contestant, python=keras_python) if contestant.family == "keras" else contestant
        for contestant in ALL + ON_GPU
        if contestant.name in names
    ]
    alone = {contestant.name for contestant in ALONE + ON_GPU}
    partners = [contestant for contestant in chosen if contestant.name not in alone]
    if not tcmalloc or not partners:
        return Field(tuple(chosen))
    try:
        preload = find_tcmalloc(library)
    except ContestantError as problem:
        return Field(tuple(chosen), {"anything with tcmalloc": str(problem)})
    return Field((*chosen, *(contestant.with_tcmalloc(preload) for contestant in partners)))
