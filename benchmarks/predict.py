"""`tinyconv bench predict`: how fast 10,000 images of MNIST's size get their probabilities."""

from collections.abc import Sequence

from . import machine, speed
from .contestants import Field
from .peers import hold, values_json
from .race import Rounds, Say
from .report import Report

NETWORKS = ("course_cnn", "simple_cnn_dropout", "mnist_convnet")
IMAGES = 10_000
CHUNKS = (100, 250, 1000)
SUMMARY = (
    "Images per second when {images:,} images that are in memory already are given to `predict` (PyTorch: the network "
    "in `inference_mode`, then softmax), with the same weights and {threads} for all. Each contestant works in chunks "
    "of the size that is fastest for it, of {chunks} images. A round is one pass over the images."
)


def run(
    field: Field, rounds: Rounds, *, networks: Sequence[str] = NETWORKS, images: int = IMAGES,
    chunks: Sequence[int] = CHUNKS, say: Say,
) -> Report:
    """Let all contestants predict `images` images; raises ArgumentError for an unknown network."""
    described = machine.describe()
    job = {"samples": images, "chunks": list(chunks)}
    contest = hold(field, rounds, networks, "Prediction", job, lambda worker, _: worker.call("turn"), say)
    return speed.report(
        contest, rounds, name="predict", title="Prediction",
        summary=SUMMARY.format(images=images, threads=rounds.threads_text, chunks=", ".join(map(str, chunks))),
        expert="tcmalloc preloaded in place of the system's malloc", what="predicting",
        subtitles=dict.fromkeys(networks, f"{images:,} images"), machine=described,
        settings={"images": images}, more={"chunk": values_json(contest.values("chunk"))},
    )
