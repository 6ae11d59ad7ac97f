"""Sigmoid and binary cross-entropy in one step, with its gradient (see `contract.SigmoidCrossEntropy`)."""
