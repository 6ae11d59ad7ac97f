"""tinyconv: a convolutional-network engine written from scratch, to read, to measure and to teach with.

    from tinyconv import zoo, datasets
    (x, y), (x_test, y_test) = datasets.digits.load_data()
"""

from pathlib import Path as _Path

__version__ = "0.1.0"

# In a checkout the kernels lie beside this folder, not below it.  An installed tinyconv has them below; but whoever
# stands in a checkout imports this folder first, installed or not.
_beside = _Path(__file__).resolve().parent.parent
if (_beside / "kernels" / "contract.py").is_file() and not (_beside / "tinyconv" / "kernels").exists():
    __path__.append(str(_beside))
