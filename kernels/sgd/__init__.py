"""One step of gradient descent with momentum on flat arrays: see `SGD` in `contract`."""
