"""Mixtures of experts: against numpy in float64, and against what the checkpoint's layers are made of."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import mxfp4

E, H, I, T, K = 5, 64, 96, 7, 2


@pytest.fixture
def layer(rng):
    """Weights, biases, and a batch with its routes."""
    class Layer:
        gate_up = mxfp4.quantize(rng.standard_normal((E, 2 * I, H)).astype(np.float32))
        down = mxfp4.quantize(rng.standard_normal((E, H, I)).astype(np.float32))
        gate_up_bias, down_bias = rng.standard_normal((E, 2 * I)), rng.standard_normal((E, H))
        x = rng.standard_normal((T, H)).astype(np.float32)
        ids, weights = rng.integers(-1, E, (T, K)), rng.random((T, K))

    return Layer


def reference(x, ids, weights, gate, up, down, gate_bias, up_bias, down_bias, alpha, beta, limit):
    y = np.zeros((len(x), down.shape[1]))
    for t, s in np.ndindex(ids.shape):
        e = ids[t, s]
        if e < 0:
            continue
        g = np.minimum(gate[e] @ x[t] + gate_bias[e], limit)
        u = np.clip(up[e] @ x[t] + up_bias[e], -limit, limit)
        y[t] += weights[t, s] * (down[e] @ (g / (1 + np.exp(-alpha * g)) * (u + beta)) + down_bias[e])
    return y


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("form", ["interleaved", "one behind the other", "apart"])
def test_experts_compute_what_numpy_does(form, dtype, pack, layer):
    w, down, x = layer.gate_up.dequantize().astype(np.float64), layer.down.dequantize().astype(np.float64), layer.x.astype(dtype)
    b = layer.gate_up_bias
    halves = (slice(0, None, 2), slice(1, None, 2)) if form == "interleaved" else (slice(0, I), slice(I, None))
    gate, up = (w[:, half] for half in halves)
    options = {"alpha": 1.702, "beta": 1.0, "limit": 7.0} if form == "interleaved" else {"alpha": 1, "beta": 0, "limit": np.inf}
    given, biases = layer.gate_up, b
    if form == "apart":
        given = tuple(mxfp4.Tensor(np.ascontiguousarray(layer.gate_up.codes[:, half]), layer.gate_up.scales[:, half]) for half in halves)
        biases = tuple(b[:, half] for half in halves)
    experts = mxfp4.Experts(
        given, layer.down, gate_up_bias=biases, down_bias=layer.down_bias, interleaved=form == "interleaved", pack=pack, **options
    )
    y = experts(x, layer.ids, layer.weights)
    expected = reference(
        x.astype(np.float64), layer.ids, layer.weights, gate, up, down, b[:, halves[0]], b[:, halves[1]], layer.down_bias, *options.values()
    )
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    error = np.abs(y.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error < (1e-4 if dtype is np.float32 else 1e-2)
    assert np.all(y[np.all(layer.ids < 0, axis=1)] == 0)


def test_routes_that_lead_nowhere_are_refused(layer):
    experts = mxfp4.Experts(layer.gate_up, layer.down)
    assert (experts.count, experts.hidden, experts.intermediate) == (E, H, I)
    assert repr(experts).startswith("<mxfp4.Experts count=5, hidden=64, intermediate=96, activation='exact', ")
    layer.ids[3, 1] = E
    with pytest.raises(ValueError, match="5"):
        experts(layer.x, layer.ids, layer.weights)
    with pytest.raises(ValueError, match=r"ids and weights must be \[7, top_k\]"):
        experts(layer.x, layer.ids[:6], layer.weights)
    with pytest.raises(ValueError, match="x has shape"):
        experts(layer.x[:, :32], layer.ids, layer.weights)
    with pytest.raises(ValueError, match=r"must be \[E, N, K\]"):
        mxfp4.Experts(mxfp4.quantize(layer.x), layer.down)
    with pytest.raises(ValueError):
        mxfp4.Experts(layer.down, layer.down)


@pytest.mark.parametrize("renormalize", [True, False])
def test_a_router_takes_the_largest_scores(renormalize, layer, rng):
    weight, bias = rng.standard_normal((E, H)).astype(np.float32), rng.standard_normal(E).astype(np.float32)
    router = mxfp4.Router(weight, bias, top_k=K, renormalize=renormalize)
    ids, weights = router(layer.x.reshape(T, 1, H))
    assert (ids.shape, ids.dtype, weights.shape, weights.dtype) == ((T, 1, K), np.int32, (T, 1, K), np.float32)
    scores = np.exp(layer.x.astype(np.float64) @ weight.T + bias)
    scores /= scores.sum(1, keepdims=True)
    expected = np.argsort(-scores, kind="stable")[:, :K]
    np.testing.assert_array_equal(ids[:, 0], expected)
    chosen = np.take_along_axis(scores, expected, 1)
    np.testing.assert_allclose(weights[:, 0], chosen / chosen.sum(1, keepdims=True) if renormalize else chosen, rtol=1e-4)
    assert repr(router) == "<mxfp4.Router experts=5, hidden=64, top_k=2>"
    for options, message in (({"top_k": 6}, "6"), ({"top_k": 2, "score": "best"}, "score is 'best', none of softmax")):
        with pytest.raises(ValueError, match=message):
            mxfp4.Router(weight, **options)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("name", ["hf-mxfp4", "openai"])
def test_the_mlp_of_a_checkpoint_is_its_router_and_its_experts(name: str, pack: bool, root: Path, rng):
    model = mxfp4.open(root / "tests/data/models/tiny-gpt-oss" / name)
    for number in range(2):
        mlp = mxfp4.Mlp.from_checkpoint(model, number, pack=pack)
        router, experts = mxfp4.Router.from_checkpoint(model, number), mxfp4.Experts.from_checkpoint(model, number, pack=pack)
        x = rng.standard_normal((2, 3, router.hidden)).astype(np.float32)
        ids, weights = router(x)
        y = mlp(x)
        np.testing.assert_array_equal(y, experts(x, ids.reshape(6, -1), weights.reshape(6, -1)))
        if name == "hf-mxfp4":
            stem = f"model.layers.{number}.mlp.experts."
            again = mxfp4.Experts(
                model[stem + "gate_up_proj"],
                model[stem + "down_proj"],
                gate_up_bias=model[stem + "gate_up_proj_bias"],
                down_bias=model[stem + "down_proj_bias"],
                pack=pack,
            )
            np.testing.assert_array_equal(y, again(x, ids.reshape(6, -1), weights.reshape(6, -1)))
    assert mlp.nbytes > 0 and "top_k=" in repr(mlp)
    with pytest.raises(ValueError, match="layer 99"):
        mxfp4.Mlp.from_checkpoint(model, 99)


def test_an_mlp_finds_experts_by_token_ids(root: Path):
    """Both kinds of layers of DeepSeek-V4, shared experts included, as transformers computes them."""
    golden = root / "tests/data/models/tiny-deepseek-v4"
    expected = mxfp4.open(golden / "mlps.safetensors")
    token_ids = expected["token_ids"]
    for number in range(2):
        x, y = expected[f"layers.{number}.x"], expected[f"layers.{number}.output"]
        mlp = mxfp4.Mlp.from_checkpoint(golden / "deepseek-v4", number)
        np.testing.assert_allclose(mlp(x, token_ids), y, atol=1e-5 * np.abs(y).max())
        np.testing.assert_array_equal(mlp(x[:, None, :], token_ids.astype(np.int64)[:, None])[:, 0], mlp(x, token_ids))
        if number == 0:
            assert mlp.nbytes > mxfp4.Experts.from_checkpoint(golden / "deepseek-v4", number).nbytes
            with pytest.raises(ValueError, match="0 token ids for 13 tokens"):
                mlp(x)
        else:
            np.testing.assert_array_equal(mlp(x), mlp(x, token_ids))
        with pytest.raises(ValueError, match="Mlp: 3 token ids for 13 tokens"):
            mlp(x, token_ids[:3])


def test_experts_take_and_give_tensors_of_torchs(layer):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    experts = mxfp4.Experts(layer.gate_up, layer.down, activation="int8")
    x, ids, weights = torch.from_numpy(layer.x).bfloat16(), torch.from_numpy(layer.ids), torch.from_numpy(layer.weights)
    y = experts(x, ids, weights.bfloat16())
    assert y.dtype == torch.bfloat16 and y.shape == x.shape
    same = experts(layer.x.astype(ml_dtypes.bfloat16), layer.ids, weights.bfloat16().float().numpy())
    np.testing.assert_array_equal(y.view(torch.int16).numpy(), same.view(np.int16))
    router = mxfp4.Router(torch.ones(E, H, dtype=torch.bfloat16), top_k=2)
    ids, weights = router(x)
    assert (ids.dtype, weights.dtype) == (torch.int32, torch.float32)
    assert ids.tolist() == [[0, 1]] * T  # ties to the lower index
    with pytest.raises(ValueError, match="no gradient"):
        experts(x.float().requires_grad_(), ids, weights)


def test_ids_and_stacks_that_cannot_be_are_refused():
    stack = mxfp4.quantize(np.ones((2, 64, 64), np.float32))
    experts, x = mxfp4.Experts((stack, stack), stack), np.ones((1, 64), np.float32)
    for ids in ([[0.5]], [[2**32]]):
        with pytest.raises(ValueError, match="values that int32 does not hold: (0.5|4294967296)"):
            experts(x, np.array(ids), np.ones((1, 1)))
    np.testing.assert_array_equal(experts(x, np.array([[1.0]]), np.ones((1, 1))), experts(x, [[1]], [[1]]))
    with pytest.raises(ValueError, match="3 Tensors and 2 biases, not a pair each"):
        mxfp4.Experts((stack,) * 3, stack)
