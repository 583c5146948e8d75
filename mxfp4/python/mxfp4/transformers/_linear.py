"""torch.nn.Linear on 4-bit weights."""

from __future__ import annotations

from typing import Any

import torch

from mxfp4._linear import Linear
from mxfp4._tensor import Tensor, dequantize

ROWS = 1024  # of a weight that are expanded at a time for a gradient


class QuantizedLinear(torch.nn.Module):
    """torch.nn.Linear with its weight in MXFP4: y = x W^T + bias.

    Buffers `codes` [N, ceil(K/32) * 16] and `scales` [N, ceil(K/32)], both uint8, stand in place of `weight`, also in a
    state dict. The weight and the bias are frozen; a gradient goes through to x. Under torch.compile the layer is called
    as it is.

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
        self.activation, self.pack, self.threads = activation, pack, threads
        self.register_buffer("codes", torch.from_numpy(t.codes))
        self.register_buffer("scales", torch.from_numpy(t.scales))
        frozen = None if bias is None else torch.nn.Parameter(bias.detach(), requires_grad=False)
        self.register_parameter("bias", frozen)
        self._layer: tuple[Any, Linear] | None = None

    def tensor(self) -> Tensor:
        """The weight, over the buffers' memory."""
        return Tensor(self.codes, self.scales, shape=(self.out_features, self.in_features))

    def layer(self) -> Linear:
        """What computes; made anew once a buffer or the bias was replaced or written to."""
        parts = [part for part in (self.codes, self.scales, self.bias) if part is not None]
        state = (self.activation, self.pack, *((part.data_ptr(), part._version) for part in parts))
        if self._layer is None or self._layer[0] != state:
            options = {"activation": self.activation, "pack": self.pack, "threads": self.threads}
            self._layer = (state, Linear(self.tensor(), self.bias, **options))  # type: ignore[arg-type]
        return self._layer[1]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., K] in float32, float16 or bfloat16; returns [..., N] of the same dtype."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _Product.apply(x, self)  # type: ignore[no-any-return,no-untyped-call]
        return self.layer()(x)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}, mxfp4"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}


class _Product(torch.autograd.Function):
    """The product, and its gradient: the exact one of x, in x's dtype, whatever the activation was rounded to."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, module: QuantizedLinear) -> torch.Tensor:
        ctx.weight = module.tensor()
        return module.layer()(x.detach())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        codes, scales = torch.from_numpy(ctx.weight.codes), torch.from_numpy(ctx.weight.scales)
        columns = ctx.weight.shape[1]
        result = gradient.new_zeros((*gradient.shape[:-1], columns))
        for begin in range(0, len(codes), ROWS):
            rows = slice(begin, begin + ROWS)
            weight = dequantize(codes[rows], scales[rows], dtype=gradient.dtype)[:, :columns]
            result += gradient[..., rows] @ weight
        return result, None
