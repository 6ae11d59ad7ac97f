"""The rectified linear unit, y = max(x, 0) (see `contract.Activation`)."""
