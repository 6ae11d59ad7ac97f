"""Lab 10: train, the training loop

Everything is there: a forward pass, a loss, gradients.  Learning is to repeat it.  An epoch visits every image once, in
batches; after each batch the weights take a step against the gradient.

    for each epoch                              order [5 2 0 4 1 3 6], batch_size 3
        for each batch, in the epoch's order        5 2 0 │ 4 1 3 │ 6      the last batch is smaller
            loss and gradients of this batch
            w ← w - learning_rate · dw                                     one step per batch
            b ← b - learning_rate · db
        remember the mean loss of the epoch's images

The loss of a batch is the mean over its images.  An image in a small batch must not count for more than the others, so
weight the losses of the batches by their sizes:  epoch loss = Σ loss · size / n.  Each loss is the one from before the
step, as it comes along.  (Goodfellow, Bengio and Courville, "Deep Learning", 2016, algorithm 8.1.)

The order of the images is given for each epoch, so that there is one right answer.  The model is the simplest there is,
softmax(x · w + b), and its loss and gradients are given below.  Leave the given w and b as they are.

Fill in the function train, then run:  tinyconv lab check 10
"""

import numpy as np


def loss_and_gradients(x, labels, w, b):
    """Return the mean loss of softmax(x · w + b) over the given images, dw and db.  This one is given."""
    z = x @ w + b
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    truth = np.eye(len(b))[labels]
    dz = (np.exp(log_p) - truth) / len(x)
    return -np.sum(truth * log_p) / len(x), x.T @ dz, dz.sum(axis=0)


def train(x, labels, w, b, orders, batch_size, learning_rate):
    """Return the trained w and b, and the losses (epochs,).

    x           the images, as rows (n, features)
    labels      the right classes, integers (n,)
    w, b        the weights to start from (features, classes) and (classes,)
    orders      (epochs, n): for each epoch, the images' numbers in the order in which they are visited
    """
    losses = []
    for order in orders:
        total = 0.0
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            loss, dw, db = loss_and_gradients(x[batch], labels[batch], w, b)
            w = w - learning_rate * dw
            b = b - learning_rate * db
            total += loss * len(batch)
        losses.append(total / len(x))
    return w, b, np.array(losses)
