"""tinyconv: a convolutional-network engine written from scratch, to read, to measure and to teach with.

    from tinyconv import datasets, zoo
    (x, y), (x_test, y_test) = datasets.digits.load_data()

Modules sit where Keras has them: tinyconv.models, .layers, .datasets, .utils.  Each is imported when first used, so
that `import tinyconv` costs almost nothing.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from types import ModuleType as _ModuleType

from .version import __version__ as __version__

# In a checkout the kernels lie beside this folder, not below it.  An installed tinyconv has them below; but whoever
# stands in a checkout imports this folder first, installed or not.
_beside = _Path(__file__).resolve().parent.parent
if (_beside / "kernels" / "contract.py").is_file() and not (_beside / "tinyconv" / "kernels").exists():
    __path__.append(str(_beside))

_MODULES = (
    "backends", "callbacks", "datasets", "errors", "gradcheck", "initializers", "kernels", "labs", "layers",
    "losses", "metrics", "models", "optimizers", "plots", "random", "regularizers", "saving", "schedules", "training",
    "utils", "zoo",
)


def __getattr__(name: str) -> _ModuleType:
    """Import `tinyconv.<name>` when it is first used."""
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Everything there is, for completion."""
    return sorted({*globals(), *_MODULES})
