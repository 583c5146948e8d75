"""The bytes of tests/data/quantize, which other projects and exact definitions wrote, out of Python as out of C++."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from checkpoints import read_safetensors

import mxfp4

DATA = Path(__file__).resolve().parent.parent / "data/quantize"


@cache
def golden(name: str) -> dict[str, np.ndarray]:
    return read_safetensors(DATA / f"{name}.safetensors")


def without_nan_blocks(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Codes of NaN blocks are left open by some origins."""
    blocks = codes.reshape(*scales.shape, -1).copy()
    blocks[scales == 255] = 0
    return blocks


@pytest.mark.parametrize("preset", mxfp4.info()["presets"])
def test_presets_write_the_bytes_of_their_origin(preset: str):
    expected, compared = golden(preset), 0
    for name, x in golden("inputs").items():
        for block_size, suffix in ((32, ""), (16, "16")):
            if f"{name}.codes{suffix}" not in expected:
                continue
            # What rounds to infinity in bf16, transformers writes anything for.
            overflows = preset == "transformers" and name == "extreme_f32"
            policy = "preset"
            if name.startswith("nonfinite") or overflows:
                try:
                    mxfp4.quantize(x, preset=preset, block_size=block_size, nonfinite="preset")
                except ValueError:
                    policy = "nan_block"
            t = mxfp4.quantize(x, preset=preset, block_size=block_size, nonfinite=policy)
            codes, scales = expected[f"{name}.codes{suffix}"], expected[f"{name}.scales{suffix}"]
            np.testing.assert_array_equal(t.scales.ravel(), scales.ravel(), f"{name}, block {block_size}")
            open_codes = overflows or (policy == "preset" and name.startswith("nonfinite"))
            clean = without_nan_blocks if open_codes else lambda codes, scales: codes.reshape(*scales.shape, -1)
            np.testing.assert_array_equal(
                clean(t.codes, t.scales), clean(codes.reshape(t.codes.shape), t.scales), f"{name}, block {block_size}"
            )
            compared += 1
    assert compared >= 25


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_code_under_every_scale_has_its_exact_value(dtype: str):
    data = golden("dequantize")
    short = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}[dtype]
    expected = data[f"exact_{short}"].view(f"u{np.dtype(np.float32).itemsize if short == 'f32' else 2}").ravel()
    got = mxfp4.dequantize(data["codes"].reshape(256, 16), data["scales"].reshape(256, 1), dtype=dtype)
    bits = got.view(expected.dtype).ravel()
    both_nan = np.isnan(got.astype(np.float32)).ravel() & np.isnan(data[f"exact_{short}"].astype(np.float32)).ravel()
    assert np.all((bits == expected) | both_nan)
    assert both_nan.sum() == 32
