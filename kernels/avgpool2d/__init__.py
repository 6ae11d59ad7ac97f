"""Average pooling: the mean over the real pixels of each window (see `contract.AvgPool2D`)."""
