"""Tensors in memory: quantise, dequantise, compare."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from mxfp4 import _core
from mxfp4._arguments import device_name, text, thread_count
from mxfp4._arrays import (
    CODES,
    SCALES,
    bytes_of,
    dtype_name,
    floats_of,
    is_torch,
    numpy_dtype,
    packed,
    readable,
    shape_of,
    torch_bytes,
    writable,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor as TorchTensor

    from mxfp4._arrays import Array, Bytes

__all__ = ["Tensor", "dequantize", "quantize"]


class Tensor:
    """A tensor in MXFP4: 4-bit codes, and one power-of-two scale for each block of 32 along one axis.

    An element is worth value(code) * 2^(scale - 127), its code's value one of 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their
    negatives. quantize() makes one, open() finds them in checkpoints, and from bytes of elsewhere it is made so:

    codes
        uint8 [..., K/2], two codes a byte, the earlier element in the low half, the quantised axis last; or
        [..., K/32, 16], as gpt-oss stores them. From numpy, or a torch tensor (uint8, int8, float4_e2m1fn_x2).
        They are not copied if they have no gaps. ml_dtypes.float4_e2m1fn [..., K], a byte for each, is packed.
    scales
        uint8 [..., K/32], or float8_e8m0fnu of ml_dtypes or torch: E8M0, where 255 is NaN.
    shape
        Of the elements, in the order of the original's axes. By default [..., K] with K all that codes hold; needed if
        K is not a multiple of the block size, or `axis` is not the last.
    axis
        The axis of `shape` that the blocks lie along.

    Raises ValueError for bytes that do not fit each other or the shape.
    """

    __slots__ = ("__weakref__", "_axis", "_block_size", "_codes", "_scales", "_shape")
    _codes: Bytes
    _scales: Bytes
    _shape: tuple[int, ...]
    _axis: int
    _block_size: int

    def __init__(
        self, codes: ArrayLike, scales: ArrayLike, *, shape: tuple[int, ...] | None = None, axis: int = -1
    ) -> None:
        scale_bytes = bytes_of(scales, "scales", SCALES)
        if isinstance(codes, np.ndarray) and codes.dtype.name == "float4_e2m1fn" and codes.ndim > 0 < scale_bytes.ndim:
            if shape is None and codes.ndim == scale_bytes.ndim:
                shape = codes.shape
            codes = packed(codes, scale_bytes.shape[-1])
        code_bytes = bytes_of(codes, "codes", CODES)
        if code_bytes.ndim == scale_bytes.ndim + 1:
            *rows, blocks, each = code_bytes.shape
            code_bytes = code_bytes.reshape(*rows, blocks * each)
        if code_bytes.ndim != scale_bytes.ndim or code_bytes.ndim == 0 or code_bytes.shape[:-1] != scale_bytes.shape[:-1]:
            raise ValueError(f"codes {code_bytes.shape} and scales {scale_bytes.shape} do not fit each other")
        held, blocks = code_bytes.shape[-1] * 2, scale_bytes.shape[-1]
        block_size = held // blocks if blocks else 32
        if block_size not in (16, 32) or block_size * blocks != held:
            raise ValueError(f"{held} codes a row and {blocks} scales: blocks have 32 elements, or 16")
        if shape is None:
            shape = (*code_bytes.shape[:-1], held)
            if axis not in (-1, len(shape) - 1):
                raise ValueError(f"axis {axis} needs a shape to be an axis of")
        shape = tuple(operator.index(size) for size in shape)
        axis = _checked_axis(axis, shape)
        if shape[:axis] + shape[axis + 1 :] != code_bytes.shape[:-1] or -(-shape[axis] // block_size) != blocks:
            raise ValueError(f"codes {code_bytes.shape} do not fit shape {shape} with axis {axis} moved to the end")
        self._set(code_bytes, scale_bytes, shape, axis, block_size)

    def _set(self, codes: Bytes, scales: Bytes, shape: tuple[int, ...], axis: int, block_size: int) -> None:
        self._codes = codes
        self._scales = scales
        self._shape = shape
        self._axis = axis
        self._block_size = block_size

    @property
    def codes(self) -> Bytes:
        """uint8 [..., ceil(K/b) * b/2], b the block size: two codes a byte, the quantised axis last."""
        return self._codes

    @property
    def scales(self) -> Bytes:
        """uint8 [..., ceil(K/b)]: 2^(byte - 127) for each block; 255 is NaN."""
        return self._scales

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the elements' axes, in the order of the original's."""
        return self._shape

    @property
    def axis(self) -> int:
        """The axis of `shape` that the blocks lie along, counted from 0."""
        return self._axis

    @property
    def block_size(self) -> int:
        """Elements that share a scale: 32, or 16."""
        return self._block_size

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self._codes.nbytes + self._scales.nbytes

    def dequantize(self, dtype: Any = "float32", out: Any = None, transpose: bool = False) -> NDArray[Any]:
        """The elements as a numpy array of `shape`: see mxfp4.dequantize()."""
        return dequantize(self, dtype=dtype, out=out, transpose=transpose)  # type: ignore[no-any-return]

    def numpy(self, dtype: Any = "float32") -> NDArray[Any]:
        """The elements as a new numpy array of `shape`; dtype: float32, float16, bfloat16."""
        return self.dequantize(dtype)

    def torch(self, dtype: Any = "float32") -> TorchTensor:
        """The elements as a new torch tensor of `shape`; dtype: float32, float16, bfloat16, or torch's."""
        import torch

        name = dtype_name(dtype)
        out = torch.empty(self._shape, dtype=getattr(torch, _dense(name)))
        dequantize(self, dtype=name, out=out)
        return out

    def ml_dtypes_views(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The elements as ml_dtypes.float4_e2m1fn [..., K], and the scales as float8_e8m0fnu [..., ceil(K/b)].

        The quantised axis is the last. ml_dtypes keeps every element in a byte of its own, so the elements are a copy;
        the scales are a view.
        """
        *rows, columns = self._codes.shape
        unpacked = np.empty((*rows, columns, 2), np.uint8)
        np.bitwise_and(self._codes, 15, out=unpacked[..., 0])
        np.right_shift(self._codes, 4, out=unpacked[..., 1])
        elements = unpacked.reshape(*rows, 2 * columns)[..., : self._shape[self._axis]]
        float4, e8m0 = (numpy_dtype(name, "the view") for name in ("float4_e2m1fn", "float8_e8m0fnu"))
        return elements.view(float4), self._scales.view(e8m0)

    def torch_views(self) -> tuple[TorchTensor, TorchTensor]:
        """The codes as torch.float4_e2m1fn_x2 [..., ceil(K/b) * b/2], and the scales as torch.float8_e8m0fnu.

        Over the same memory, unless that is read-only (an opened file): torch knows no such tensors, and gets a copy.
        """
        import torch

        return (
            torch_bytes(self._codes).view(torch.float4_e2m1fn_x2),
            torch_bytes(self._scales).view(torch.float8_e8m0fnu),
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the elements of an mxfp4.Tensor cannot be had without a copy")
        values = self.dequantize()
        return values if dtype is None else values.astype(dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _tensor, (self._codes, self._scales, self._shape, self._axis, self._block_size)

    def __repr__(self) -> str:
        size = self.nbytes
        shown = f"{size} bytes" if size < 10240 else f"{size / 1024:.0f} KiB" if size < 10 << 20 else f"{size >> 20} MiB"
        axis = "" if self._axis == len(self._shape) - 1 else f", axis={self._axis}"
        block = "" if self._block_size == 32 else f", block_size={self._block_size}"
        return f"<mxfp4.Tensor shape={self._shape}{axis}{block}, {shown}>"


def _tensor(codes: Bytes, scales: Bytes, shape: tuple[int, ...], axis: int, block_size: int) -> Tensor:
    """A tensor of parts that fit each other."""
    t = Tensor.__new__(Tensor)
    t._set(codes, scales, shape, axis, block_size)
    return t


def expect_tensor(t: object, what: str) -> None:
    """Raises TypeError for anything else."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{what} is no mxfp4.Tensor, but {type(t)}")


def _checked_axis(axis: int, shape: tuple[int, ...]) -> int:
    axis, rank = operator.index(axis), len(shape)
    if not -rank <= axis < rank:
        raise ValueError(f"shape {shape} has no axis {axis}")
    return axis % rank


def _dense(name: str) -> str:
    if name not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype is '{name}', none of float32, float16, bfloat16")
    return name


def quantize(
    x: Array,
    *,
    axis: int = -1,
    block_size: int = 32,
    preset: str = "mxfp4",
    scale: str | None = None,
    importance: ArrayLike | None = None,
    reference: Tensor | ArrayLike | None = None,
    nonfinite: str = "error",
    threads: int | None = None,
    device: str | None = None,
) -> Tensor:
    """Quantise an array to MXFP4.

    x
        float32, float16 or bfloat16, at least one axis, any strides; it is read where it lies.
    axis
        The axis that blocks lie along: the input dimension of a Linear layer's weight. Its last block may be short.
    block_size
        32 is MXFP4; 16 is for study, and no file holds it.
    preset
        "mxfp4", or another project's bytes: info()["presets"] lists them.
    scale
        How a block's scale is chosen, with the default preset: "optimal" (the least squared error, exactly), or one of
        info()["scale_rules"].
    importance
        How much each column matters: K values that are finite and not negative, say mean squares of the inputs, or as
        many for each index of the first of three or more axes (experts) once `axis` is moved to the end. "optimal" then
        minimises the sum of importance * error^2.
    reference
        The Tensor that x was dequantised from, or its scales: each is kept where the error is no larger under it, so
        that what was MXFP4 once gets its bytes back.
    nonfinite
        What NaN and infinity become: "error" (ValueError with their place), "nan_block" (their block is NaN),
        "saturate" (0 and +-6 times the scale), or "preset" (what the preset's origin does).
    threads
        How many to compute with; by default all processors that this process may use.
    device
        "cpu", or a device, as Linear takes it: the bytes are the same.

    Raises ValueError for arguments that do not fit, and TypeError for what is no array in this computer's memory.

    >>> t = mxfp4.quantize(np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32))
    >>> t.codes.shape, t.scales.ravel().tolist()
    ((2, 16), [125, 125])
    """
    shape = shape_of(x, "quantize: x")
    axis = _checked_axis(axis, shape)
    if block_size not in (16, 32):
        raise ValueError(f"quantize: block_size is {block_size}, neither 32 nor 16")
    rows, blocks = shape[:axis] + shape[axis + 1 :], -(-shape[axis] // block_size)
    codes = np.empty((*rows, blocks * (block_size // 2)), np.uint8)
    scales = np.empty((*rows, blocks), np.uint8)
    if reference is not None:
        if isinstance(reference, Tensor):
            if (reference.shape, reference.axis, reference.block_size) != (shape, axis, block_size):
                raise ValueError(f"quantize: x has shape {shape} and blocks along axis {axis}, but reference is {reference!r}")
            reference = reference.scales
        reference = bytes_of(reference, "quantize: reference", SCALES)
        if reference.shape != scales.shape:
            raise ValueError(f"quantize: reference has scales {reference.shape}, but x gets {scales.shape}")
    if importance is not None:
        importance = floats_of(importance)
    array, bf16 = readable(x, "quantize: x")
    how = text(preset, "preset"), None if scale is None else text(scale, "scale"), text(nonfinite, "nonfinite")
    _core.quantize(
        array, bf16, codes, scales, axis, block_size, *how, importance, reference, thread_count(threads), device_name(device)
    )
    return _tensor(codes, scales, shape, axis, block_size)


def dequantize(
    t: Tensor | ArrayLike,
    scales: ArrayLike | None = None,
    dtype: Any = "float32",
    out: Any = None,
    transpose: bool = False,
    threads: int | None = None,
    device: str | None = None,
) -> Any:
    """Expand MXFP4 to an array: value(code) * 2^(scale - 127), rounded once; NaN where the scale is 255.

    t, scales
        A Tensor; or codes and scales as Tensor() takes them, in numpy or torch.
    dtype
        "float32", "float16" or "bfloat16", or numpy's or torch's name for it. Infinity is what exceeds it.
    out
        An array of the result's shape and dtype to write to, numpy's or torch's, without gaps.
    transpose
        Exchange the last two axes: gpt-oss's experts [E, N, K] come as [E, K, N], which is how transformers computes
        with them (its convert_moe_packed_tensors), without a second copy.
    threads
        How many to compute with; by default all processors that this process may use.
    device
        "cpu", or a device, as Linear takes it: the bytes are the same.

    Returns `out`, or a new array: torch's if the codes are torch's, else numpy's.
    Raises ValueError for shapes and dtypes that do not fit.
    """
    torch_codes = scales is not None and is_torch(t)
    if not isinstance(t, Tensor):
        if scales is None:
            raise TypeError("dequantize: codes need scales beside them")
        t = Tensor(t, scales)
    elif scales is not None:
        raise TypeError("dequantize: a Tensor has scales of its own")
    if out is not None and dtype == "float32":
        dtype = getattr(out, "dtype", dtype)
    name = _dense(dtype_name(dtype))
    shape, stored_shape, turned = _layout(t, transpose)
    if out is None:
        if torch_codes:
            import torch

            out = torch.empty(shape, dtype=getattr(torch, name))
        else:
            out = np.empty(shape, numpy_dtype(name, "dtype"))
    target = writable(out, name, shape, "dequantize: out")
    how = turned, thread_count(threads), device_name(device)
    _core.dequantize(t.codes, t.scales, stored_shape, t.block_size, name, target, *how)
    return out


def _layout(t: Tensor, transpose: bool) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """The result's shape; the shape in which codes are to be read, [..., K]; and whether it is then to be turned."""
    shape, axis, last = t.shape, t.axis, len(t.shape) - 1
    columns = shape[axis]
    before, behind = shape[:axis], shape[axis + 1 :]
    if not transpose:
        if axis == last:
            return shape, shape, False
        return shape, (math.prod(before), math.prod(behind), columns), True
    if last == 0 or axis < last - 1:
        raise ValueError(f"dequantize: shape {shape} quantised along axis {axis} has no last two axes to exchange")
    if axis == last:
        return (*shape[:-2], columns, shape[-2]), (math.prod(shape[:-2]), shape[-2], columns), True
    return (*before, *behind, columns), (*before, *behind, columns), False
