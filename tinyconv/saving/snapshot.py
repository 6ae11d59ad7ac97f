"""A model as a document and tensors, and back: what every file format stores.

The document is JSON: the layers' configurations, the compilation, how far training is, and an `extra` of the caller's.
Tensors are named "weights/<parameter>", "optimizer/<state>" and, for the arrays in `extra`, "extra/<number>".  A model
made from them continues training with the same bits as if it had never been saved.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyconv import backends, layers, losses, metrics, optimizers
from tinyconv.errors import BackendError, ModelFileError, TinyconvError
from tinyconv.layers import Layer, Parameter
from tinyconv.models import Sequential
from tinyconv.version import __version__

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Document = dict[str, Any]
Tensors = dict[str, Array]

VERSION = 1  # of the document; a reader refuses those of a higher number


def take(
    model: Sequential, extra: Mapping[str, Any] | None = None, *, with_training: bool = True
) -> tuple[Document, Tensors]:
    """Return the document and the tensors of `model`, without optimizer and compilation unless `with_training`.

    Metrics that are functions of the caller's are left out: a file holds no code.
    Raises StateError when the model has no weights yet.
    """
    tensors = {f"weights/{parameter.name}": parameter.numpy() for parameter in model.weights}
    document: Document = {
        "format": "tinyconv",
        "version": VERSION,
        "tinyconv": __version__,
        "model": model.get_config(),
        "weights": [parameter.name for parameter in model.weights],
        "compile": None,
        "epochs_seen": model.epochs_seen,
    }
    if with_training and model.compiled:
        document["compile"] = {
            "optimizer": optimizers.serialize(model.optimizer),
            "loss": losses.serialize(model.loss),
            "metrics": [metric.name for metric in model.metrics if metric.name in metrics.FUNCTIONS],
        }
        device = model.backend.device
        tensors |= {f"optimizer/{name}": device.numpy(one) for name, one in model.optimizer.state_tensors().items()}
    document["extra"] = _without_arrays(dict(extra or {}), tensors)
    return document, tensors


def restore(
    document: Document, tensors: Tensors, where: str, backend: str | None = None
) -> tuple[Sequential, dict[str, Any]]:
    """Return the model that `take` described, and the `extra`; errors begin with `where`, the file's name.

    The model works on `backend`; if None, on the one it was saved from, or the default where this machine lacks that.

    Raises ModelFileError when the document or the tensors are not such a description.
    """
    check_version(document, where)
    try:
        return _restore(document, tensors, backend), _with_arrays(document.get("extra") or {}, tensors)
    except BackendError:
        raise
    except (TinyconvError, AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as problem:
        reason = f"{problem} is missing" if isinstance(problem, KeyError) else str(problem).rstrip(".")
        raise ModelFileError(f"{where} is not a model that this version can load: {reason}.") from problem


def check_version(document: Document, where: str) -> None:
    """Raise ModelFileError for a document of a newer version, or of none."""
    version = document.get("version")
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(f"{where} is damaged: it has no version.")
    if version > VERSION:
        raise ModelFileError(
            f"{where} was saved by tinyconv {document.get('tinyconv', '?')} in format {version}; this tinyconv "
            f"{__version__} reads formats up to {VERSION}. Upgrade tinyconv to load it."
        )


def set_weights(model: Sequential, document: Document, tensors: Tensors, where: str) -> None:
    """Copy saved weights into `model`, layer by layer in order; names of layers may differ, shapes may not.

    Raises ModelFileError, naming the layer and the shapes, before anything is changed.
    """
    check_version(document, where)
    mine = model.weights
    names = document.get("weights")
    if not isinstance(names, list) or not all(isinstance(name, str) and f"weights/{name}" in tensors for name in names):
        raise ModelFileError(f"{where} is damaged: it does not hold the weights it lists.")
    for parameter, name in zip(mine, names, strict=False):
        saved = tensors[f"weights/{name}"].shape
        if saved != parameter.value.shape or _kind(name) != _kind(parameter.name):
            raise ModelFileError(
                f"{where} is of another model: {parameter.name} has shape {parameter.value.shape} here, but in its "
                f"place the file has {name} of shape {saved}."
            )
    if len(mine) != len(names):
        raise ModelFileError(f"{where} is of another model: it has {len(names)} weights, and {model.name} {len(mine)}.")
    for parameter, name in zip(mine, names, strict=True):
        parameter.set(tensors[f"weights/{name}"])


def _restore(document: Document, tensors: Tensors, backend: str | None) -> Sequential:
    config = dict(document["model"])
    _check_shapes(config["layers"], tuple(config["input_shape"]), tensors)
    config["backend"] = backend or _usable(config["backend"])
    if config["backend"] != "cupy":
        config.pop("precision", None)  # is for its tensor cores
    model = Sequential.from_config(config)
    for parameter in model.weights:
        parameter.set(tensors[f"weights/{parameter.name}"])
    if document["compile"] is not None:
        model.compile(**document["compile"])
        state = {name: tensor for name, tensor in tensors.items() if name.startswith("optimizer/")}
        if state:
            model.optimizer.load_state_tensors({name.removeprefix("optimizer/"): state[name] for name in state})
    model.epochs_seen = int(document["epochs_seen"])
    return model


def _check_shapes(entries: list[Document], shape: Shape, tensors: Tensors) -> None:
    """Raise ModelFileError unless the layers' weights are exactly those in the file.

    Before any memory is taken: a document may ask for a billion units.  The layers are built with weights that are one
    zero each, seen from everywhere.
    """
    declared: dict[str, Shape] = {}
    for entry in entries:
        layer = layers.from_config(**entry)

        def record(name: str, shape: Shape, *_: object, layer: Layer = layer, **__: object) -> Parameter:
            declared[f"weights/{layer.name}/{name}"] = tuple(shape)
            return Parameter(name, np.broadcast_to(np.zeros(()), shape), False, None)

        setattr(layer, "add_weight", record)  # noqa: B010  # a method, for this object
        layer.build(shape)
        assert layer.output_shape is not None
        shape = layer.output_shape
    saved = {name: tensor.shape for name, tensor in tensors.items() if name.startswith("weights/")}
    for name in sorted(declared.keys() | saved.keys()):
        if declared.get(name) != saved.get(name):
            raise ModelFileError(
                f"{name.removeprefix('weights/')} should have shape {declared.get(name, 'none at all')} and has "
                f"{saved.get(name, 'none at all')}"
            )


def _usable(backend: str | None) -> str:
    """`backend`, or the default where this machine lacks it."""
    try:
        return backends.get(backend).name
    except BackendError:
        return backends.DEFAULT


def _kind(name: str) -> str:
    """What a parameter is in its layer: "kernel" for "conv2d_1/kernel"."""
    return name.rsplit("/", 1)[-1]


def _without_arrays(value: Any, tensors: Tensors) -> Any:
    """`value` with its arrays moved to `tensors`; {"tensor": name} stays in their place."""
    if isinstance(value, np.ndarray):
        name = f"extra/{sum(key.startswith('extra/') for key in tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {str(key): _without_arrays(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, tensors) for item in value]
    return value


def _with_arrays(value: Any, tensors: Tensors) -> Any:
    """The inverse of `_without_arrays`."""
    if isinstance(value, dict):
        if value.keys() == {"tensor"} and value["tensor"] in tensors:
            return tensors[value["tensor"]]
        return {key: _with_arrays(item, tensors) for key, item in value.items()}
    return [_with_arrays(item, tensors) for item in value] if isinstance(value, list) else value
