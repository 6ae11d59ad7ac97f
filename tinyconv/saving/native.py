"""tinyconv's own format: safetensors for the numbers, JSON for everything else.

    model.safetensors              one file, with the JSON in its metadata (model.tinyconv is the same)
    model/model.json               or a folder: the JSON to read, and the numbers beside it
    model/weights.safetensors

Nothing in either can run code.  Numbers are read back and compared before a file takes its place.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv.errors import ModelFileError
from tinyconv.saving.atomic import replacing_file, replacing_folder

Array = np.ndarray[Any, Any]

DOCUMENT = "model.json"
TENSORS = "weights.safetensors"
FORMAT = "tinyconv"
DTYPES = {"F32", "F64", "I64"}


def write(path: Path, document: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Write a document and tensors: one file if `path` has a suffix, a folder otherwise.

    Raises ModelFileError when that is not possible; what was at `path` before is there still, then.
    """
    text = json.dumps(document, indent=1, default=plain)
    if path.suffix and not path.is_dir():
        with replacing_file(path) as temporary:
            _write_tensors(temporary, tensors, {"format": FORMAT, "document": text})
        return
    _check_replaceable(path)
    with replacing_folder(path) as temporary:
        (temporary / DOCUMENT).write_text(text, encoding="utf-8")
        _write_tensors(temporary / TENSORS, tensors, {"format": FORMAT})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the document and the tensors that `write` put at `path`.

    Raises ModelFileError, naming `path`, when it is missing, damaged or something else.
    """
    tensors_path = path / TENSORS if path.is_dir() else path
    if not tensors_path.is_file():
        raise ModelFileError(f"{path} is not a saved model: there is no file {tensors_path}.")
    metadata, tensors = _read_tensors(tensors_path)
    if path.is_dir():
        try:
            text = (path / DOCUMENT).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise ModelFileError(f"{path} is a folder without a readable {DOCUMENT}: {problem}.") from problem
    elif metadata.get("format") != FORMAT or "document" not in metadata:
        raise ModelFileError(f"{path} was not saved by tinyconv: it does not say which layers its tensors are of.")
    else:
        text = metadata["document"]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ModelFileError(f"{path} is damaged: its description is not JSON ({problem}).") from problem
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelFileError(f"{path} was not saved by tinyconv.")
    return document, tensors


def _write_tensors(path: Path, tensors: dict[str, Array], metadata: dict[str, str]) -> None:
    from safetensors.numpy import load, save

    # safetensors 0.8.0 writes other numbers for arrays that are not contiguous (its issue 825).
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    path.write_bytes(save(contiguous, metadata))
    written = load(path.read_bytes())
    for name, tensor in contiguous.items():
        if written[name].dtype != tensor.dtype or written[name].tobytes() != tensor.tobytes():
            raise ModelFileError(f"{path.name}: {name} does not read back as it was written; nothing was saved.")


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """The metadata and the tensors of a safetensors file, which the library checks against the size of the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            for name in names:
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES:
                    raise ModelFileError(f"{path} was not saved by tinyconv: {name} has dtype {dtype}.")
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except SafetensorError as problem:
        raise ModelFileError(
            f"{path} is not a model, or is damaged: it is not a whole safetensors file ({problem})."
        ) from problem
    except OSError as problem:
        raise ModelFileError(f"Cannot read {path}: {problem.strerror or problem}.") from problem


def _check_replaceable(path: Path) -> None:
    """Refuse to replace a folder that holds anything but a saved model."""
    if path.is_file():
        raise ModelFileError(f"{path} is a file; a model folder cannot take its place. Save under another name.")
    names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    for other in sorted(names - {DOCUMENT, TENSORS}):
        raise ModelFileError(f"{path} holds other files, which saving would delete: {other}. Save under another name.")


def plain(value: object) -> object:
    """JSON for the NumPy numbers and small arrays that find their way into configurations and histories."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise ModelFileError(f"{value!r} of type {type(value).__name__} cannot be saved: JSON has no such type.")
