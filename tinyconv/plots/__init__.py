"""Pictures of data, of what goes on inside a network, of a training, and of what a network gets wrong.

Each function returns a Matplotlib Figure that belongs to nobody: no pyplot, no global state, no display needed.  `save`
writes it, or a notebook shows it.  The colours are those of Okabe and Ito (2008), which colour-blind people can tell
apart, and no two lines differ by colour alone.

Data: `sample_grid`, `heat_map`, `class_counts`.  Training: `learning_curves`, `layer_histograms` of a `LayerRecorder`.
Results: `confusion_matrix`, `wrong_predictions`.  Inside: `filters`, `feature_maps`, `all_layers`, `saliency`,
`grad_cam`.  Convolution itself: `output_pixel`, `im2col_picture`, `before_and_after`, `colour_convolution`.  Speed:
`profile` of `measure_layers`.
"""

from .all_layers import all_layers
from .colours import colour_convolution
from .confusion import confusion_matrix
from .convolution import before_and_after
from .counts import class_counts
from .curves import crossover, learning_curves
from .feature_maps import feature_maps
from .figure import save
from .filters import filters
from .grad_cam import grad_cam
from .heatmap import heat_map
from .histograms import layer_histograms
from .im2col import im2col_picture
from .measure import measure_layers
from .mistakes import wrong_predictions
from .output_pixel import output_pixel
from .predictions import as_classes
from .profile import profile
from .recorder import LayerRecorder
from .saliency import saliency
from .samples import sample_grid

__all__ = [
    "LayerRecorder", "all_layers", "as_classes", "before_and_after", "class_counts", "colour_convolution",
    "confusion_matrix", "crossover", "feature_maps", "filters", "grad_cam", "heat_map", "im2col_picture",
    "layer_histograms", "learning_curves", "measure_layers", "output_pixel", "profile", "saliency", "sample_grid",
    "save", "wrong_predictions",
]
