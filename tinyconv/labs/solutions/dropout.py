"""Lab 7: dropout_forward and dropout_backward

In training, dropout switches every number off with a chance of `rate`, anew in each step, so that the network cannot
rely on any one of them (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014).
When the network is used, nothing is switched off.  So that the next layer sees as much on average both ways, what is
kept in training is divided by (1 - rate); this form is called inverted dropout.

    rate 0.5     x        2     4     6     8
                 random   0.3   0.7   0.5   0.1
                 y        0     8    12     0

    y = x / (1 - rate)  where  random >= rate,  else 0          in training
    y = x                                                       else

`random` are numbers between 0 and 1, one for each x; they are given to you, so that there is one right answer.
Backward, a number that was switched off gets no gradient, and the others get dy times the factor that forward had used.

Fill in the two functions, then run:  tinyconv lab check 7
"""

import numpy as np


def dropout_forward(x, rate, random, training):
    """Return y, with the shape and the dtype of x.

    x         any shape
    rate      the chance to be switched off, 0 <= rate < 1
    random    uniform random numbers in [0, 1), with the shape of x
    training  True or False
    """
    if not training:
        return x
    return np.where(random >= rate, x / (1 - rate), 0).astype(x.dtype)


def dropout_backward(dy, rate, random):
    """Return dx for a forward pass in training, with the shape and the dtype of dy."""
    return np.where(random >= rate, dy / (1 - rate), 0).astype(dy.dtype)
