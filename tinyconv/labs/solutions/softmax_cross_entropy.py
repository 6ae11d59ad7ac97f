"""Lab 6: softmax_cross_entropy, the loss and its gradient

The last layer gives one number per class, the logits z.  Softmax makes probabilities of them, and the loss is the
surprise at the right class t, averaged over the n images of the batch:

    p[i, k] = e^z[i, k] / Σ_j e^z[i, j]           loss = -1/n Σ_i log p[i, t_i]

    z = [1, 2, 3]   ──softmax──►   p = [0.09, 0.24, 0.67]   ──right class 2──►   -log 0.67 = 0.41

The gradient is as simple as it gets: what you said minus the truth,

    dz[i, k] = (p[i, k] - [k = t_i]) / n

(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3).  A network can give logits of 1000, and
e^1000 is more than a computer can hold.  Subtract the largest logit of each image first: it cancels in p.  And compute
log p directly as  z - log Σ_j e^z[j]: a probability may be too small to be anything but 0, whose logarithm is -∞.

Fill in the function, then run:  tinyconv lab check 6
"""

import numpy as np


def softmax_cross_entropy(logits, labels):
    """Return the loss, one number, and dlogits (n, classes), with the dtype of the logits.

    logits  (n, classes)
    labels  the right classes, integers (n,)
    """
    n = len(labels)
    images = np.arange(n)
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))  # (n, classes)
    loss = -log_p[images, labels].mean()
    dlogits = np.exp(log_p)
    dlogits[images, labels] -= 1
    return loss, dlogits / n
