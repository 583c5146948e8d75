"""What holds for every array, shape and layout; hypothesis looks for one for which it does not."""

import ml_dtypes
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mxfp4

DTYPES = st.sampled_from([np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)])
GRID = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
BITS = {4: np.uint32, 2: np.uint16}
settings.register_profile("quick", max_examples=100, deadline=None, database=None, derandomize=True)
settings.load_profile("quick")


@st.composite
def arrays(draw, most_axes: int = 3):
    """Finite values of any bits, in any strides."""
    dtype = draw(DTYPES)
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=most_axes, min_side=0, max_side=70))
    step = draw(st.sampled_from([1, 2, -1]))
    seed, scale = draw(st.integers(0, 2**32)), draw(st.sampled_from([1e-6, 1.0, 1e3]))
    stored = shape[:-1] + (shape[-1] * abs(step),)
    x = np.clip(np.random.default_rng(seed).standard_t(3, stored) * scale, -6e4, 6e4).astype(dtype)
    if draw(st.booleans()):  # any bits but those of infinity and NaN
        bits = np.random.default_rng(seed).integers(0, 2 ** (8 * dtype.itemsize), stored, dtype=np.uint64)
        x = bits.astype(BITS[dtype.itemsize]).view(dtype)
        x = np.where(np.isfinite(x.astype(np.float32)), x, np.zeros((), dtype))
    return x[..., ::step].transpose(draw(st.permutations(range(len(shape)))))


def parts(t: mxfp4.Tensor) -> tuple[bytes, bytes]:
    return t.codes.tobytes(), t.scales.tobytes()


@given(arrays(), st.data())
def test_values_are_the_nearest_of_their_block(x, data):
    axis, block = data.draw(st.integers(0, x.ndim - 1)), data.draw(st.sampled_from([16, 32]))
    t = mxfp4.quantize(x, axis=axis, block_size=block)
    scale = np.ldexp(1.0, np.repeat(t.scales, block, -1)[..., : x.shape[axis]].astype(int) - 127)
    values = t.ml_dtypes_views()[0].astype(np.float64) * scale  # dequantize() gives infinity beyond float32
    wanted = np.moveaxis(x, axis, -1).astype(np.float64)
    best = np.abs(np.abs(wanted)[..., None] - GRID * scale[..., None]).min(-1, initial=np.inf)
    np.testing.assert_array_equal(np.abs(wanted - values), best)
    assert np.all((values == 0) | (np.sign(values) == np.sign(wanted)))


@given(arrays(), st.data())
def test_layout_in_memory_changes_nothing(x, data):
    axis = data.draw(st.integers(0, x.ndim - 1))
    assert parts(mxfp4.quantize(x, axis=axis)) == parts(mxfp4.quantize(x.copy(), axis=axis))
    assert parts(mxfp4.quantize(x, axis=axis)) == parts(mxfp4.quantize(np.moveaxis(x, axis, -1)))


@given(arrays())
def test_no_rule_has_a_lower_error_than_optimal(x):
    best = mxfp4.error_stats(x, mxfp4.quantize(x)).relative_error
    for rule in ("floor", "even", "rceil", "ceil", "t725", "round6"):
        assert best <= mxfp4.error_stats(x, mxfp4.quantize(x, scale=rule)).relative_error * (1 + 1e-12)


@given(arrays(), st.sampled_from(["float32", "bfloat16"]))
def test_what_was_mxfp4_once_gets_its_bytes_back(x, dtype):
    t = mxfp4.quantize(x)
    values = t.dequantize(dtype)
    if np.isfinite(values.astype(np.float32)).all():
        assert parts(mxfp4.quantize(values, reference=t)) == parts(t)


@given(st.lists(arrays(), max_size=4), st.lists(arrays(2), max_size=3))
@settings(max_examples=20)
def test_what_is_saved_is_what_is_opened(tmp_path_factory, dense, weights):
    tensors = {f"dense.{i}": x for i, x in enumerate(dense)}
    for i, x in enumerate(weights):
        t = mxfp4.quantize(x)
        if t.shape[-1] % 32 == 0:
            tensors[f"layer.{i}.weight"] = t
    if not tensors:
        return
    path = tmp_path_factory.mktemp("saved") / "x.safetensors"
    mxfp4.save(path, tensors)
    again = mxfp4.open(path)
    assert set(again) == set(tensors)
    for name, value in tensors.items():
        if isinstance(value, mxfp4.Tensor):
            assert parts(again[name]) == parts(value) and again[name].shape == value.shape
        else:
            assert again[name].dtype == value.dtype and again[name].tobytes() == value.tobytes()
