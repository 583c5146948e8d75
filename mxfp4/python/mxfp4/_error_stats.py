"""How far a quantised tensor is from its original."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mxfp4 import _core
from mxfp4._arguments import thread_count
from mxfp4._arrays import readable, shape_of
from mxfp4._tensor import expect_tensor

if TYPE_CHECKING:
    from mxfp4._arrays import Array
    from mxfp4._tensor import Tensor


class ErrorStats(NamedTuple):
    """How far a quantised tensor is from its original. Elements that are not finite are left out of all sums."""

    sqnr_db: float
    """10 log10(signal / noise); infinite where nothing was lost."""
    relative_error: float
    """Root of noise / signal: |x - q| / |x| of the tensors as vectors."""
    max_error: float
    """The largest |x - q| of an element."""
    cosine: float
    """Cosine of the angle between the tensors as vectors."""
    elements: int
    """How many are in the sums."""
    left_out: int
    """How many are not: NaN, infinity, or under a scale that is NaN."""
    saturated: int
    """Elements beyond 6 times their scale."""
    sign_flips: int
    """Elements whose sign was changed, zeros left out."""


def error_stats(x: Array, t: Tensor, *, threads: int | None = None) -> ErrorStats:
    """The error of t against its original x, an array of t's shape as quantize() takes it.

    Sums do not depend on the number of threads. Raises ValueError for another shape or dtype.

    >>> w = np.array([1.0, 0.9], np.float32)
    >>> round(mxfp4.error_stats(w, mxfp4.quantize(w)).sqnr_db, 1)
    22.6
    """
    expect_tensor(t, "error_stats: t")
    shape = shape_of(x, "error_stats: x")
    if shape != t.shape:
        raise ValueError(f"error_stats: x has shape {shape}, but t has {t.shape}")
    array, bf16 = readable(x, "error_stats: x")
    stored = t.shape[: t.axis] + t.shape[t.axis + 1 :] + (t.shape[t.axis],)
    sums = _core.error_stats(array, bf16, t.axis, t.codes, t.scales, stored, t.block_size, thread_count(threads))
    return ErrorStats(**sums)
