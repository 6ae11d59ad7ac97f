"""The logistic function, y = 1 / (1 + e⁻ˣ) (see `contract.Activation`)."""
