"""torch.nn.Linear on 4-bit weights."""

from __future__ import annotations

from typing import Any

import torch

from mxfp4._layer import checked_activation
from mxfp4._linear import Linear
from mxfp4._tensor import Tensor, dequantize
from mxfp4.transformers._operators import KernelModule, differentiate, module, operator, state_of

ROWS = 1024  # of a weight that are expanded at a time for a gradient


def _linear(x: torch.Tensor, number: int) -> torch.Tensor:
    return module(number).kernel(x)  # type: ignore[no-any-return]


def _linear_gradient(grad: torch.Tensor, number: int) -> torch.Tensor:
    return module(number).gradient(grad)  # type: ignore[no-any-return]


linear_op = operator("linear", _linear, lambda x, number: x.new_empty((*x.shape[:-1], module(number).out_features)))
gradient_op = operator(
    "linear_gradient", _linear_gradient, lambda grad, number: grad.new_empty((*grad.shape[:-1], module(number).in_features))
)
differentiate(linear_op, lambda grad, number: (gradient_op(grad, number),), keep=False)


class QuantizedLinear(KernelModule):
    """torch.nn.Linear with its weight in MXFP4: y = x W^T + bias.

    Buffers `codes` [N, ceil(K/32) * 16] and `scales` [N, ceil(K/32)], both uint8, stand in place of `weight`, also in a
    state dict. The weight and the bias are frozen; a gradient goes through to x. torch.compile takes the layer for one
    operator.

    t, bias
        A Tensor [N, K], and N values or None.
    activation, pack, threads
        As mxfp4.Linear's. With `pack` the weight is held a second time, in the order that is fastest for many tokens.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    bias: torch.nn.Parameter | None

    def __init__(
        self,
        t: Tensor,
        bias: torch.Tensor | None = None,
        *,
        activation: str = "exact",
        pack: bool = False,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = t.shape
        self.activation, self.pack, self.threads = checked_activation(activation), pack, threads
        self.register_buffer("codes", torch.from_numpy(t.codes))
        self.register_buffer("scales", torch.from_numpy(t.scales))
        frozen = None if bias is None else torch.nn.Parameter(bias.detach(), requires_grad=False)
        self.register_parameter("bias", frozen)

    def tensor(self) -> Tensor:
        """The weight, over the buffers' memory."""
        return Tensor(self.codes, self.scales, shape=(self.out_features, self.in_features))

    @property
    def weight(self) -> torch.Tensor:
        """The values, expanded anew each time: for code that looks at the weight of a Linear layer."""
        return self.tensor().torch("float32" if self.bias is None else self.bias.dtype)

    def layer(self) -> Linear:
        """What computes; made anew once a buffer or the bias was replaced or written to."""
        state = (self.activation, self.pack, *state_of(self.codes, self.scales, self.bias))
        if self._layer is None or self._layer[0] != state:
            options = {"activation": self.activation, "pack": self.pack, "threads": self.threads}
            self._layer = (state, Linear(self.tensor(), self.bias, **options))  # type: ignore[arg-type]
        return self._layer[1]  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., K] in float32, float16 or bfloat16; returns [..., N] of the same dtype."""
        return self.compute(linear_op, x)

    def kernel(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer()(x.detach())

    def gradient(self, grad: torch.Tensor) -> torch.Tensor:
        """The exact one of x, in x's dtype, whatever the activation was rounded to."""
        result = grad.new_zeros((*grad.shape[:-1], self.in_features))
        for begin in range(0, self.out_features, ROWS):
            rows = slice(begin, begin + ROWS)
            weight = dequantize(self.codes[rows], self.scales[rows], dtype=grad.dtype)[:, : self.in_features]
            result += grad[..., rows] @ weight
        return result

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}, mxfp4"
