"""quantize() on arrays of every kind, along every axis."""

import array

import ml_dtypes
import numpy as np
import pytest
import reference

import mxfp4


def same(a: mxfp4.Tensor, b: mxfp4.Tensor) -> bool:
    return (a.shape, a.axis, a.block_size) == (b.shape, b.axis, b.block_size) and (
        np.array_equal(a.codes, b.codes) and np.array_equal(a.scales, b.scales)
    )


def packed(codes: np.ndarray) -> np.ndarray:
    return codes[..., ::2] | codes[..., 1::2] << 4


@pytest.mark.parametrize("rule", mxfp4.info()["scale_rules"])
def test_each_rule_is_that_of_the_reference(rule: str, rng):
    x = rng.standard_normal((5, 128)).astype(np.float32)
    blocks = reference.blocks_of(x)
    byte = reference.optimal_byte(blocks) if rule == "optimal" else reference.threshold_byte(blocks, rule)
    t = mxfp4.quantize(x, scale=rule)
    np.testing.assert_array_equal(t.scales, byte)
    np.testing.assert_array_equal(t.codes, packed(reference.codes_of(blocks, byte).reshape(5, 128)))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_each_dtype_is_read_as_its_values(dtype, rng):
    x = rng.standard_normal((3, 96)).astype(dtype)
    assert same(mxfp4.quantize(x), mxfp4.quantize(x.astype(np.float32)))


@pytest.mark.parametrize("block_size", [32, 16])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_an_axis_is_moved_to_the_end_and_comes_back(axis: int, block_size: int, rng):
    x = rng.standard_normal((34, 40, 64)).astype(np.float32)
    t = mxfp4.quantize(x, axis=axis, block_size=block_size)
    moved = mxfp4.quantize(np.ascontiguousarray(np.moveaxis(x, axis, -1)), block_size=block_size)
    np.testing.assert_array_equal(t.codes, moved.codes)
    np.testing.assert_array_equal(t.scales, moved.scales)
    assert (t.shape, t.axis) == (x.shape, axis % 3)
    np.testing.assert_array_equal(t.dequantize(), np.moveaxis(moved.dequantize(), -1, axis))
    assert t.dequantize().flags.c_contiguous
    assert mxfp4.error_stats(x, t) == pytest.approx(mxfp4.error_stats(np.moveaxis(x, axis, -1), moved))


def test_any_strides_are_read(rng):
    x = rng.standard_normal((64, 6, 128)).astype(np.float32)
    for view in (x.T, x[::2, ::-1], x[..., ::4], np.broadcast_to(x[0, 0], (3, 128)), x[:0], x[:, :, :0]):
        assert same(mxfp4.quantize(view), mxfp4.quantize(view.copy()))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_field_of_records_of_an_odd_size_is_read_and_not_written_to(dtype, rng):
    x = rng.standard_normal((3, 64)).astype(dtype)
    records = np.zeros((3, 64), [("other", "V3"), ("x", dtype)])
    records["x"] = x
    field, t = records["x"], mxfp4.quantize(x)
    assert same(mxfp4.quantize(field), t)
    assert mxfp4.error_stats(field, t) == mxfp4.error_stats(x, t)
    np.testing.assert_array_equal(mxfp4.Linear(t)(field), mxfp4.Linear(t)(x))
    with pytest.raises(ValueError, match="dequantize: out is not aligned"):
        t.dequantize(out=field)


def test_dlpack_and_buffers_are_enough(rng):
    class Speaks:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x = rng.standard_normal((3, 64)).astype(np.float32)
    t = mxfp4.quantize(x)
    assert same(mxfp4.quantize(Speaks(x)), t) and same(mxfp4.quantize(memoryview(x)), t)
    assert same(mxfp4.quantize(array.array("f", x[0])), mxfp4.quantize(x[0]))
    assert mxfp4.error_stats(Speaks(x), t) == mxfp4.error_stats(x, t)
    np.testing.assert_array_equal(mxfp4.Linear(t)(Speaks(x)), mxfp4.Linear(t)(x))


def test_arrays_that_cannot_be_written_to_are_read(rng):
    x = rng.standard_normal((2, 64)).astype(np.float32)
    expected = mxfp4.quantize(x)
    x.flags.writeable = False
    assert same(mxfp4.quantize(x), expected)
    bytes_of_x = np.frombuffer(b"-" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)  # not aligned
    assert not bytes_of_x.flags.aligned
    assert same(mxfp4.quantize(bytes_of_x), expected)


class Foreign:
    """An array of a package that nobody here has heard of."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape = array, array.shape

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_whatever_speaks_dlpack_is_read(rng):
    x = rng.standard_normal((2, 64)).astype(np.float16)
    t = mxfp4.quantize(Foreign(x))
    assert same(t, mxfp4.quantize(x))
    assert mxfp4.error_stats(Foreign(x), t) == mxfp4.error_stats(x, t)
    np.testing.assert_array_equal(mxfp4.Linear(t)(Foreign(x)), mxfp4.Linear(t)(x))


@pytest.mark.parametrize("columns", [1, 31, 33, 47, 100])
def test_a_short_last_block_is_completed_with_zeros(columns: int, rng):
    x = rng.standard_normal((3, columns)).astype(np.float32)
    whole = np.zeros((3, -(-columns // 32) * 32), np.float32)
    whole[:, :columns] = x
    t = mxfp4.quantize(x, scale="even")
    np.testing.assert_array_equal(t.codes, mxfp4.quantize(whole, scale="even").codes)
    assert t.dequantize().shape == t.shape == (3, columns)


def test_a_scalar_has_no_axis():
    with pytest.raises(ValueError, match=r"shape \(\) has no axis -1"):
        mxfp4.quantize(np.float32(1))


def test_the_reference_gives_bytes_back(rng):
    x = rng.standard_normal((40, 64)).astype(np.float32)
    t = mxfp4.quantize(x, scale="rceil", axis=0)
    values = t.dequantize()
    assert not same(mxfp4.quantize(values, axis=0), t)
    assert same(mxfp4.quantize(values, axis=0, reference=t), t)
    assert same(mxfp4.quantize(values, axis=0, reference=t.scales), t)
    with pytest.raises(ValueError, match=r"reference has scales \(64, 2\), but x gets \(40, 2\)"):
        mxfp4.quantize(values, reference=t.scales)


def test_importance_lowers_the_error_where_it_is_large(rng):
    x = rng.standard_normal((4, 8, 64)).astype(np.float32)
    weights = rng.random((4, 64)) ** 8
    plain, weighted = mxfp4.quantize(x), mxfp4.quantize(x, importance=weights)

    def cost(t):
        return float((weights[:, None] * (x - t.dequantize()) ** 2).sum())

    assert cost(weighted) < cost(plain)
    alone = mxfp4.quantize(x[2], importance=weights[2])
    np.testing.assert_array_equal(weighted.codes[2], alone.codes)
    for importance, message in (
        (np.ones(63), "an importance of 63 values fits no shape"),
        (-np.ones(64), "must be finite and not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            mxfp4.quantize(x, importance=importance)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_elements_are_refused_with_their_place(value: float):
    x = np.zeros((3, 4, 64), np.float32)
    x[1, 2, 40] = value
    with pytest.raises(ValueError, match=r"element \[1, 2, 40\] is (NaN|Inf|-Inf)"):
        mxfp4.quantize(x)
    assert mxfp4.quantize(x, nonfinite="nan_block").scales[1, 2].tolist() == [0, 255]
    assert np.isfinite(mxfp4.quantize(x, nonfinite="saturate").dequantize()).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"axis": 2}, r"shape \(2, 64\) has no axis 2"),
        ({"block_size": 24}, "block_size is 24, neither 32 nor 16"),
        ({"preset": "best"}, "no preset 'best'; there are mxfp4, ocp"),
        ({"scale": "best"}, "no scale rule 'best'; there are floor, even"),
        ({"preset": "ocp", "scale": "even"}, "preset 'ocp' has its own scale rule"),
        ({"nonfinite": "ignore"}, "no policy 'ignore'"),
        ({"threads": -1}, "threads is -1"),
        ({"scale": "even", "importance": np.ones(64)}, "importance needs the rule optimal"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        mxfp4.quantize(np.zeros((2, 64), np.float32), **arguments)


@pytest.mark.parametrize(
    "x, error, message",
    [
        ([1.0, 2.0], TypeError, "x is no array in this computer's memory, but <class 'list'>"),
        (np.zeros(32), ValueError, "x is float64, none of float32, float16, bfloat16"),
        (np.zeros(32, np.uint16), ValueError, "x is uint16"),
        (np.zeros(32, ">f4"), ValueError, "float32 in foreign byte order"),
        (np.zeros(32, ml_dtypes.float8_e4m3fn), ValueError, "x is float8_e4m3fn"),
        (Foreign(np.zeros(32)), ValueError, "x is float64, none of float32, float16, bfloat16"),
    ],
)
def test_what_is_no_array_of_floats_is_refused(x, error, message: str):
    with pytest.raises(error, match=message):
        mxfp4.quantize(x)


def test_results_do_not_depend_on_threads(rng):
    x = rng.standard_normal((300, 8192)).astype(np.float32)
    assert same(mxfp4.quantize(x, threads=1), mxfp4.quantize(x))


def test_a_reference_of_another_tensor_is_refused(rng):
    x = rng.standard_normal((2, 64)).astype(np.float32)
    other = mxfp4.quantize(rng.standard_normal((64, 2)).astype(np.float32), axis=0)  # as many scales
    with pytest.raises(ValueError, match=r"x has shape \(2, 64\) and blocks along axis 1, but reference is <mxfp4.Tensor"):
        mxfp4.quantize(x, reference=other)


@pytest.mark.parametrize("axis", ["last", 1.0, None])
def test_an_axis_is_a_whole_number(axis):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        mxfp4.quantize(np.zeros((2, 64), np.float32), axis=axis)
