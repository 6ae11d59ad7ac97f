"""The hyperbolic tangent (see `contract.Activation`)."""
