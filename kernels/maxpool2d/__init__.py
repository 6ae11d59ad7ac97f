"""Max-pooling: the largest value of each window, and the one place it came from (see `contract.MaxPool2D`)."""
