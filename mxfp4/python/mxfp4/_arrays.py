"""Arrays of other packages, told apart without importing any of them but numpy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mxfp4 import _core

if TYPE_CHECKING:
    from typing import TypeAlias

    import torch
    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]
    Array: TypeAlias = "NDArray[Any] | SupportsDLPack"


class SupportsDLPack(Protocol):
    """An array in memory that speaks DLPack: torch's, JAX's, CuPy's, ..."""

    def __dlpack__(self, *, stream: Any = None) -> Any: ...
    def __dlpack_device__(self) -> Any: ...


def is_torch(x: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def readable(x: Any, what: str) -> tuple[Any, bool]:
    """x as the extension reads it, and whether those are bfloat16's bits in uint16.

    Not a copy, unless elements lie where none of their size should: in records of an odd size, for example.
    """
    if isinstance(x, np.ndarray) and not x.flags.aligned:
        x = x.copy()
    return shared(x, what)


def shared(x: Any, what: str) -> tuple[Any, bool]:
    """x as readable() gives it, never a copy.

    numpy hands arrays of ml_dtypes.bfloat16 to nobody, neither through DLPack nor as a buffer.
    """
    if isinstance(x, np.ndarray):
        dtype = x.dtype
        if dtype.char in "fe" and dtype.isnative:
            return x, False
        if dtype.kind == "V" and dtype.name == "bfloat16":
            return x.view(np.uint16), True
        order = "" if dtype.isnative else " in foreign byte order"
        raise ValueError(f"{what} is {dtype.name}{order}, none of float32, float16, bfloat16")
    if is_torch(x):
        if x.device.type != "cpu":
            raise ValueError(f"{what} lives on {x.device}: this computes on the CPU, so pass x.cpu()")
        return x.detach().resolve_neg(), False  # DLPack does not tell of torch's bit for a change of sign
    return x, False


def shape_of(x: Any, what: str) -> tuple[int, ...]:
    """Raises TypeError for what is no array."""
    try:
        return tuple(x.shape)
    except AttributeError:
        return _core.described(what, x)[0]


def floats_of(x: Any) -> NDArray[np.float32]:
    """A bias, or other numbers that are few, as numpy's float32 without gaps."""
    if is_torch(x):
        x = x.detach().float().resolve_neg().numpy()
    return np.ascontiguousarray(x, np.float32)


def writable(out: Any, dtype: str, shape: tuple[int, ...], what: str) -> Any:
    """`out` as the extension writes to it. Raises ValueError unless it has this dtype and shape."""
    if not (hasattr(out, "shape") and hasattr(out, "dtype")):
        raise TypeError(f"{what} is no array, but {type(out)}")
    if tuple(out.shape) != shape:
        raise ValueError(f"{what} has shape {tuple(out.shape)}, but must have {shape}")
    if dtype_name(out.dtype) != dtype:
        raise ValueError(f"{what} is {dtype_name(out.dtype)}, but must be {dtype}")
    if isinstance(out, np.ndarray) and not out.flags.aligned:
        raise ValueError(f"{what} is not aligned: its elements lie where none of their size should")
    return shared(out, what)[0]


def dtype_name(dtype: Any) -> str:
    """ "bfloat16" for "bfloat16", np.dtype("bfloat16"), torch.bfloat16."""
    if isinstance(dtype, str):
        return dtype
    if isinstance(dtype, np.dtype):
        return dtype.name
    if isinstance(dtype, type):  # np.float32, ml_dtypes.bfloat16
        return dtype.__name__
    return str(dtype).removeprefix("torch.")


def numpy_dtype(name: str, what: str) -> np.dtype[Any]:
    """numpy's dtype of that name; those that it learns from ml_dtypes, too."""
    try:
        return np.dtype(name)
    except TypeError:
        pass
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{what} is {name}, which numpy knows with the package ml_dtypes only: pip install ml_dtypes",
            name="ml_dtypes",
        ) from None
    try:
        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype
    except (AttributeError, TypeError):
        raise ValueError(f"{what} is '{name}', which neither numpy nor this ml_dtypes knows") from None


CODES = ("uint8", "int8", "float4_e2m1fn_x2")
SCALES = ("uint8", "float8_e8m0fnu")


def bytes_of(x: Any, what: str, dtypes: tuple[str, ...]) -> Bytes:
    """Codes or scales as numpy's uint8 without gaps: a view where x lies so, else a copy. ValueError for other dtypes."""
    if is_torch(x):
        _expect_bytes(dtype_name(x.dtype), what, dtypes)
        if x.device.type != "cpu":
            raise ValueError(f"{what}: lives on {x.device}: this computes on the CPU, so pass x.cpu()")
        import torch

        return x.detach().contiguous().view(torch.uint8).numpy()  # type: ignore[no-any-return]
    array = np.asarray(x)
    _expect_bytes(array.dtype.name, what, dtypes)
    return np.ascontiguousarray(array).reshape(array.shape).view(np.uint8)


def _expect_bytes(dtype: str, what: str, dtypes: tuple[str, ...]) -> None:
    if dtype not in dtypes:
        raise ValueError(f"{what}: {dtype} is none of {', '.join(dtypes)}")


def packed(elements: NDArray[Any], blocks: int) -> Bytes:
    """Codes [..., K] in a byte each, as ml_dtypes.float4_e2m1fn has them, two a byte, filled up to whole blocks of 32,
    or of 16 if that gives as many blocks."""
    codes: Any = np.ascontiguousarray(elements).view(np.uint8)
    columns = codes.shape[-1]
    size = next((size for size in (32, 16) if -(-columns // size) == blocks), 32)
    whole: Bytes = np.zeros((*codes.shape[:-1], -(-columns // size) * size), np.uint8)
    whole[..., :columns] = codes
    return (whole[..., ::2] | whole[..., 1::2] << 4).view(np.uint8)


def torch_bytes(array: Bytes) -> torch.Tensor:
    """A torch tensor over the array's memory; over a copy if that is read-only, which torch cannot be."""
    import torch

    return torch.from_numpy(array if array.flags.writeable else array.copy())
