"""One Adam or AdamW step on flat arrays: see `Adam` in `contract`."""
