"""Linear layers whose weights stay MXFP4."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from mxfp4 import _core
from mxfp4._arguments import device_name, text, thread_count
from mxfp4._arrays import floats_of
from mxfp4._checkpoint import opened
from mxfp4._layer import Layer, forward
from mxfp4._tensor import expect_tensor

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike

    from mxfp4._checkpoint import Checkpoint
    from mxfp4._tensor import Tensor

A = TypeVar("A")


class Linear(Layer):
    """y[..., N] = x[..., K] W^T + bias, with W in MXFP4.

    t
        The weight, a Tensor of shape [N, K] quantised along K in blocks of 32.
    bias
        N values, or None.
    activation
        How x enters the product: "exact" (as it is given, accurate to about 2^-18), "int8" (8-bit integers, a scale for
        each 32: faster), "mxfp8" (E4M3, a power-of-two scale for each 32).
    pack
        Copy the weight into the order that the kernels read fastest. Without it the layer uses t's own bytes, and is
        made for few tokens at a time.
    threads
        How many to compute with; by default all processors that this process may use.
    device
        "cpu", or what computes beside it: "vulkan", "vulkan:1", "cuda" (`mxfp4 info` lists them); by default what
        MXFP4_DEVICE says. It has a copy of the weight, and results of its own, in f32.

    On the CPU results depend neither on threads, nor on the machine, nor on what stands beside a token in its batch. A
    layer may be called from several threads at once. Raises ValueError for another shape, or a bias of another size.
    """

    __slots__ = ()
    _layer: _core.Linear

    def __init__(
        self,
        t: Tensor,
        bias: ArrayLike | None = None,
        *,
        activation: str = "exact",
        pack: bool = True,
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        expect_tensor(t, "Linear: the weight")
        if len(t.shape) != 2 or t.axis != 1 or t.block_size != 32:
            raise ValueError(f"Linear: the weight must be [N, K], quantised along K in blocks of 32, but it is {t!r}")
        self.activation = activation
        values = None if bias is None else floats_of(bias)
        self._layer = _core.Linear(
            t.codes, t.scales, *t.shape, values, bool(pack), thread_count(threads), device_name(device)
        )

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint | str | PathLike[str],
        name: str,
        *,
        activation: str = "exact",
        pack: bool = True,
        threads: int | None = None,
        device: str | None = None,
    ) -> Linear:
        """The layer of that name ("model.layers.0.self_attn.q_proj"), with its bias if the checkpoint has one.

        While it is packed, pages of the file are given back: memory beyond the layer's own stays small. Without `pack`
        the weight is used in the mapped file.
        """
        layer = cls.__new__(cls)
        layer.activation = activation
        how = bool(pack), thread_count(threads), device_name(device)
        layer._layer = _core.Linear.load(opened(checkpoint), text(name, "name"), *how)
        return layer

    def __call__(self, x: A) -> A:
        """x [..., K] in float32, float16 or bfloat16, numpy's or torch's; returns [..., N] of the same kind.

        NaN and infinity make the outputs of their own token NaN or infinite. There is no gradient: of a torch tensor
        that asks for one it is a ValueError.
        """
        return forward(self, x, "Linear", self.out_features)  # type: ignore[no-any-return]

    @property
    def in_features(self) -> int:
        """K, the inputs."""
        return self._layer.columns

    @property
    def out_features(self) -> int:
        """N, the outputs."""
        return self._layer.rows

    @property
    def packed(self) -> bool:
        """Whether the layer has a copy of the weight, or uses it where it lies."""
        return self._layer.packed

    def __repr__(self) -> str:
        return (
            f"<mxfp4.Linear in_features={self.in_features}, out_features={self.out_features}, "
            f"activation={self.activation!r}, {math.ceil(self.nbytes / 1024)} KiB>"
        )
