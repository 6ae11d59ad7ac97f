"""Softmax and cross-entropy in one step, with its gradient (see `contract.SoftmaxCrossEntropy`)."""
