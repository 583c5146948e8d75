"""dequantize(): layouts, dtypes, memory of the caller's."""

import ml_dtypes
import numpy as np
import pytest

import mxfp4


@pytest.fixture
def t(rng) -> mxfp4.Tensor:
    return mxfp4.quantize(rng.standard_normal((3, 40, 96)).astype(np.float32))


def test_codes_and_scales_need_no_tensor(t):
    np.testing.assert_array_equal(mxfp4.dequantize(t.codes, t.scales), t.dequantize())
    blocks = t.codes.reshape(3, 40, 3, 16)  # as gpt-oss stores them
    np.testing.assert_array_equal(mxfp4.dequantize(blocks, t.scales), t.dequantize())
    np.testing.assert_array_equal(mxfp4.dequantize(t.codes[:, ::2], t.scales[:, ::2]), t.dequantize()[:, ::2])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", np.float16, np.dtype("f4"), ml_dtypes.bfloat16])
def test_any_name_of_a_dtype_will_do(t, dtype):
    values = mxfp4.dequantize(t, dtype=dtype)
    assert values.dtype == np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    np.testing.assert_array_equal(values.astype(np.float32), t.dequantize().astype(values.dtype).astype(np.float32))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_results_can_go_to_memory_of_the_callers(axis: int, dtype: str, rng):
    x = rng.standard_normal((32, 33, 34)).astype(np.float32)
    t = mxfp4.quantize(x, axis=axis)
    out = np.full(x.shape, 7, mxfp4.dequantize(t, dtype=dtype).dtype)
    assert mxfp4.dequantize(t, out=out) is out
    np.testing.assert_array_equal(out, mxfp4.dequantize(t, dtype=dtype))


def test_matrices_can_come_transposed(t, rng):
    turned = t.dequantize("bfloat16", transpose=True)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, t.dequantize("bfloat16").swapaxes(-1, -2))
    x = rng.standard_normal((2, 64, 5)).astype(np.float32)
    along_rows = mxfp4.quantize(x, axis=1)
    np.testing.assert_array_equal(along_rows.dequantize(transpose=True), along_rows.dequantize().swapaxes(-1, -2))
    with pytest.raises(ValueError, match="no last two axes to exchange"):
        mxfp4.quantize(x, axis=0).dequantize(transpose=True)


@pytest.mark.parametrize(
    "out, message",
    [
        (np.empty((3, 40, 95), np.float32), r"out has shape \(3, 40, 95\), but must have \(3, 40, 96\)"),
        (np.empty((3, 40, 96), np.float64), "dtype is 'float64', none of"),
        (np.empty((3, 96, 40), np.float32).swapaxes(1, 2), "no writable array without gaps"),
        (np.broadcast_to(np.float32(0), (3, 40, 96)), "no writable array without gaps"),
    ],
)
def test_memory_that_does_not_fit_is_refused(t, out, message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        t.dequantize(out=out)


def test_an_out_of_another_dtype_than_asked_for_is_refused(t):
    with pytest.raises(ValueError, match="out is float32, but must be float16"):
        t.dequantize("float16", out=np.empty(t.shape, np.float32))


def test_arguments_that_do_not_fit_are_named(t):
    with pytest.raises(ValueError, match="dtype is 'int8', none of"):
        t.dequantize("int8")
    with pytest.raises(TypeError, match="codes need scales"):
        mxfp4.dequantize(t.codes)
    with pytest.raises(TypeError, match="scales of its own"):
        mxfp4.dequantize(t, t.scales)


def test_nothing_has_nothing():
    for shape in ((0, 64), (3, 0), (2, 0, 32), (2, 32, 0)):
        for axis in range(len(shape)):
            t = mxfp4.quantize(np.zeros(shape, np.float32), axis=axis)
            assert t.dequantize().shape == shape
            assert mxfp4.error_stats(np.zeros(shape, np.float32), t).elements == 0
