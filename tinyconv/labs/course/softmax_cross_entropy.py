"""Lab 6, softmax_cross_entropy."""

import numpy as np

from tinyconv.kernels.softmax_cross_entropy import definition
from tinyconv.labs.lab import EXACT, MEASURED, SINGLE, Array, Case, Lab, differences, mistake


def make_cases(seed: int) -> list[Case]:
    """Losses and gradients; the gradients of moderate logits are measured."""
    rng = np.random.default_rng(seed)

    def case(name: str, logits: Array, labels: Array, measured: bool = False) -> Case:
        losses, dlogits = definition.loss_and_gradient(logits, labels, scale=1 / len(labels))
        tolerance = SINGLE if logits.dtype == np.float32 else EXACT
        if measured:
            dlogits = differences(lambda z: definition.loss_and_gradient(z, labels)[0].mean(), logits, np.ones(()))
            tolerance = MEASURED
        arguments = {"logits": logits, "labels": labels}
        return Case(name, "softmax_cross_entropy", arguments, (np.array(losses.mean()), dlogits), tolerance)

    ten = np.log([[0.03, 0.03, 0.01, 0.9, 0.01, 0.01, 0.0025, 0.0025, 0.0025, 0.0025]])
    labels = rng.integers(0, 4, 5)
    return [
        case("the picture in the text: z = 1, 2, 3", np.array([[1.0, 2, 3]]), np.array([2])),
        case("all classes alike: the loss is log 4", np.zeros((1, 4)), np.array([1])),
        case("probability 0.9 for the right one of ten", ten, np.array([3])),
        case("two images", np.array([[1.0, 2, 3], [0, 5, 1]]), np.array([0, 1])),
        case("five images, gradient check", rng.standard_normal((5, 4)), labels, measured=True),
        case("as many images as classes, gradient check", rng.standard_normal((4, 4)), labels[:4], measured=True),
        case("all images of one class", rng.standard_normal((3, 4)), np.array([2, 2, 2])),
        case("logits of 1000", np.array([[1000.0, 999, 998], [-3, 0, 1000]]), np.array([0, 2])),
        case("logits of -1000", np.array([[-1000.0, -1001, -1002], [-990, -1000, -1010]]), np.array([0, 1])),
        case(
            "logits of 1000 beside logits of -1000",
            np.array([[1000.0, 999, 998], [-1000, -1001, -1002]]),
            np.array([1, 0]),
        ),
        case("sure and wrong: the probability is too small for a float64", np.array([[1000.0, 0, 0]]), np.array([1])),
        case("float32 stays float32", rng.standard_normal((3, 4)).astype(np.float32), labels[:3]),
    ]


NAIVE = """p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    log_p = np.log(p)  #"""
LOG_P = "log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))"
LOSS = "loss = -log_p[images, labels].mean()"

LAB = Lab(
    6,
    "softmax_cross_entropy",
    "the loss and its gradient",
    {"softmax_cross_entropy": ("loss", "dlogits")},
    make_cases,
    (
        mistake(
            "The gradient lacks 1/n: the loss is a mean over the images.",
            ("return loss, dlogits / n", "return loss, dlogits"),
        ),
        mistake("The loss is a mean over the images; yours is their sum.", ("].mean()", "].sum()")),
        mistake("The loss lacks its minus sign.", (LOSS, LOSS.replace("-log_p", "log_p"))),
        mistake(
            "The gradient has the wrong sign: p - [right class].",
            ("return loss, dlogits / n", "return loss, -dlogits / n"),
        ),
        mistake(
            "You forgot to subtract 1 from the probability of the right class.",
            ("    dlogits[images, labels] -= 1\n", ""),
        ),
        mistake(
            "You subtract 1 from the column of the label in every image: index as dlogits[np.arange(n), labels].",
            ("dlogits[images, labels] -= 1", "dlogits[:, np.unique(labels)] -= 1"),
        ),
        mistake(
            "Softmax is over the wrong axis: the probabilities of one image, a row, add up to 1.",
            (LOG_P, "log_p = z - np.log(np.exp(z).sum(axis=0, keepdims=True))"),
            ("logits.max(axis=1, keepdims=True)", "logits.max(axis=0, keepdims=True)"),
        ),
        mistake(  # the same with z in order
            "Softmax is over the wrong axis: the probabilities of one image, a row, add up to 1.",
            (LOG_P, "log_p = z - np.log(np.exp(z).sum(axis=0, keepdims=True))"),
        ),
        mistake(
            "The exponentials overflow: subtract the largest logit of each image first.",
            ("z = logits - logits.max(axis=1, keepdims=True)", "z = logits"),
        ),
        mistake("The exponentials overflow: subtract the largest logit of each image first.", (LOG_P, NAIVE)),
        mistake(
            "All exponentials of an image become 0: subtract the largest logit of each image, not of all.",
            ("logits.max(axis=1, keepdims=True)", "logits.max()"),
        ),
        mistake(
            "All exponentials of an image become 0: subtract the largest logit of each image, not of all.",
            ("logits.max(axis=1, keepdims=True)", "logits.max()"),
            (LOG_P, "log_p = np.log(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))"),
        ),
        mistake(
            "A probability was rounded to 0 before you took its logarithm: compute log p = z - log Σ e^z directly.",
            (LOG_P, "log_p = np.log(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))"),
        ),
        mistake(
            "A small number in the logarithm, as in log(p + 1e-9), makes the loss wrong: log p = z - log Σ e^z.",
            (LOSS, "loss = -np.log(np.exp(log_p) + 1e-9)[images, labels].mean()"),
        ),
        mistake("That is a logarithm to base 2 or 10; the loss takes the natural one.", (LOSS, LOSS + " / np.log(2)")),
        mistake("That is a logarithm to base 2 or 10; the loss takes the natural one.", (LOSS, LOSS + " / np.log(10)")),
        mistake(
            "The loss sums log p over all classes; only the right one counts.",
            (LOSS, "loss = -log_p.sum(axis=1).mean()"),
        ),
        mistake("The gradient is divided by n twice.", ("dlogits / n", "dlogits / n**2")),
        mistake(
            "The gradient is divided by the number of all logits; there are n images to average over.",
            ("dlogits / n", "dlogits / dlogits.size"),
        ),
    ),
)
