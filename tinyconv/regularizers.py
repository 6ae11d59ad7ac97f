"""Penalties on weights that are added to the loss, and their gradients."""
