"""The experts of a mixture as a torch module: a custom operator, so that torch.compile and autograd know it."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np
import torch
from torch import nn

import mxfp4
from mxfp4._arrays import torch_bytes

# Operators take tensors and numbers; the layers behind them are found by number.
_layers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)


def _numbered(module: nn.Module) -> int:
    number = next(_numbers)
    _layers[number] = module
    return number


@torch.library.custom_op("mxfp4::experts", mutates_args=(), device_types="cpu")
def experts_op(x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, layer: int) -> torch.Tensor:
    return _layers[layer].kernel(x, ids, weights)  # type: ignore[no-any-return]


@experts_op.register_fake
def _(x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, layer: int) -> torch.Tensor:
    return torch.empty_like(x)


def _keep_experts(ctx: Any, inputs: Any, output: Any) -> None:
    x, ids, weights, ctx.layer = inputs
    ctx.save_for_backward(x, ids, weights)


def _experts_backward(ctx: Any, grad: torch.Tensor) -> Any:
    return *_layers[ctx.layer].gradients(*ctx.saved_tensors, grad), None


experts_op.register_autograd(_experts_backward, setup_context=_keep_experts)


def _frozen(array: np.ndarray[Any, Any] | torch.Tensor) -> nn.Parameter:
    tensor = array if isinstance(array, torch.Tensor) else torch_bytes(array)
    return nn.Parameter(tensor, requires_grad=False)


class QuantizedExperts(nn.Module):
    """The experts of a mixture in place of transformers' own: forward(hidden_states [T, H], ids [T, k], weights [T, k]).

    Its parameters have the names and bytes of gpt-oss's checkpoints: gate_up_proj_blocks [E, 2I, H/32, 16],
    gate_up_proj_scales [E, 2I, H/32], gate_up_proj_bias [E, 2I], and down_proj's. They are frozen; gradients go to the
    inputs and the routing weights. `ready()` makes the layer that computes, once they are there.
    """

    def __init__(
        self,
        num_experts: int,
        hidden_size: int,
        intermediate_size: int,
        *,
        alpha: float,
        beta: float,
        limit: float,
        interleaved: bool = True,
        bias: bool = True,
        activation: str = "exact",
        pack: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.unit = (alpha, beta, limit)
        self.interleaved = interleaved
        self.activation = activation
        self.pack = pack
        self._layer: mxfp4.Experts | None = None
        self._number = _numbered(self)
        for name, rows, columns in (
            ("gate_up_proj", 2 * intermediate_size, hidden_size),
            ("down_proj", hidden_size, intermediate_size),
        ):
            blocks = -(-columns // 32)
            for suffix, shape in (("blocks", (blocks, 16)), ("scales", (blocks,))):
                stack = torch.empty(num_experts, rows, *shape, dtype=torch.uint8)
                self.register_parameter(f"{name}_{suffix}", nn.Parameter(stack, requires_grad=False))
            values = torch.zeros(num_experts, rows, dtype=dtype) if bias else None
            self.register_parameter(f"{name}_bias", None if values is None else nn.Parameter(values, requires_grad=False))

    def tensor(self, name: str, expert: int | None = None) -> mxfp4.Tensor:
        """gate_up_proj or down_proj, [E, N, K], or one expert's."""
        columns = self.hidden_size if name == "gate_up_proj" else self.intermediate_size
        codes, scales = getattr(self, f"{name}_blocks").numpy(), getattr(self, f"{name}_scales").numpy()
        if expert is not None:
            codes, scales = codes[expert], scales[expert]
        return mxfp4.Tensor(codes, scales, shape=(*scales.shape[:-1], columns))

    def bias(self, name: str) -> Any:
        """Of gate_up_proj or down_proj, [E, N], or None."""
        return getattr(self, f"{name}_bias")

    def set_weight(self, name: str, t: mxfp4.Tensor) -> None:
        """Takes a quantised [E, N, K] as gate_up_proj or down_proj."""
        self.register_parameter(f"{name}_blocks", _frozen(t.codes.reshape(*t.scales.shape, 16)))
        self.register_parameter(f"{name}_scales", _frozen(t.scales))

    def ready(self) -> QuantizedExperts:
        """Makes the layer that computes from the parameters."""
        alpha, beta, limit = self.unit
        self._layer = mxfp4.Experts(
            self.tensor("gate_up_proj"),
            self.tensor("down_proj"),
            gate_up_bias=self.bias("gate_up_proj"),
            down_bias=self.bias("down_proj"),
            interleaved=self.interleaved,
            alpha=alpha,
            beta=beta,
            limit=limit,
            pack=self.pack,
        )
        return self

    def kernel(self, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if self._layer is None:
            self.ready()
        assert self._layer is not None
        self._layer.activation = self.activation
        # transformers' expert parallelism calls an expert of another rank num_experts.
        local = torch.where(ids == self.num_experts, -1, ids)
        with torch.no_grad():
            return self._layer(x, local, weights)

    def forward(self, hidden_states: torch.Tensor, router_indices: torch.Tensor, routing_weights: torch.Tensor) -> torch.Tensor:
        if hidden_states.device.type != "cpu":
            raise ValueError(f"experts: x lives on {hidden_states.device}: this computes on the CPU")
        rows = hidden_states.reshape(-1, self.hidden_size)
        y = experts_op(rows, router_indices, routing_weights, self._number)
        return y.reshape(hidden_states.shape)  # type: ignore[no-any-return]

    def gradients(
        self, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, grad: torch.Tensor
    ) -> tuple[torch.Tensor, None, torch.Tensor]:
        """Of x and weights: one expert after the other is expanded, and its part computed again in f32."""
        to_x, to_weights = torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(weights, dtype=torch.float32)
        for expert in torch.unique(ids).tolist():
            if not 0 <= expert < self.num_experts:
                continue
            tokens, slots = torch.where(ids == expert)
            with torch.enable_grad():
                part = x[tokens].float().detach().requires_grad_()
                share = weights[tokens, slots].float().detach().requires_grad_()
                y = self._expanded(part, expert) * share[:, None]
                of_part, of_share = torch.autograd.grad(y, (part, share), grad[tokens].float())
            to_x.index_add_(0, tokens, of_part)
            to_weights[tokens, slots] = of_share
        return to_x.to(x.dtype), None, to_weights.to(weights.dtype)

    def _expanded(self, x: torch.Tensor, expert: int) -> torch.Tensor:
        def projection(name: str, x: torch.Tensor) -> torch.Tensor:
            bias = self.bias(name)
            return nn.functional.linear(x, self.tensor(name, expert).torch(), None if bias is None else bias[expert].float())

        alpha, beta, limit = self.unit
        both = projection("gate_up_proj", x)
        gate, up = (both[..., ::2], both[..., 1::2]) if self.interleaved else both.chunk(2, dim=-1)
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return projection("down_proj", gate * torch.sigmoid(alpha * gate) * (up + beta))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = _numbered(self)

    def extra_repr(self) -> str:
        return (
            f"num_experts={self.num_experts}, hidden_size={self.hidden_size}, intermediate_size={self.intermediate_size}, "
            f"activation={self.activation!r}"
        )
