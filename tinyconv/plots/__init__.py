"""Pictures of a training and of what a network gets wrong.

Each function returns a Matplotlib Figure that belongs to nobody: no pyplot, no global state, no display needed.  `save`
writes it, or a notebook shows it.  The colours are those of Okabe and Ito (2008), which colour-blind people can tell
apart, and no two lines differ by colour alone.
"""

from .confusion import confusion_matrix
from .curves import crossover, learning_curves
from .figure import save
from .mistakes import wrong_predictions
from .predictions import as_classes

__all__ = ["as_classes", "confusion_matrix", "crossover", "learning_curves", "save", "wrong_predictions"]
