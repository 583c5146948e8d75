"""Tensor: made of bytes, looked at, pickled."""

import copy
import pickle
import weakref

import ml_dtypes
import numpy as np
import pytest

import mxfp4


@pytest.fixture
def t(rng) -> mxfp4.Tensor:
    return mxfp4.quantize(rng.standard_normal((70, 3)).astype(np.float32), axis=0)


def test_its_parts_have_the_documented_shapes(t):
    assert (t.codes.shape, t.codes.dtype) == ((3, 48), np.uint8)
    assert (t.scales.shape, t.scales.dtype) == ((3, 3), np.uint8)
    assert (t.shape, t.axis, t.block_size, t.nbytes) == ((70, 3), 0, 32, 3 * 48 + 9)


def test_it_is_made_of_bytes_without_a_copy(t):
    again = mxfp4.Tensor(t.codes, t.scales, shape=t.shape, axis=0)
    assert np.shares_memory(again.codes, t.codes) and np.shares_memory(again.scales, t.scales)
    np.testing.assert_array_equal(again.dequantize(), t.dequantize())
    assert mxfp4.Tensor(t.codes, t.scales).shape == (3, 96)
    assert mxfp4.Tensor(t.codes.reshape(3, 3, 16), t.scales).shape == (3, 96)
    assert mxfp4.Tensor(t.codes[:, :16], t.scales[:, :2]).block_size == 16


@pytest.mark.parametrize(
    "codes, scales, options, message",
    [
        ((3, 48), (2, 3), {}, "do not fit each other"),
        ((3, 40), (3, 3), {}, "80 codes a row and 3 scales: blocks have 32 elements, or 16"),
        ((3, 48), (3, 3), {"axis": 0}, "axis 0 needs a shape"),
        ((3, 48), (3, 3), {"shape": (3, 97)}, "do not fit shape"),
        ((3, 48), (3, 3), {"shape": (3, 64)}, "do not fit shape"),
        ((3, 48), (3, 3), {"shape": (3, 96), "axis": 2}, "no axis 2"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(codes, scales, options, message):
    with pytest.raises(ValueError, match=message):
        mxfp4.Tensor(np.zeros(codes, np.uint8), np.zeros(scales, np.uint8), **options)


def test_elements_wider_than_bytes_are_refused():
    for dtype in (np.float32, ml_dtypes.float8_e4m3fn, bool):
        with pytest.raises(ValueError, match=f"codes: {np.dtype(dtype).name} is none of uint8, int8, float4_e2m1fn_x2"):
            mxfp4.Tensor(np.zeros((3, 16), dtype), np.zeros((3, 1), np.uint8))


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_it_is_copied_and_pickled(t, clone):
    again = clone(t)
    assert (again.shape, again.axis, again.block_size) == (t.shape, t.axis, t.block_size)
    np.testing.assert_array_equal(again.codes, t.codes)
    np.testing.assert_array_equal(again.dequantize(), t.dequantize())


def test_large_bytes_are_pickled_beside_the_stream(t):
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(t, protocol=5, buffer_callback=buffers.append)
    assert sum(buffer.raw().nbytes for buffer in buffers) == t.nbytes
    np.testing.assert_array_equal(pickle.loads(stream, buffers=buffers).codes, t.codes)


def test_its_repr_says_what_matters(t, rng):
    assert repr(t) == "<mxfp4.Tensor shape=(70, 3), axis=0, 153 bytes>"
    small = mxfp4.quantize(rng.standard_normal((2, 16)).astype(np.float32), block_size=16)
    assert repr(small) == "<mxfp4.Tensor shape=(2, 16), block_size=16, 18 bytes>"


def test_numpy_takes_it_for_its_elements(t):
    np.testing.assert_array_equal(np.asarray(t), t.dequantize())
    assert np.asarray(t, np.float64).dtype == np.float64
    np.testing.assert_array_equal(t.numpy("float16"), t.dequantize("float16"))


def test_ml_dtypes_sees_the_same_numbers(t):
    elements, scales = t.ml_dtypes_views()
    assert (elements.dtype, scales.dtype) == (ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu)
    assert elements.shape == (3, 70) and np.shares_memory(scales, t.scales)
    each = np.repeat(scales.astype(np.float32), 32, axis=-1)[:, :70]
    np.testing.assert_array_equal((elements.astype(np.float32) * each).T, t.dequantize())


@pytest.mark.parametrize("block_size", [16, 32])
def test_what_ml_dtypes_sees_is_what_a_tensor_is_made_of(block_size: int, rng):
    for shape in ((2, 3, 70), (4, 64), (33,)):
        t = mxfp4.quantize(rng.standard_normal(shape).astype(np.float32), block_size=block_size)
        again = mxfp4.Tensor(*t.ml_dtypes_views())
        assert (again.shape, again.block_size) == (t.shape, block_size)
        np.testing.assert_array_equal(again.codes, t.codes)
    t = mxfp4.quantize(rng.standard_normal((70, 3)).astype(np.float32), axis=0)
    np.testing.assert_array_equal(mxfp4.Tensor(*t.ml_dtypes_views(), shape=t.shape, axis=0).codes, t.codes)


def test_it_can_be_weakly_referenced_and_takes_no_other_attributes(t):
    assert weakref.ref(t)() is t
    with pytest.raises(AttributeError):
        t.name = "w"
    with pytest.raises(AttributeError):
        t.codes = t.codes


def test_error_stats_are_those_of_the_values(rng):
    x = rng.standard_normal((50, 80)).astype(np.float32)
    t = mxfp4.quantize(x, scale="floor", axis=0)
    stats, q = mxfp4.error_stats(x, t), t.dequantize().astype(np.float64)
    x = x.astype(np.float64)
    noise = ((x - q) ** 2).sum()
    assert stats.sqnr_db == pytest.approx(10 * np.log10((x**2).sum() / noise))
    assert stats.relative_error == pytest.approx(np.sqrt(noise / (x**2).sum()))
    assert stats.cosine == pytest.approx((x * q).sum() / np.sqrt((x**2).sum() * (q**2).sum()))
    assert stats.max_error == np.abs(x - q).max()
    assert stats.elements == x.size and stats.left_out == 0 and stats.saturated > 0
    assert mxfp4.error_stats(t.dequantize(), t).sqnr_db == np.inf
    with pytest.raises(ValueError, match=r"x has shape \(80, 50\), but t has \(50, 80\)"):
        mxfp4.error_stats(x.T, t)
