"""The experts of a mixture as a torch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import mxfp4
from mxfp4._arrays import torch_bytes
from mxfp4._layer import checked_activation
from mxfp4.transformers._operators import KernelModule, differentiate, module, operator, state_of

PROJECTIONS = ("gate_up_proj", "down_proj")


def _experts(x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, number: int) -> torch.Tensor:
    return module(number).kernel(x, ids, weights)  # type: ignore[no-any-return]


def _experts_gradient(
    x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, grad: torch.Tensor, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    return module(number).gradients(x, ids, weights, grad)  # type: ignore[no-any-return]


experts_op = operator("experts", _experts, lambda x, ids, weights, number: torch.empty_like(x))
gradient_op = operator(
    "experts_gradient",
    _experts_gradient,
    lambda x, ids, weights, grad, number: (torch.empty_like(x), torch.empty_like(weights)),
)


def _gradient(*arguments: Any) -> tuple[Any, ...]:
    to_x, to_weights = gradient_op(*arguments)
    return to_x, None, to_weights


differentiate(experts_op, _gradient, keep=True)


def _frozen(array: np.ndarray[Any, Any] | torch.Tensor) -> nn.Parameter:
    tensor = array if isinstance(array, torch.Tensor) else torch_bytes(array)
    return nn.Parameter(tensor, requires_grad=False)


class QuantizedExperts(KernelModule):
    """The experts of a mixture in place of transformers' own: forward(hidden_states [T, H], ids [T, k], weights [T, k]).

    Its parameters have the names and bytes of gpt-oss's checkpoints: gate_up_proj_blocks [E, 2I, H/32, 16],
    gate_up_proj_scales [E, 2I, H/32], gate_up_proj_bias [E, 2I], and down_proj's. They are frozen; gradients go to the
    inputs and the routing weights. `ready()` makes the layer that computes, once they are there; it is made anew once one
    of them was replaced or written to, as by load_state_dict().
    """

    _made_of: tuple[int, ...] = ()

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
        self.activation = checked_activation(activation)
        self.pack = pack
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
        self._made_of = self._state()
        return self

    def _state(self) -> tuple[int, ...]:
        parameters = self._parameters
        return state_of(*(parameters[f"{name}_{part}"] for name in PROJECTIONS for part in ("blocks", "scales", "bias")))

    def kernel(self, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if self._layer is None or self._made_of != self._state():
            self.ready()
        self._layer.activation = self.activation
        # transformers' expert parallelism calls an expert of another rank num_experts.
        local = torch.where(ids == self.num_experts, -1, ids)
        return self._layer(x.detach(), local, weights)  # type: ignore[no-any-return]

    def forward(self, hidden_states: torch.Tensor, router_indices: torch.Tensor, routing_weights: torch.Tensor) -> torch.Tensor:
        rows = hidden_states.reshape(-1, self.hidden_size)
        return self.compute(experts_op, rows, router_indices, routing_weights).reshape(hidden_states.shape)

    def gradients(
        self, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, grad: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of x and weights: one expert after the other is expanded, and its part computed again in f32."""
        to_x, to_weights = torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(weights, dtype=torch.float32)
        for expert in torch.unique(ids).tolist():
            if 0 <= expert < self.num_experts:
                tokens, slots = torch.where(ids == expert)
                part, share = x[tokens].float(), weights[tokens, slots].float()
                of_part, of_share = self._gradients_of(expert, part, share[:, None], grad[tokens].float())
                to_x.index_add_(0, tokens, of_part)
                to_weights[tokens, slots] = of_share
        return to_x.to(x.dtype), to_weights.to(weights.dtype)

    def _gradients_of(
        self, expert: int, x: torch.Tensor, share: torch.Tensor, grad: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of share * down(h), h = g sigmoid(alpha g) (u + beta), g and u cut at the limit: of x and of share.

        dh = share W^T grad, dg = dh (u + beta) sigmoid (1 + alpha g (1 - sigmoid)), du = dh g sigmoid.
        """
        alpha, beta, limit = self.unit
        weight, bias = self.tensor("gate_up_proj", expert).torch(), self.bias("gate_up_proj")
        both = nn.functional.linear(x, weight, None if bias is None else bias[expert].float())
        gate, up = (both[..., ::2], both[..., 1::2]) if self.interleaved else both.chunk(2, dim=-1)
        g, u = gate.clamp(max=limit), up.clamp(-limit, limit)
        sigmoid = torch.sigmoid(alpha * g)
        to_h, bias = grad @ self.tensor("down_proj", expert).torch(), self.bias("down_proj")
        of_share = (to_h * g * sigmoid * (u + beta)).sum(-1)
        if bias is not None:
            of_share += grad @ bias[expert].float()
        to_h *= share
        to_gate = to_h * (u + beta) * sigmoid * (1 + alpha * g * (1 - sigmoid)) * (gate <= limit)
        to_up = to_h * g * sigmoid * (up.abs() <= limit)
        of_both = torch.stack((to_gate, to_up), -1 if self.interleaved else -2).flatten(-2)
        return of_both @ weight, of_share

    def extra_repr(self) -> str:
        return (
            f"num_experts={self.num_experts}, hidden_size={self.hidden_size}, intermediate_size={self.intermediate_size}, "
            f"activation={self.activation!r}"
        )
