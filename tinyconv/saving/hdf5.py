"""Keras's HDF5 layout (.h5), written so that Keras loads it, and read whether Keras wrote it or tinyconv.

    attributes             keras_version, backend, model_config (JSON), training_config (JSON)
    model_weights/         attribute layer_names
      conv2d/              attribute weight_names = ["conv2d/kernel:0", "conv2d/bias:0"]
        conv2d/kernel:0    the kernel (kh, kw, in, out), as here
    optimizer_weights/     attribute weight_names = ["adam/iteration", "adam/learning_rate", …]
    tinyconv/              what only tinyconv reads: its document, the optimizer's and the caller's arrays

Keras: https://keras.io/api/models/model_saving_apis/ ("legacy H5 format"); tried with Keras 2.15 and 3.15.
Both load architecture, weights and compilation.  The optimizer's state is laid out as Keras 3 has it, which takes only
the step count out of such a file, its own ones included; Keras 2 starts the optimizer afresh, with a warning.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyconv import layers, optimizers
from tinyconv.errors import ModelFileError, TinyconvError
from tinyconv.saving.atomic import replacing_file
from tinyconv.saving.native import plain

Array = np.ndarray[Any, Any]
Document = dict[str, Any]
Tensors = dict[str, Array]

KERAS_VERSION = "3.0.0"  # whose layout this is
SIGNATURE = b"\x89HDF\r\n\x1a\n"
ATTRIBUTE_LIMIT = 64_000  # bytes that HDF5 can keep in one attribute
MOST_COMPRESSION = 1100  # zip can do no better
STATE_NAMES = {"m": "momentum", "v": "velocity", "velocity": "momentum"}  # tinyconv's → Keras's

# Arguments of Keras's layers that tinyconv's do not have, with the values that mean "as tinyconv does".
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "data_format": ("channels_last",),
    "groups": (1,),
    "center": (True,),
    "scale": (True,),
    "threshold": (0, 0.0),
    "negative_slope": (0, 0.0),
    "keepdims": (False,),
    "renorm": (False,),
}
# Arguments that do not change what a layer computes once it has its weights.
IRRELEVANT = {
    "trainable",  # of layers without weights; the others have the argument
    "dtype", "seed", "sparse", "ragged", "optional", "batch_shape", "batch_input_shape", "synchronized",
    "renorm_clipping", "renorm_momentum", "virtual_batch_size", "beta_initializer", "gamma_initializer",
    "moving_mean_initializer", "moving_variance_initializer",
}


def is_hdf5(path: Path) -> bool:
    """Whether the file at `path` begins as an HDF5 file does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def write(path: Path, document: Document, tensors: Tensors) -> None:
    """Write a model as Keras would (see `snapshot` for the arguments).

    Raises ModelFileError when h5py is missing, a layer does what Keras has no word for, or `path` cannot be written.
    """
    h5py = _h5py()
    model_config = json.dumps({"class_name": "Sequential", "config": _keras_model(document)})
    training_config = document["compile"] and json.dumps(_keras_training(document["compile"]))
    with replacing_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["keras_version"] = KERAS_VERSION
        file.attrs["backend"] = "tensorflow"  # whose kernels are laid out as tinyconv's are
        _set_text(file, "model_config", model_config)
        if training_config:
            _set_text(file, "training_config", training_config)
            _write_optimizer(file.create_group("optimizer_weights"), document, tensors)
        _write_weights(file.create_group("model_weights"), document, tensors)
        own = file.create_group("tinyconv")
        own["document"] = json.dumps(document, default=plain)
        for name, tensor in tensors.items():
            if not name.startswith("weights/"):
                own[name] = tensor  # "optimizer/…" and "extra/…": each a path of groups


def read(path: Path) -> tuple[Document, Tensors]:
    """Return the document and the tensors of a model that Keras or tinyconv wrote.

    Raises ModelFileError when h5py is missing, the file is damaged, or the model has something tinyconv does not have.
    """
    h5py = _h5py()
    with _sentence(path), h5py.File(path, "r") as file:
        weights = {f"weights/{name}": array for name, array in _read_weights(file)}
        if "tinyconv" in file:
            document = json.loads(file["tinyconv/document"][()])
            own = {name: _array(file["tinyconv"][name]) for name in _datasets(file["tinyconv"]) if name != "document"}
            return dict(document), weights | own
        return _from_keras(file, weights)


# -- writing ----------------------------------------------------------------------------------------------------------


def _keras_model(document: Document) -> Document:
    model = document["model"]
    input_config = {"batch_input_shape": [None, *model["input_shape"]], "dtype": model["dtype"], "name": "input_layer"}
    first = {"class_name": "InputLayer", "config": input_config}
    return {"name": model["name"], "layers": [first, *(_keras_layer(one, model["dtype"]) for one in model["layers"])]}


def _keras_layer(entry: Document, dtype: str) -> Document:
    config = dict(entry["config"])
    if not isinstance(config.get("padding", "valid"), str):
        raise ModelFileError(
            f"{config['name']} pads by {config['padding']} pixels, and Keras knows only 'valid' and 'same': save as "
            ".safetensors instead."
        )
    return {"class_name": entry["class_name"], "config": {"trainable": True, **config, "dtype": dtype}}


def _keras_training(compilation: Document) -> Document:
    optimizer = compilation["optimizer"]
    config = {name: value for name, value in optimizer["config"].items() if value is not None}  # Keras 2 lacks some
    if isinstance(config["learning_rate"], Mapping):
        schedule = config["learning_rate"]["config"]  # Keras has other schedules: it gets the peak as a constant
        config["learning_rate"] = schedule.get("max_learning_rate", schedule.get("initial_learning_rate"))
    return {
        "loss": compilation["loss"], "loss_weights": None, "metrics": list(compilation["metrics"]),
        "weighted_metrics": None, "optimizer_config": {"class_name": optimizer["class_name"], "config": config},
    }


def _write_weights(group: Any, document: Document, tensors: Tensors) -> None:
    names = [entry["config"]["name"] for entry in document["model"]["layers"]]
    _set_names(group, "layer_names", names)
    group.attrs["keras_version"] = KERAS_VERSION
    group.attrs["backend"] = "tensorflow"
    for layer in names:
        subgroup = group.create_group(layer)
        mine = [name for name in document["weights"] if name.rsplit("/", 1)[0] == layer]
        _set_names(subgroup, "weight_names", [f"{name}:0" for name in mine])
        for name in mine:
            subgroup[f"{name}:0"] = tensors[f"weights/{name}"]
    _set_names(group.create_group("top_level_model_weights"), "weight_names", [])


def _write_optimizer(group: Any, document: Document, tensors: Tensors) -> None:
    """The iteration, the learning rate, then the states of each parameter in turn."""
    optimizer = document["compile"]["optimizer"]["class_name"].lower()
    learning_rate = _keras_training(document["compile"])["optimizer_config"]["config"]["learning_rate"]
    values: dict[str, Array] = {
        f"{optimizer}/iteration": tensors["optimizer/iterations"],
        f"{optimizer}/learning_rate": np.asarray(learning_rate, np.float32),
    }
    for name in document["weights"]:
        for kind, keras_kind in STATE_NAMES.items():
            if f"optimizer/{kind}/{name}" in tensors:
                values[f"{optimizer}/{name.replace('/', '_')}_{keras_kind}"] = tensors[f"optimizer/{kind}/{name}"]
    _set_names(group, "weight_names", list(values))
    for name, value in values.items():
        group[name] = value


def _set_text(file: Any, name: str, text: str) -> None:
    if len(text.encode()) > ATTRIBUTE_LIMIT:
        raise ModelFileError(f"The model has too many layers for Keras's HDF5 layout ({name}): save as .safetensors.")
    file.attrs[name] = text


def _set_names(group: Any, name: str, values: list[str]) -> None:
    """A list of names as an attribute; in pieces, numbered from 0, when HDF5 cannot keep it in one, as Keras does."""
    encoded = np.array([value.encode() for value in values], dtype=None if values else "S1")
    pieces = -(-encoded.nbytes // ATTRIBUTE_LIMIT)
    if pieces <= 1:
        group.attrs[name] = encoded
        return
    for number, piece in enumerate(np.array_split(encoded, pieces + 1)):
        group.attrs[f"{name}{number}"] = piece


# -- reading ----------------------------------------------------------------------------------------------------------


def _read_weights(file: Any) -> Iterator[tuple[str, Array]]:
    """("<layer>/kernel", array) for each weight, in the order of the layers."""
    group = file.get("model_weights", file)  # Keras's save_weights leaves that level out
    for layer in _names(group, "layer_names"):
        for name in _names(group[layer], "weight_names"):
            yield f"{layer}/{name.rsplit('/', 1)[-1].removesuffix(':0')}", _array(group[layer][name])


def _from_keras(file: Any, weights: Tensors) -> tuple[Document, Tensors]:
    names = [name.removeprefix("weights/") for name in weights]
    document: Document = {"format": "tinyconv", "version": 1, "weights": names, "compile": None, "epochs_seen": 0}
    if "model_config" not in file.attrs:
        return document, weights  # weights alone: enough for load_weights
    model = json.loads(_text(file.attrs["model_config"]))
    if model["class_name"] != "Sequential":
        raise ModelFileError(f"it is a {model['class_name']} model, and tinyconv has only Sequential ones")
    config = model["config"] if isinstance(model["config"], dict) else {"layers": model["config"]}
    document["model"] = {
        "name": config.get("name", "sequential"),
        "backend": None,
        "dtype": next(iter(weights.values())).dtype.name if weights else "float32",
        "input_shape": _input_shape(config),
        "layers": list(_from_keras_layers(config["layers"], rank=len(_input_shape(config)) + 1)),
    }
    if "training_config" not in file.attrs:
        return document, weights
    compilation = _from_keras_training(json.loads(_text(file.attrs["training_config"])))
    trained = _trained(names, document["model"]["layers"])
    return document | {"compile": compilation}, weights | _states(file, compilation, trained)


def _from_keras_layers(entries: list[Document], rank: int) -> Iterator[Document]:
    """The layers in tinyconv's arguments; `rank` is the number of axes of what goes in, with the batch."""
    for entry in entries:
        if entry["class_name"] == "InputLayer":
            continue
        theirs = dict(entry["config"])
        if np.ravel(theirs.get("axis", -1)).tolist() in ([-1], [rank - 1]):
            theirs.pop("axis", None)  # the last axis, as always here; Keras 2 counts it from the front
        if entry["class_name"] in ("Flatten", "GlobalAveragePooling2D"):
            rank = 2
        elif entry["class_name"] == "Reshape":
            rank = 1 + len(theirs["target_shape"])
        yield _from_keras_layer({**entry, "config": theirs})


def _from_keras_layer(entry: Document) -> Document:
    """Keras's configuration of a layer in tinyconv's arguments."""
    class_name, theirs = _class_name(entry), entry["config"]
    if class_name not in layers.CLASSES:
        raise ModelFileError(f"it has a {class_name} layer, and tinyconv has none; it has {', '.join(layers.CLASSES)}")
    arguments = inspect.signature(layers.CLASSES[class_name]).parameters
    config: Document = {}
    for name, value in theirs.items():
        if name in arguments and name != "input_shape":
            config[name] = _argument(name, value)
        elif name not in IRRELEVANT and value is not None and value not in NEUTRAL.get(name, ()):
            raise ModelFileError(f"{theirs.get('name', class_name)} has {name}={value!r}, which tinyconv does not have")
    return {"class_name": class_name, "config": config}


def _argument(name: str, value: Any) -> Any:
    """One argument: Keras's objects without the module they come from and without their seed."""
    if name == "activation" and isinstance(value, dict):
        return value["config"] if isinstance(value["config"], str) else _class_name(value).lower()
    if not isinstance(value, dict):
        return value
    known = {"seed", "input_axes", "output_axes"}
    return {
        "class_name": _class_name(value),
        "config": {key: item for key, item in value.get("config", {}).items() if key not in known},
    }


def _input_shape(config: Document) -> list[int]:
    """Of one input, from wherever this version of Keras wrote it."""
    first = config["layers"][0]["config"]
    shape = first.get("batch_shape") or first.get("batch_input_shape") or config.get("build_input_shape")
    if not shape or not all(isinstance(size, int) for size in shape[1:]):
        raise ModelFileError(f"its input shape is {shape}, and tinyconv needs whole numbers after the batch")
    return list(shape[1:])


def _from_keras_training(training: Document) -> Document:
    """The compilation.  Settings of Keras's optimizers that change a step and that tinyconv lacks are refused."""
    theirs = training["optimizer_config"]
    class_name = _class_name(theirs)
    accepted = inspect.signature(type(optimizers.get(class_name))).parameters
    config = {key: value for key, value in theirs["config"].items() if key in accepted}
    others = {key: value for key, value in theirs["config"].items() if key not in accepted}
    for key in ("use_ema", "amsgrad", "centered", "decay"):
        if others.get(key):
            raise ModelFileError(f"its optimizer {class_name} has {key}={others[key]!r}, which tinyconv does not have")
    if isinstance(config.get("learning_rate"), dict):
        schedule = _class_name(config["learning_rate"])
        raise ModelFileError(f"its learning rate follows {schedule}, which tinyconv does not have")
    loss = training["loss"]
    if isinstance(loss, dict) and isinstance(loss["config"], str):
        loss = loss["config"]  # a function by name
    elif isinstance(loss, dict):
        options = {key: loss["config"][key] for key in ("from_logits", "label_smoothing") if loss["config"].get(key)}
        loss = {"class_name": _class_name(loss), "config": options}
    metrics = list(_metric_names(training.get("metrics")))
    return {"optimizer": {"class_name": class_name, "config": config}, "loss": loss, "metrics": metrics}


def _metric_names(metrics: Any) -> Iterator[str]:
    """Names of metrics out of the nested lists and objects that Keras keeps them in."""
    if isinstance(metrics, str):
        yield metrics
    elif isinstance(metrics, dict):
        yield metrics["config"] if isinstance(metrics["config"], str) else metrics["config"]["name"]
    elif isinstance(metrics, list):
        for metric in metrics:
            yield from _metric_names(metric)


def _trained(names: list[str], entries: list[Document]) -> list[str]:
    """Those of the weights' `names` that training changes: no moving averages, nothing of frozen layers."""
    frozen = {entry["config"]["name"] for entry in entries if not entry["config"].get("trainable", True)}
    layer_and_kind = ((name, *name.rsplit("/", 1)) for name in names)
    return [name for name, layer, kind in layer_and_kind if layer not in frozen and not kind.startswith("moving_")]


def _states(file: Any, compilation: Document, trainable: list[str]) -> Tensors:
    """The optimizer's state in tinyconv's names, or nothing when the file does not hold all of it.

    Every version of Keras writes the step count first and keeps the parameters' order within one kind of state, but
    each names the kinds in its own way: …/kernel_momentum, Adam/m/…/kernel:0, …/kernel/m:0.
    """
    if "optimizer_weights" not in file:
        return {}
    group = file["optimizer_weights"]
    arrays = {name: _array(group[name]) for name in _names(group, "weight_names")}
    slots = type(optimizers.get(compilation["optimizer"])).slots
    tensors: Tensors = {}
    for slot in slots:
        mine = [array for name, array in arrays.items() if _slot(name, slots) == slot]
        tensors |= {f"optimizer/{slot}/{name}": array for name, array in zip(trainable, mine, strict=False)}
    steps = [array for name, array in arrays.items() if "iter" in name.lower() and not array.shape]
    if len(tensors) != len(slots) * len(trainable) or not steps:
        return {}
    return tensors | {"optimizer/iterations": steps[0].astype(np.int64)}


def _slot(name: str, slots: tuple[str, ...]) -> str | None:
    """Which of the optimizer's `slots` the array that Keras calls `name` belongs to."""
    for slot in slots:
        short = "m" if slot == "velocity" else slot  # SGD's velocity is Keras's momentum
        if name.endswith((f"_{STATE_NAMES[slot]}", f"/{short}:0", "/momentum:0")) or f"/{short}/" in name:
            return slot
    return None


def _class_name(entry: Document) -> str:
    """Without the package in front that Keras 2 writes: "Custom>Adam"."""
    return str(entry["class_name"]).rsplit(">", 1)[-1]


def _names(group: Any, name: str) -> list[str]:
    """The inverse of `_set_names`."""
    if name in group.attrs:
        return [_text(value) for value in group.attrs[name]]
    values: list[str] = []
    for number in count():
        if f"{name}{number}" not in group.attrs:
            return values
        values += [_text(value) for value in group.attrs[f"{name}{number}"]]
    return values


def _array(dataset: Any) -> Array:
    """The numbers of a dataset, which must be in this file: HDF5 lets a file claim any size, or point elsewhere."""
    stored = dataset.id.get_storage_size()
    if dataset.external or dataset.is_virtual or dataset.nbytes > MOST_COMPRESSION * stored:
        raise ModelFileError(f"{dataset.name} claims {dataset.nbytes} bytes, but only {stored} are there")
    if dataset.dtype.kind not in "fiu":
        raise ModelFileError(f"{dataset.name} holds {dataset.dtype}, not numbers")
    return np.asarray(dataset[()])


def _datasets(group: Any) -> list[str]:
    """The names of all datasets below `group`."""
    found: list[str] = []
    group.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as problem:
        raise ModelFileError(
            'Models in .h5 files need h5py: pip install "tinyconv[hdf5]", or use .safetensors.'
        ) from problem
    module: ModuleType = h5py
    return module


@contextmanager
def _sentence(path: Path) -> Iterator[None]:
    """Errors of h5py, and of files that are not what they say, as ModelFileError with the file's name."""
    try:
        yield
    except (TinyconvError, AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as problem:
        reason = str(problem.args[0] if isinstance(problem, KeyError) else problem).rstrip(".")
        missing = isinstance(problem, KeyError) and " " not in reason  # a name; h5py puts whole sentences there, too
        raise ModelFileError(
            f"{path} is not a model that tinyconv can load: {reason}{' is missing' if missing else ''}."
        ) from problem
    except OSError as problem:
        raise ModelFileError(f"{path} is damaged: h5py cannot read it ({problem}).") from problem
