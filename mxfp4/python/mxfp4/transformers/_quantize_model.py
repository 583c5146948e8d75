"""Models in memory, quantised in place."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mxfp4 import _core
from mxfp4._layer import checked_activation
from mxfp4._tensor import quantize
from mxfp4.transformers._experts import QuantizedExperts
from mxfp4.transformers._linear import QuantizedLinear

if TYPE_CHECKING:
    from collections.abc import Iterable


def quantize_model(
    model: nn.Module,
    *,
    skip: Iterable[str] = (),
    preset: str = "mxfp4",
    scale: str | None = None,
    activation: str = "exact",
    pack: bool = False,
    threads: int | None = None,
) -> list[str]:
    """Replace the Linear layers and the experts of a model in place, by QuantizedLinear and QuantizedExperts.

    Experts are those of Mixtral, Qwen3-MoE, DeepSeek-V3, gpt-oss, and whatever else stacks them as transformers 5 does.

    skip
        Patterns of modules to leave alone: exact names, dotted prefixes, globs, or "re:EXPRESSION". What
        quantize_checkpoint() keeps is left alone in any case: embeddings, routers, output heads, and layers whose inputs
        are no multiple of 32.
    preset, scale
        As mxfp4.quantize()'s.
    activation, pack, threads
        As QuantizedLinear's.

    Returns the names of what was replaced; warns if that is nothing. Raises ValueError for weights that are not on the CPU,
    not finite, or of another dtype than quantize() takes, with the layer's name, and for a pattern that no layer's name
    matches.
    """
    checked_activation(activation)
    patterns = [skip] if isinstance(skip, str) else list(skip)
    modules = dict(model.named_modules(remove_duplicate=False))
    found = {
        name: module for name, module in modules.items() if name and (type(module) is nn.Linear or _stacks_experts(module))
    }
    for pattern in patterns:
        if not any(_core.matches(pattern, name) for name in found):
            raise ValueError(f"skip: '{pattern}' matches no Linear layer and no experts of the model")
    how: dict[str, Any] = {"preset": preset, "scale": scale, "threads": threads}
    replaced = []
    made: dict[nn.Module, nn.Module] = {}  # a module that stands in several places stays one
    for name, module in found.items():
        if any(_core.matches(pattern, name) for pattern in patterns):
            continue
        if isinstance(module, nn.Linear) and _core.keep_reason(name, *module.weight.shape):
            continue
        if module not in made:
            try:
                made[module] = _quantized(module, how, activation, pack).train(module.training)
            except ValueError as error:
                raise ValueError(f"'{name}': {error}") from None
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, made[module])
        replaced.append(name)
    if not replaced:
        warnings.warn(f"quantize_model: none of {len(found)} Linear layers and experts was quantised", stacklevel=2)
    return replaced


def _quantized(module: nn.Module, how: dict[str, Any], activation: str, pack: bool) -> nn.Module:
    if isinstance(module, nn.Linear):
        t = quantize(module.weight, **how)
        return QuantizedLinear(t, module.bias, activation=activation, pack=pack, threads=how["threads"])
    return _quantized_experts(module, how, activation, pack)


def _stacks_experts(module: nn.Module) -> bool:
    stacked = [getattr(module, name, None) for name in ("gate_up_proj", "down_proj")]
    known = all(isinstance(stack, nn.Parameter) and stack.dim() == 3 for stack in stacked)
    return known and hasattr(module, "is_transposed") and hasattr(module, "is_concatenated")


def _quantized_experts(module: Any, how: dict[str, Any], activation: str, pack: bool) -> QuantizedExperts:
    gate_up, down = module.gate_up_proj, module.down_proj
    if module.is_transposed:
        gate_up, down = gate_up.transpose(-1, -2), down.transpose(-1, -2)
    count, rows, hidden = gate_up.shape
    alpha, beta, limit = _unit_of(module)
    new = QuantizedExperts(
        count,
        hidden,
        rows // 2,
        alpha=alpha,
        beta=beta,
        limit=limit,
        interleaved=not module.is_concatenated,
        bias=bool(getattr(module, "has_bias", False)),
        activation=activation,
        pack=pack,
    )
    new.set_weight("gate_up_proj", quantize(gate_up, **how))
    new.set_weight("down_proj", quantize(down, **how))
    for name in ("gate_up_proj_bias", "down_proj_bias"):
        if getattr(new, name) is not None:
            setattr(new, name, nn.Parameter(getattr(module, name).detach(), requires_grad=False))
    return new.ready()


def _unit_of(module: Any) -> tuple[float, float, float]:
    """alpha, beta and limit of the unit between a module's projections."""
    limit = float(getattr(module, "limit", None) or "inf")
    if hasattr(module, "alpha"):
        return float(module.alpha), 1.0, limit
    unit = getattr(module, "act_fn", None)
    silu = isinstance(unit, nn.SiLU) or type(unit).__name__ in ("SiLUActivation", "SiLU") or unit is torch.nn.functional.silu
    if not silu:
        raise ValueError(f"{type(module).__name__}: experts with {unit!r} between their projections are not supported")
    return 1.0, 0.0, limit
