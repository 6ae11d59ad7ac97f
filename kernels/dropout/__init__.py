"""Inverted dropout with a mask that is never stored: see `Dropout` in `contract`."""
