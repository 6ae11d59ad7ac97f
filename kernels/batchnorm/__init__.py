"""Batch normalisation over all axes but the last (see `contract.BatchNorm`)."""
