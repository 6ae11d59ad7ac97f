"""Counter-based random bits, Philox4x32-10: see `Philox` in `contract`."""
