"""Batch normalisation: each channel is brought to mean 0 and variance 1, then to what training finds best."""

from typing import Any

import numpy as np

from tinyconv import checks, initializers
from tinyconv.layers.base import Array, Layer, Parameter, Shape


class BatchNormalization(Layer):
    """y = gamma · (x - mean) / √(variance + epsilon) + beta, for each channel (the last axis).

    In training, mean and variance are the batch's own, and moving averages follow them:
    moving ← momentum · moving + (1 - momentum) · batch's.  Otherwise the moving averages are used.  The variance is the
    biased one in both places, as in Keras.

    Arguments:
        momentum: how much of the moving averages stays at each step, in [0, 1].
        epsilon: keeps the division finite, at least 0.
        trainable: False for a frozen layer, which uses and keeps its moving averages, see `Layer.trainable`.
    """

    gamma: Parameter  # all four: (channels,)
    beta: Parameter
    moving_mean: Parameter
    moving_variance: Parameter

    def __init__(
        self, *, momentum: float = 0.99, epsilon: float = 1e-3, name: str | None = None,
        input_shape: Shape | None = None, trainable: bool = True,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, trainable=trainable)
        self.momentum = checks.number(momentum, f"{self.name}: momentum", minimum=0, maximum=1)
        self.epsilon = checks.number(epsilon, f"{self.name}: epsilon", minimum=0)

    @property
    def only_launches(self) -> bool:  # type: ignore[override]  # in training, which a frozen layer has not
        """See `Layer`."""
        return self.trainable

    def _build(self, input_shape: Shape) -> None:
        channels, zeros, ones = input_shape[-1:], initializers.get("zeros"), initializers.get("ones")
        self.gamma = self.add_weight("gamma", channels, ones)
        self.beta = self.add_weight("beta", channels, zeros)
        self.moving_mean = self.add_weight("moving_mean", channels, zeros, trainable=False)
        self.moving_variance = self.add_weight("moving_variance", channels, ones, trainable=False)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y with the shape of x (n, …, channels)."""
        training = training and self.trainable
        self._x, self._training = x, training
        gamma, beta, y = self.gamma.value, self.beta.value, self.buffer("y", x.shape)
        if not training:
            mean, variance = self.moving_mean.value, self.moving_variance.value
            return self.backend.batchnorm.forward_inference(x, gamma, beta, mean, variance, self.epsilon, out=y)
        out = (y, self.buffer("mean", gamma.shape), self.buffer("variance", gamma.shape))
        y, self._mean, self._variance = self.backend.batchnorm.forward_training(x, gamma, beta, self.epsilon, out=out)
        for moving, batch in ((self.moving_mean, self._mean), (self.moving_variance, self._variance)):
            self.backend.device.follow(moving.value, batch, self.momentum)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx, and overwrite the gradients of gamma and beta; in training also through the batch's statistics."""
        gamma, dgamma, dbeta = self.gamma.value, self.gamma.gradient, self.beta.gradient
        dx = self.buffer("dx", dy.shape)
        if self._training:
            self.backend.batchnorm.backward(
                dy, self._x, gamma, self._mean, self._variance, self.epsilon, out=(dx, dgamma, dbeta)
            )
            return dx if self.needs_input_gradient else None
        axes = tuple(range(dy.ndim - 1))
        scale = 1 / np.sqrt(self.moving_variance.value + self.epsilon)  # (channels,)
        if self.trainable:
            np.sum(dy * (self._x - self.moving_mean.value) * scale, axis=axes, out=dgamma)
            np.sum(dy, axis=axes, out=dbeta)
        return np.multiply(dy, gamma * scale, out=dx) if self.needs_input_gradient else None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {
            **super().get_config(), "trainable": self.trainable, "momentum": self.momentum, "epsilon": self.epsilon
        }
