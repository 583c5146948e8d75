"""Linear layers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import mxfp4


@pytest.fixture
def weight(rng) -> mxfp4.Tensor:
    return mxfp4.quantize(rng.standard_normal((48, 100)).astype(np.float32))


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(100,), (1, 100), (7, 100), (2, 3, 100), (0, 100)])
def test_it_multiplies(weight, shape, dtype, pack, rng):
    x, bias = rng.standard_normal(shape).astype(dtype), rng.standard_normal(48).astype(np.float32)
    y = mxfp4.Linear(weight, bias, pack=pack)(x)
    assert (y.shape, y.dtype) == ((*shape[:-1], 48), x.dtype)
    w, x = weight.dequantize().astype(np.float64), x.astype(np.float64)
    bound = (np.abs(x) @ np.abs(w.T) + np.abs(bias)) * (2.0**-13 + np.finfo(ml_dtypes.finfo(dtype).dtype).eps / 2 if dtype is np.float32 else 2.0**-8)
    assert np.all(np.abs(y.astype(np.float64) - (x @ w.T + bias)) <= bound)


@pytest.mark.parametrize("activation, bound", [("exact", 2.0**-13), ("int8", 2.0**-5), ("mxfp8", 2.0**-3)])
def test_an_activation_is_chosen_by_name(weight, activation, bound, rng):
    x = rng.standard_normal((5, 100)).astype(np.float32)
    layer = mxfp4.Linear(weight, activation=activation)
    w = weight.dequantize()
    assert np.all(np.abs(layer(x) - x @ w.T) <= bound * (np.abs(x) @ np.abs(w.T)))
    with pytest.raises(ValueError, match="activation is 'int4', none of exact, int8, mxfp8"):
        layer.activation = "int4"
    assert layer.activation == activation


@pytest.mark.parametrize("name, error", [("int4", ValueError), (8, TypeError)])
def test_another_activation_is_refused_before_anything_is_packed(name, error, weight, root: Path):
    model = root / "tests/data/models/tiny-gpt-oss/hf-mxfp4"
    stack = mxfp4.open(model)["model.layers.0.mlp.experts.down_proj"]
    for make in (
        lambda: mxfp4.Linear(weight, activation=name),
        lambda: mxfp4.Linear.from_checkpoint("/nowhere", "layer", activation=name),
        lambda: mxfp4.Experts(stack, stack, activation=name),
        lambda: mxfp4.Experts.from_checkpoint("/nowhere", 0, activation=name),
        lambda: mxfp4.Mlp.from_checkpoint("/nowhere", 0, activation=name),
    ):
        with pytest.raises(error, match=f"activation is {name!r}, n"):
            make()


def test_strided_inputs_are_those_of_their_copies(weight, rng):
    x = rng.standard_normal((100, 6)).astype(np.float32).T
    np.testing.assert_array_equal(mxfp4.Linear(weight)(x), mxfp4.Linear(weight)(x.copy()))


def test_a_layer_in_place_keeps_its_weight_alive_and_shares_it(rng):
    x = rng.standard_normal((2, 4096)).astype(np.float32)
    w = rng.standard_normal((256, 4096)).astype(np.float32)
    packed, in_place = mxfp4.Linear(mxfp4.quantize(w)), mxfp4.Linear(mxfp4.quantize(w), pack=False)
    assert packed.packed and not in_place.packed
    assert in_place.nbytes < packed.nbytes / 20
    np.testing.assert_allclose(packed(x), in_place(x), atol=1e-3)


def test_several_threads_may_call_it_at_once(weight, rng):
    layer, x = mxfp4.Linear(weight, threads=1), rng.standard_normal((64, 100)).astype(np.float32)
    expected = layer(x)
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: layer(x), range(32)):
            np.testing.assert_array_equal(y, expected)


def test_it_is_loaded_from_a_checkpoint_with_its_bias(root: Path):
    path = root / "tests/data/models/tiny-llama/compressed-tensors"
    model = mxfp4.open(path)
    biased = 0
    for name, weight in model.items():
        if not isinstance(weight, mxfp4.Tensor):
            continue
        module = name.removesuffix(".weight")
        bias = model.get(f"{module}.bias")
        x = np.ones((1, weight.shape[1]), np.float32)
        expected = mxfp4.Linear(weight, bias)(x)
        np.testing.assert_array_equal(mxfp4.Linear.from_checkpoint(path, module)(x), expected)
        in_place = mxfp4.Linear.from_checkpoint(model, module, pack=False)
        np.testing.assert_allclose(in_place(x), expected, atol=1e-3)
        biased += bias is not None
    assert biased > 0
    with pytest.raises(ValueError, match="there is no weight 'nothing'"):
        mxfp4.Linear.from_checkpoint(model, "nothing")


def test_what_does_not_fit_is_refused(weight, rng):
    with pytest.raises(ValueError, match=r"x has shape \[2, 99\], but its last dimension must be 100"):
        mxfp4.Linear(weight)(np.zeros((2, 99), np.float32))
    with pytest.raises(ValueError, match="x is float64"):
        mxfp4.Linear(weight)(np.zeros((2, 100)))
    with pytest.raises(ValueError, match="bias"):
        mxfp4.Linear(weight, np.zeros(47))
    for bad in (
        mxfp4.quantize(rng.standard_normal((64, 8)).astype(np.float32), axis=0),
        mxfp4.quantize(np.zeros((2, 3, 32), np.float32)),
        mxfp4.quantize(np.zeros((3, 32), np.float32), block_size=16),
    ):
        with pytest.raises(ValueError, match=r"must be \[N, K\], quantised along K in blocks of 32"):
            mxfp4.Linear(bad)


def test_it_says_what_it_is(weight):
    layer = mxfp4.Linear(weight)
    assert (layer.in_features, layer.out_features) == (100, 48)
    assert repr(layer).startswith("<mxfp4.Linear in_features=100, out_features=48, activation='exact', ")


def test_what_is_no_array_and_no_tensor_is_told_so():
    x = np.ones((2, 64), np.float32)
    t = mxfp4.quantize(x)
    for call, said in (
        (lambda: mxfp4.Linear(t)([1.0] * 64), "Linear: x is no array in this computer's memory, but <class 'list'>"),
        (lambda: mxfp4.Linear(x), "Linear: the weight is no mxfp4.Tensor, but <class 'numpy.ndarray'>"),
        (lambda: mxfp4.error_stats(x, x), "error_stats: t is no mxfp4.Tensor"),
        (lambda: mxfp4.error_stats([1.0], t), "error_stats: x is no array"),
        (lambda: t.dequantize(out=[1.0]), "dequantize: out is no array, but <class 'list'>"),
        (lambda: mxfp4.Mlp(), "from_checkpoint"),
    ):
        with pytest.raises(TypeError, match=said):
            call()
