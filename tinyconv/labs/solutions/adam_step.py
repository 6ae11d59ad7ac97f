"""Lab 8: adam_step, one step of Adam

Gradient descent takes one step length for all weights.  Adam keeps two running averages per weight, of its gradient g
and of the square of it, and goes where the average gradient points, further where the gradients have been small:

    m ← β₁·m + (1 - β₁)·g               m̂ = m / (1 - β₁ᵗ)
    v ← β₂·v + (1 - β₂)·g²              v̂ = v / (1 - β₂ᵗ)               p ← p - learning_rate · m̂ / (√v̂ + ε)

The averages start at 0 and are too small at first; m̂ and v̂ correct that.  t counts the steps from 1 on.  m and v are
kept without the correction (Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1).

    t      1      2      3   …    100                      (g = 1 all the time, β₁ = 0.9)
    m    0.10   0.19   0.27  …   1.00
    m̂    1.00   1.00   1.00  …   1.00

Return new arrays and leave the given ones as they are.

Fill in the function, then run:  tinyconv lab check 8
"""

import numpy as np


def adam_step(p, g, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Return the new p, m and v, with the shape and the dtype of p.

    p     the weights, any shape
    g     their gradient
    m, v  the averages so far
    t     which step this is: 1, 2, 3, …
    """
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    m_hat = m / (1 - beta_1**t)
    v_hat = v / (1 - beta_2**t)
    p = p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return p, m, v
