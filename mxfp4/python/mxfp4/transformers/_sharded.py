"""Mixtures of experts over the ranks of torch.distributed."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import nn

from mxfp4.transformers._experts import QuantizedExperts

BLOCK = 32


class ShardedExperts(nn.Module):
    """A rank's part of the experts in place of all, called on every rank with the same tokens, as transformers routes them.

    Every rank adds up what all ranks have, in float32 and in their order, so that all go on with the same bits.
    """

    local: QuantizedExperts
    numbers: torch.Tensor
    """[E + 1]: what an expert is called here, and whoever is not here."""

    def __init__(self, local: QuantizedExperts, numbers: torch.Tensor, group: Any = None) -> None:
        super().__init__()
        self.local = local
        self.register_buffer("numbers", numbers, persistent=False)
        self.group = group
        self.register_state_dict_pre_hook(_refuse_to_save)  # type: ignore[no-untyped-call]

    def forward(self, hidden_states: torch.Tensor, router_indices: torch.Tensor, routing_weights: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and (hidden_states.requires_grad or routing_weights.requires_grad):
            raise RuntimeError("sharded experts have no gradient; use torch.no_grad()")
        part = self.local(hidden_states.float(), self.numbers[router_indices], routing_weights)
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size(self.group))]
        dist.all_gather(parts, part, group=self.group)
        total = parts[0]
        for other in parts[1:]:
            total += other
        return total.to(hidden_states.dtype)


def _refuse_to_save(module: nn.Module, *ignored: Any) -> NoReturn:
    raise RuntimeError("experts: a rank has only a part of them; save the model before its experts are sharded")


def shard_experts(model: Any, by: str = "experts", *, group: Any = None, pack: bool = True) -> Any:
    """Leaves each rank of a torch.distributed group its part of a model's QuantizedExperts, in place; returns the model.

        torchrun --nproc-per-node 4 ...
        torch.distributed.init_process_group("gloo")
        model = mxfp4.transformers.from_pretrained(path, pack=False)  # maps the files
        mxfp4.transformers.shard_experts(model)                       # reads and packs a part

    by
        "experts": a range of them for each rank. "channels": a range of the intermediate channels of all, in blocks of 32.
    group
        The ranks, by default all. Each must load the same model, and call it with the same tokens.
    pack
        As from_pretrained()'s, for the part.

    Everything else of the model is computed by every rank. Raises ValueError, with the numbers, for what cannot be cut.
    """
    if by not in ("experts", "channels"):
        raise ValueError(f"by: '{by}' is neither 'experts' nor 'channels'")
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    cut = _by_experts if by == "experts" else _by_channels
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, QuantizedExperts)]
    if any(isinstance(module, ShardedExperts) for module in model.modules()):
        raise ValueError("the model's experts are sharded already")
    if not found:
        raise ValueError("the model has no QuantizedExperts to share")
    for name, module in found:
        local, numbers = cut(module, rank, ranks, pack)
        model.set_submodule(name, ShardedExperts(local.ready(), numbers, group))
    return model


def _range(count: int, rank: int, ranks: int, what: str) -> tuple[int, int]:
    """As even as can be: the first ones have one more."""
    if count < ranks:
        raise ValueError(f"{what} too few for {ranks} ranks")
    begin = rank * (count // ranks) + min(rank, count % ranks)
    return begin, begin + count // ranks + (rank < count % ranks)


def _by_experts(module: QuantizedExperts, rank: int, ranks: int, pack: bool) -> tuple[QuantizedExperts, torch.Tensor]:
    begin, end = _range(module.num_experts, rank, ranks, f"expert parallel: {module.num_experts} experts are")
    numbers = torch.full((module.num_experts + 1,), end - begin)
    numbers[begin:end] = torch.arange(end - begin)
    parts = {name: None if value is None else value.detach()[begin:end] for name, value in _weights(module).items()}
    return _part(module, parts, end - begin, module.intermediate_size, pack), numbers


def _by_channels(module: QuantizedExperts, rank: int, ranks: int, pack: bool) -> tuple[QuantizedExperts, torch.Tensor]:
    channels = module.intermediate_size
    blocks = -(-channels // BLOCK)
    first, last = _range(blocks, rank, ranks, f"tensor parallel: {channels} channels are {blocks} times {BLOCK},")
    begin, end = first * BLOCK, min(last * BLOCK, channels)
    parts: dict[str, Any] = {}
    for name, value in _weights(module).items():
        if value is None:
            parts[name] = None
        elif name.startswith("gate_up"):
            each = value.detach().unflatten(1, (channels, 2) if module.interleaved else (2, channels))
            each = each[:, begin:end] if module.interleaved else each[:, :, begin:end]
            parts[name] = each.flatten(1, 2)
        elif name.endswith("bias"):
            parts[name] = value.detach() if rank == 0 else None  # it is added once
        else:
            parts[name] = value.detach()[:, :, first:last].contiguous()
    return _part(module, parts, module.num_experts, end - begin, pack), torch.arange(module.num_experts + 1)


def _weights(module: QuantizedExperts) -> dict[str, Any]:
    names = (f"{name}_proj_{suffix}" for name in ("gate_up", "down") for suffix in ("blocks", "scales", "bias"))
    return {name: getattr(module, name) for name in names}


def _part(module: QuantizedExperts, parts: dict[str, Any], experts: int, channels: int, pack: bool) -> QuantizedExperts:
    alpha, beta, limit = module.unit
    with torch.device("meta"):
        part = QuantizedExperts(
            experts,
            module.hidden_size,
            channels,
            alpha=alpha,
            beta=beta,
            limit=limit,
            interleaved=module.interleaved,
            activation=module.activation,
            pack=pack,
        )
    for name, value in parts.items():
        part.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=False))
    return part
