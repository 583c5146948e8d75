"""What a layer of this package is to torch: an operator, so that torch.compile and autograd know it."""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

# Operators take tensors and numbers; the modules behind them are found by number.
_modules: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)


class KernelModule(nn.Module):
    """A module whose `kernel` computes, and `_layer` for it: made when it is needed, and not pickled.

    Its weights are frozen; `kernel` and what it has for gradients are called by operators.
    """

    kernel: Any
    _layer: Any = None

    def __init__(self) -> None:
        super().__init__()
        self._enlist()

    def _enlist(self) -> None:
        self._number = next(_numbers)
        _modules[self._number] = self

    def compute(self, operator: Any, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """What the kernel makes of x [..., K] and others, through the operator wherever torch wants to know of it.

        Raises ValueError if x lies elsewhere than in the computer's memory.
        """
        if x.device.type != "cpu":
            raise ValueError(f"{type(self).__name__}: x lives on {x.device}: this computes on the CPU, so pass x.cpu()")
        # An operator costs 30 microseconds a call, which tell in a model that generates one token after the other.
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or type(x) is not torch.Tensor:
            return operator(x, *others, self._number)  # type: ignore[no-any-return]
        return self.kernel(x, *others)  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._enlist()


def state_of(*parts: torch.Tensor | None) -> tuple[int, ...]:
    """Where the tensors lie and how often they were written to: another state once one of them changed."""
    there = [part for part in parts if part is not None]
    # What was made in inference mode counts no versions: it can be written to there alone.
    versions = (0 if part.is_inference() else part._version for part in there)
    return (*(part.data_ptr() for part in there), *versions)


def module(number: int) -> Any:
    """The KernelModule of that number."""
    return _modules[number]


def operator(name: str, compute: Callable[..., Any], empty: Callable[..., Any]) -> Any:
    """The operator mxfp4::name of tensors and a module's number; `empty` gives uninitialised results of the right shape."""
    made = torch.library.custom_op(f"mxfp4::{name}", compute, mutates_args=(), device_types="cpu")
    made.register_fake(empty)
    return made


def differentiate(operator: Any, gradient: Callable[..., tuple[Any, ...]], *, keep: bool) -> None:
    """Makes the operator's gradients those of gradient(*tensors, grad, number), or without `keep` gradient(grad, number).

    Under torch.compile it is traced: what computes in it must be an operator, too.
    """

    def remember(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.number = inputs
        if keep:
            ctx.save_for_backward(*tensors)

    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return *gradient(*ctx.saved_tensors, grad, ctx.number), None

    operator.register_autograd(backward, setup_context=remember)
