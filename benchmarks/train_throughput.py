"""`tinyconv bench train-throughput`: images per second of whole training steps, on networks of the zoo.

A step is what a user's loop does: gather a shuffled batch from images in memory, forward, loss, backward, Adam, and
read the loss as a number.
"""

from collections.abc import Sequence

from tinyconv import zoo

from . import machine, speed
from .contestants import Field
from .peers import hold, values_json
from .race import Rounds, Say
from .report import Report

NETWORKS = ("course_cnn", "simple_cnn_dropout", "mnist_convnet", "fashion_items", "cifar10_cnn")
SUMMARY = (
    "Images per second of whole training steps (gather a batch, forward, loss, backward, Adam, read the loss), with "
    "the same layers, initial weights, batch size and {threads} for all, in turns of about {seconds:g} s."
)


def run(field: Field, rounds: Rounds, *, networks: Sequence[str] = NETWORKS, say: Say) -> Report:
    """Measure all contestants of `field` on each of `networks`; raises ArgumentError for an unknown network."""
    batches = {network: zoo.entry(network).batch_size for network in networks}
    described = machine.describe()
    contest = hold(
        field, rounds, networks, "Training", {}, lambda worker, _: worker.call("turn", seconds=rounds.seconds), say
    )
    return speed.report(
        contest, rounds, name="train_throughput", title="Training throughput",
        summary=SUMMARY.format(threads=rounds.threads_text, seconds=rounds.seconds),
        expert="PyTorch's fused Adam, and tcmalloc preloaded in place of the system's malloc", what="training",
        subtitles={network: f"batch {batch}" for network, batch in batches.items()}, machine=described,
        settings={"batch_sizes": batches}, more={"last_loss": values_json(contest.values("loss"))},
    )
