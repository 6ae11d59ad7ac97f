"""PyTorch in its own process: the training loop of its tutorials, on `twin`."""

import os
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tinyconv import optimizers
from tinyconv.models import Sequential

from .job import Array, Job, Passes, Steps
from .record import Trial
from .twin import twin


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return {"torch": torch.__version__}


class Images:
    """Images in memory as PyTorch wants them, NCHW or, for channels_last, NHWC; a batch of them is NCHW to look at."""

    def __init__(self, images: Array, channels_last: bool, device: str = "cpu") -> None:
        self._channels_last = channels_last
        stored = images if channels_last else images.transpose(0, 3, 1, 2)
        self._images = torch.from_numpy(np.ascontiguousarray(stored)).to(device)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: Any) -> Any:
        batch = self._images[rows]
        return batch.permute(0, 3, 1, 2) if self._channels_last else batch


class Training(Steps):
    """See `engines`.

    Arguments:
        channels_last: keep images and weights as NHWC in memory.
        compiled: the network and its loss through torch.compile.
        fused_adam: one kernel for the whole update, which one has to ask for.
        device: "cuda" for a GPU, in full float32; compiled code is there captured as CUDA graphs.
    """

    def __init__(
        self, *, channels_last: bool = False, compiled: bool = False, fused_adam: bool = False, device: str = "cpu",
        warm: bool = True, **job: Any,
    ) -> None:
        given = Job(**job)
        self.batch, self._reads_each_loss = given.batch, device == "cpu"
        if device == "cuda":
            torch.backends.cudnn.allow_tf32 = False
        model = given.model()
        images, labels = given.data(model.input_shape[1:])
        self.x, self.y = Images(images, channels_last, device), torch.from_numpy(labels).to(device)
        self.network = _network(model, channels_last).to(device)
        self.loss = _loss(self.network, binary=model.output_shape[-1] == 1)
        if compiled:
            self.loss = torch.compile(self.loss, mode="default" if device == "cpu" else "reduce-overhead")
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.001, eps=1e-7, fused=fused_adam or None)
        self._rows = _endless_rows(len(self.x), self.batch, device)
        if warm:
            self.warm_up()

    def steps(self, count: int) -> tuple[int, float, float]:
        begin = perf_counter()
        for _ in range(count):
            value = train(self.loss, self.optimizer, self.x, self.y, next(self._rows))
            if self._reads_each_loss:
                value.item()
        last = float(value.item())  # waits for a GPU
        return count, perf_counter() - begin, last


class Prediction(Passes):
    """See `engines`; options as for `Training`."""

    def __init__(
        self, *, chunks: list[int], channels_last: bool = False, compiled: bool = False, **job: Any
    ) -> None:
        given = Job(**job)
        model = given.model()
        images, _ = given.data(model.input_shape[1:])
        self.x = Images(images, channels_last)
        self.network = _network(model, channels_last).eval()
        self._probabilities = torch.sigmoid if model.output_shape[-1] == 1 else lambda z: torch.softmax(z, 1)
        if compiled:
            self.network = torch.compile(self.network, dynamic=False)  # code for each size of chunks
        self.choose_chunk(chunks)

    def predict(self, chunk: int) -> Array:
        with torch.inference_mode():
            parts = [
                self._probabilities(self.network(self.x[start : start + chunk]))
                for start in range(0, len(self.x), chunk)
            ]
            return torch.cat(parts).numpy()


class Record(Trial):
    """See `engines`; options as for `Training`."""

    def __init__(
        self, *, channels_last: bool = False, compiled: bool = False, fused_adam: bool = False, **trial: Any
    ) -> None:
        self._channels_last, self._compiled, self._fused_adam = channels_last, compiled, fused_adam
        super().__init__(**trial)

    def get_ready(self) -> None:
        self._images, self._test = Images(self.x, self._channels_last), Images(self.x_test, self._channels_last)
        self._labels = torch.from_numpy(self.y)
        self._train(0, 2 * self.recipe.batch_size)

    def train(self, seed: int) -> tuple[float, float]:
        return self._train(seed, len(self.y))

    def _train(self, seed: int, samples: int) -> tuple[float, float]:
        """Train on the first `samples` images, test on all."""
        network = _network(self.recipe.model(self.image_shape, seed=seed), self._channels_last)
        loss = _loss(network, binary=False, label_smoothing=self.recipe.label_smoothing)
        if self._compiled:
            loss = torch.compile(loss)
        adam = optimizers.get(dict(self.recipe.optimizer)).get_config()
        optimizer = torch.optim.Adam(
            network.parameters(), betas=(adam["beta_1"], adam["beta_2"]), eps=adam["epsilon"],
            fused=self._fused_adam or None,
        )
        rates = iter(self.recipe.rates(samples))
        begin = perf_counter()
        for _ in range(self.recipe.epochs):
            for rows in torch.randperm(samples).split(self.recipe.batch_size):
                optimizer.param_groups[0]["lr"] = next(rates)
                train(loss, optimizer, self._images, self._labels, rows).item()
        seconds = perf_counter() - begin
        network.eval()
        with torch.inference_mode():
            starts = range(0, len(self.y_test), 1000)
            guesses = torch.cat([network(self._test[start : start + 1000]).argmax(1) for start in starts])
        return seconds, float(np.mean(guesses.numpy() == self.y_test))


def train(loss: Callable[[Any, Any], Any], optimizer: Any, x: Images, y: Any, rows: Any) -> Any:
    """One step on a batch; returns its loss, which a GPU may not know yet."""
    optimizer.zero_grad()
    value = loss(x[rows], y[rows])
    value.backward()
    optimizer.step()
    return value.detach()


def _network(model: Sequential, channels_last: bool) -> Any:
    """The twin of `model`, in training mode; also sets the threads and the seed of dropout."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(model.seed)
    network = twin(model)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def _loss(network: Any, *, binary: bool, label_smoothing: float = 0.0) -> Callable[[Any, Any], Any]:
    """(images, class numbers) → the mean loss of the batch."""
    if binary:
        return lambda x, y: functional.binary_cross_entropy_with_logits(network(x)[:, 0], y.to(torch.float32))
    return lambda x, y: functional.cross_entropy(network(x), y, label_smoothing=label_smoothing)


def _endless_rows(samples: int, batch: int, device: str) -> Iterator[Any]:
    """Rows of one batch after the other, all full, in a new order each epoch."""
    while True:
        order = torch.randperm(samples, device=device)
        for start in range(0, samples - batch + 1, batch):
            yield order[start : start + batch]
