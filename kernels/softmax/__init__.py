"""Softmax over the last axis, y = eˣ / Σ eˣ (see `contract.Activation`)."""
