"""Mixtures of experts whose weights stay MXFP4."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mxfp4 import _core
from mxfp4._arguments import device_name, number, text, thread_count
from mxfp4._arrays import floats_of, is_torch, readable
from mxfp4._checkpoint import opened
from mxfp4._layer import Layer, forward, layer_input
from mxfp4._tensor import expect_tensor

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from mxfp4._arrays import Array
    from mxfp4._checkpoint import Checkpoint
    from mxfp4._tensor import Tensor

A = TypeVar("A")


class Experts(Layer):
    """The experts of a layer: y[t] = sum over s of weights[t, s] * down(unit(gate_up(x[t]))) of expert ids[t, s].

    gate_up
        Tensor [E, 2 I, H], its rows alternately of gate and up (gpt-oss), or with interleaved=False all of gate before
        all of up; or a pair of Tensors [E, I, H], gate and up.
    down
        Tensor [E, H, I].
    gate_up_bias, down_bias
        [E, 2 I] in the order of gate_up's rows (or a pair [E, I]), and [E, H]; or None.
    alpha, beta, limit
        The unit: gate = min(gate, limit), up = clamp(up, -limit, limit), gate * sigmoid(alpha * gate) * (up + beta). As
        it stands gpt-oss's; alpha=1, beta=0, limit=inf is that of Mixtral and Qwen3-MoE (SiLU).
    activation, pack, threads, device
        As Linear's.

    All Tensors are quantised along their last axis, in blocks of 32. On the CPU results depend neither on threads,
    nor on the machine, nor on what stands beside a token. Raises ValueError for shapes that do not fit each other.
    """

    __slots__ = ()
    _layer: _core.Experts

    def __init__(
        self,
        gate_up: Tensor | tuple[Tensor, Tensor],
        down: Tensor,
        *,
        gate_up_bias: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
        down_bias: ArrayLike | None = None,
        interleaved: bool = True,
        alpha: float = 1.702,
        beta: float = 1.0,
        limit: float = 7.0,
        activation: str = "exact",
        pack: bool = True,
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.activation = activation
        if isinstance(gate_up, tuple):
            biases: Any = (None, None) if gate_up_bias is None else gate_up_bias
            if len(gate_up) != 2 or len(biases) != 2:
                raise ValueError(f"Experts: gate and up are {len(gate_up)} Tensors and {len(biases)} biases, not a pair each")
            gates = [_stack(t, bias) for t, bias in zip(gate_up, biases, strict=True)]
        else:
            gates = [_stack(gate_up, gate_up_bias)]
        stacks = gates, _stack(down, down_bias)
        unit = float(alpha), float(beta), float(limit)
        self._layer = _core.Experts(
            *stacks, bool(interleaved), *unit, bool(pack), thread_count(threads), device_name(device)
        )

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint | str | PathLike[str],
        layer: int,
        *,
        activation: str = "exact",
        pack: bool = True,
        threads: int | None = None,
        device: str | None = None,
    ) -> Experts:
        """The experts of a decoder layer, stacked or listed one by one: gpt-oss, Mixtral, Qwen3-MoE, DeepSeek.

        While they are packed, pages of the files are given back. Without `pack` they are used in the mapped files.
        Raises ValueError if the layer has none, or if they are not MXFP4.
        """
        experts = cls.__new__(cls)
        experts.activation = activation
        how = bool(pack), thread_count(threads), device_name(device)
        experts._layer = _core.Experts.load(opened(checkpoint), number(layer, "layer"), *how)
        return experts

    def __call__(self, x: A, ids: ArrayLike, weights: ArrayLike) -> A:
        """x [..., H] of T tokens, ids and weights [T, top_k]; returns [..., H] of x's kind.

        x is float32, float16 or bfloat16, numpy's or torch's; an id of -1 adds nothing. ValueError for any other that is
        no expert's, naming token and slot. There is no gradient.
        """
        routes = _ids(ids, "Experts: ids"), floats_of(weights)
        return forward(self, x, "Experts", None, *routes)  # type: ignore[no-any-return]

    @property
    def count(self) -> int:
        """E."""
        return self._layer.count

    @property
    def hidden(self) -> int:
        """H, of what goes in and comes out."""
        return self._layer.hidden

    @property
    def intermediate(self) -> int:
        """I, between the projections."""
        return self._layer.intermediate

    def __repr__(self) -> str:
        return (
            f"<mxfp4.Experts count={self.count}, hidden={self.hidden}, intermediate={self.intermediate}, "
            f"activation={self.activation!r}, {math.ceil(self.nbytes / 1024)} KiB>"
        )


class Router:
    """Which experts a token goes to, and with which weights: logits = x W^T + bias, and the top_k of their scores.

    weight, bias
        [E, H] in float32, float16 or bfloat16, and [E] or None; both are copied.
    top_k
        Experts of a token. Ties go to the lower index.
    score
        "softmax", "sigmoid", or "sqrt_softplus".
    renormalize, factor
        Divide weights by the sum of those chosen; multiply them.
    correction, groups, top_groups
        DeepSeek's: [E] added to scores for the choice alone; only the best groups of experts are chosen from.

    Raises ValueError for what E experts do not allow.
    """

    __slots__ = ("__weakref__", "_router", "_threads")
    _router: _core.Router
    _threads: int

    def __init__(
        self,
        weight: Array,
        bias: ArrayLike | None = None,
        *,
        top_k: int,
        score: str = "softmax",
        renormalize: bool = True,
        factor: float = 1.0,
        correction: ArrayLike | None = None,
        groups: int = 1,
        top_groups: int = 1,
        threads: int | None = None,
    ) -> None:
        array, bf16 = readable(weight, "Router: weight")
        few = [None if numbers is None else floats_of(numbers) for numbers in (bias, correction)]
        how = number(top_k, "top_k"), text(score, "score"), bool(renormalize), float(factor)
        limits = number(groups, "groups"), number(top_groups, "top_groups")
        self._router = _core.Router(array, bf16, few[0], *how, few[1], *limits)
        self._threads = thread_count(threads)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint | str | PathLike[str], layer: int, *, threads: int | None = None
    ) -> Router:
        """The router of a decoder layer."""
        router = cls.__new__(cls)
        router._router = _core.Router.load(opened(checkpoint), number(layer, "layer"))
        router._threads = thread_count(threads)
        return router

    def __call__(self, x: Array) -> tuple[Any, Any]:
        """x [..., H]; returns ids int32 [..., top_k], and weights float32 [..., top_k]: numpy's, or torch's if x is."""
        given, shape = layer_input(x, "Router")
        array, bf16 = readable(given, "Router: x")
        shape = (*shape[:-1], self.top_k)
        ids, weights = np.empty(shape, np.int32), np.empty(shape, np.float32)
        self._router.forward(array, bf16, ids, weights, self._threads)
        if not is_torch(given):
            return ids, weights
        import torch

        return torch.from_numpy(ids), torch.from_numpy(weights)

    @property
    def experts(self) -> int:
        """E."""
        return self._router.experts

    @property
    def hidden(self) -> int:
        """H."""
        return self._router.columns

    @property
    def top_k(self) -> int:
        """Experts of a token."""
        return self._router.top_k

    def __repr__(self) -> str:
        return f"<mxfp4.Router experts={self.experts}, hidden={self.hidden}, top_k={self.top_k}>"


class Mlp(Layer):
    """A whole mixture-of-experts layer, router and experts: from_checkpoint() makes one."""

    __slots__ = ()
    _layer: _core.Mlp

    def __init__(self) -> None:
        raise TypeError("Mlp: from_checkpoint() makes one; of tensors, Router and Experts are the parts")

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint | str | PathLike[str],
        layer: int,
        *,
        activation: str = "exact",
        pack: bool = True,
        threads: int | None = None,
        device: str | None = None,
    ) -> Mlp:
        """The MLP of a decoder layer; arguments and errors are those of Experts.from_checkpoint()."""
        mlp = cls.__new__(cls)
        mlp.activation = activation
        how = bool(pack), thread_count(threads), device_name(device)
        mlp._layer = _core.Mlp.load(opened(checkpoint), number(layer, "layer"), *how)
        return mlp

    def __call__(self, x: A, token_ids: ArrayLike | None = None) -> A:
        """x [..., H] in float32, float16 or bfloat16, numpy's or torch's; returns the same shape and kind.

        token_ids [...] are the tokens' ids in the vocabulary: a layer that finds its experts in a table by them, as the
        first ones of DeepSeek-V4 do, needs them, and others do not look at them.
        """
        ids = None if token_ids is None else _ids(token_ids, "Mlp: token_ids")
        return forward(self, x, "Mlp", None, ids)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        core = self._layer
        return (
            f"<mxfp4.Mlp experts={core.experts}, top_k={core.top_k}, hidden={core.hidden}, "
            f"intermediate={core.intermediate}, activation={self.activation!r}, {math.ceil(self.nbytes / 1024)} KiB>"
        )


def _ids(ids: Any, what: str) -> NDArray[np.int32]:
    """Numbers as int32. ValueError for what that does not hold."""
    given = np.asarray(ids.detach() if is_torch(ids) else ids)
    if given.dtype == np.int32:
        return np.ascontiguousarray(given)
    chosen = given.astype(np.int32)
    if not np.array_equal(chosen, given):
        raise ValueError(f"{what} are {given.dtype} with values that int32 does not hold: {given[chosen != given][0]}")
    return chosen


def _stack(t: Tensor, bias: Any) -> _core.Stack:
    expect_tensor(t, "Experts: a weight")
    if len(t.shape) != 3 or t.axis != 2 or t.block_size != 32:
        raise ValueError(f"Experts: a weight must be [E, N, K], quantised along K in blocks of 32, but it is {t!r}")
    return t.codes, t.scales, t.shape, None if bias is None else floats_of(bias)
