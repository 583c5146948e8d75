"""What layers have in common: how x enters them, and what comes out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from mxfp4 import _core
from mxfp4._arguments import text
from mxfp4._arrays import is_torch, numpy_dtype, readable, shared


class Layer:
    """A layer of the extension, and how x enters its products."""

    __slots__ = ("__weakref__", "_activation", "_layer")
    _activation: str
    _layer: Any

    @property
    def activation(self) -> str:
        """How x enters the products: "exact", "int8" or "mxfp8"; may be set."""
        return self._activation

    @activation.setter
    def activation(self, name: str) -> None:
        self._activation = checked_activation(name)

    @property
    def nbytes(self) -> int:
        """Bytes that this layer owns."""
        return self._layer.memory  # type: ignore[no-any-return]


def checked_activation(name: str) -> str:
    """Raises ValueError for a name that is none, with those that are."""
    _core.check_activation(text(name, "activation"))
    return name


def layer_input(x: Any, what: str) -> tuple[Any, tuple[int, ...]]:
    """x and its shape. Raises ValueError if a gradient is asked for, TypeError for what is no array."""
    if is_torch(x):
        if x.requires_grad and sys.modules["torch"].is_grad_enabled():
            raise ValueError(f"{what}: has no gradient; call it under torch.no_grad(), or with x.detach()")
        return x, tuple(x.shape)
    return (x, x.shape) if isinstance(x, np.ndarray) else (x, _core.described(f"{what}: x", x)[0])


def new_like(x: Any, shape: tuple[int, ...]) -> Any:
    """An array of x's package and dtype, to be written to; numpy's if that is neither numpy nor torch."""
    if is_torch(x):
        return x.new_empty(shape)
    dtype = x.dtype if isinstance(x, np.ndarray) else numpy_dtype(_core.described("x", x)[1], "x")
    return np.empty(shape, dtype)


def forward(layer: Layer, x: Any, who: str, columns: int | None, *between: Any) -> Any:
    """What a layer makes of x [..., K]: [..., columns], or x's own shape, of x's kind and dtype.

    `between` stands between x and the output among the arguments of the extension's forward().
    """
    given, shape = layer_input(x, who)
    array, bf16 = readable(given, f"{who}: x")
    y = new_like(given, shape if columns is None else (*shape[:-1], columns))
    layer._layer.forward(array, bf16, *between, shared(y, f"{who}: y")[0], layer._activation)
    return y
