"""MXFP4 in numpy: slow and plain, for the tool to be held against.

Works in float64, where the quotients, products and sums that occur here are exact.
"""

import ml_dtypes
import numpy as np

VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
MIDPOINTS = (VALUES[:-1] + VALUES[1:]) / 2

# name: (threshold T, whether a = T * s needs the next scale)
THRESHOLDS = {
    "floor": (8, True), "even": (7, True), "rceil": (6, False), "ceil": (4, False),
    "t725": (7.25, False), "round6": (6 * np.sqrt(2.0), False), "floor6": (12, True),
}  # fmt: skip


def blocks_of(x):
    """[..., K] as float64 [..., K / 32, 32]"""
    x = np.asarray(x).astype(np.float64)
    return x.reshape(*x.shape[:-1], -1, 32)


def power(byte):
    return np.ldexp(1.0, np.asarray(byte, np.int64) - 127)[..., None]


def threshold_byte(blocks, rule):
    """The byte of the smallest power of two s with amax <= T * s, or amax < T * s."""
    threshold, strict = THRESHOLDS[rule]
    amax = np.abs(blocks).max(-1)
    mantissa, exponent = np.frexp(amax)
    t_mantissa, t_exponent = np.frexp(float(threshold))
    above = mantissa >= t_mantissa if strict else mantissa > t_mantissa
    byte = np.where(amax > 0, exponent - t_exponent + above + 127, 0)
    if rule == "rceil":  # through amax / 6 in f32, where everything above zero gets at least byte 1
        byte = np.where((amax.astype(np.float32) / np.float32(6)) > 0, np.maximum(byte, 1), byte)
    return np.clip(byte, 0, 254)


def codes_of(blocks, byte, ties="even"):
    quotient = np.abs(blocks) / power(byte)
    code = np.searchsorted(MIDPOINTS, quotient, side="left")  # a tie stays below
    tie = (code < 7) & (MIDPOINTS[np.minimum(code, 6)] == quotient)
    if ties == "even":
        code = code + (tie & (code % 2 == 1))
    elif ties == "away":
        code = code + tie
    return (code + 8 * np.signbit(blocks)).astype(np.uint8)


def values_of(codes, byte):
    return VALUES[codes & 7] * np.where(codes & 8, -1.0, 1.0) * power(byte)


def optimal_byte(blocks):
    """s0 of `floor`, unless 2 * s0 or s0 / 2 is strictly better, by differences that float64 holds exactly."""
    base = threshold_byte(blocks, "floor")
    q0 = values_of(codes_of(blocks, base), base)
    best, best_excess = base, np.zeros(base.shape)
    for step in (1, -1):
        byte = np.clip(base + step, 0, 254)
        q = values_of(codes_of(blocks, byte), byte)
        excess = ((q0 - q) * (2 * blocks - q0 - q)).sum(-1)
        best = np.where(excess < best_excess, byte, best)
        best_excess = np.minimum(excess, best_excess)
    return best


def quantize(x, rule="optimal", ties="even"):
    """[..., K] as packed codes U8 [..., K / 32, 16] and scale bytes U8 [..., K / 32]"""
    blocks = blocks_of(x)
    byte = optimal_byte(blocks) if rule == "optimal" else threshold_byte(blocks, rule)
    codes = codes_of(blocks, byte, ties)
    return codes[..., 0::2] | codes[..., 1::2] << 4, byte.astype(np.uint8)


def dequantize(codes, scales, dtype=np.float64):
    """U8 [..., K / 32, 16] or [..., K / 2] and U8 [..., K / 32] as [..., K]"""
    codes = codes.reshape(*scales.shape, 16)
    nibbles = np.stack([codes & 15, codes >> 4], -1).reshape(*scales.shape, 32)
    with np.errstate(over="ignore"):
        values = np.where((scales == 255)[..., None], np.nan, values_of(nibbles, scales))
        return values.reshape(*scales.shape[:-1], -1).astype(dtype)


def sqnr_db(x, y):
    x, y = np.asarray(x).astype(np.float64), np.asarray(y).astype(np.float64)
    return 10 * np.log10((x**2).sum() / ((x - y) ** 2).sum())


def same_values(a, b):
    """Equal elements, -0 and 0 alike, NaN equal to itself."""
    return a.shape == b.shape and np.array_equal(np.asarray(a, np.float64), np.asarray(b, np.float64), equal_nan=True)


def bf16(x):
    return np.asarray(x, np.float32).astype(ml_dtypes.bfloat16)
