"""The same with torch's tensors."""

from pathlib import Path

import numpy as np
import pytest

import mxfp4

torch = pytest.importorskip("torch", reason="torch is not installed")

from safetensors.torch import save_file  # noqa: E402

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture
def w():
    return torch.randn(8, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_tensors_are_quantised_where_they_lie(w, dtype, axis: int):
    x = w.to(dtype)
    t, expected = mxfp4.quantize(x, axis=axis), mxfp4.quantize(x.float().numpy(), axis=axis)
    np.testing.assert_array_equal(t.codes, expected.codes)
    np.testing.assert_array_equal(t.scales, expected.scales)
    assert mxfp4.error_stats(x, t) == mxfp4.error_stats(x.float().numpy(), t)
    np.testing.assert_array_equal(mxfp4.quantize(x.T, axis=1 - axis).codes, t.codes)


def test_a_parameter_is_its_data(w):
    np.testing.assert_array_equal(mxfp4.quantize(torch.nn.Parameter(w)).codes, mxfp4.quantize(w).codes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_come_as_tensors(w, dtype):
    t = mxfp4.quantize(w)
    expected = torch.from_numpy(t.dequantize()).to(dtype)
    assert torch.equal(t.torch(dtype), expected)
    out = torch.empty_like(expected)
    assert mxfp4.dequantize(t, out=out) is out and torch.equal(out, expected)
    codes, scales = torch.from_numpy(t.codes), torch.from_numpy(t.scales)
    assert torch.equal(mxfp4.dequantize(codes, scales, dtype=dtype), expected)
    blocks = codes.reshape(2, 4, 3, 16)  # gpt-oss's experts, and what transformers makes of them
    turned = mxfp4.dequantize(blocks, scales.reshape(2, 4, 3), dtype=dtype, transpose=True)
    assert torch.equal(turned, expected.reshape(2, 4, 96).transpose(1, 2)) and turned.is_contiguous()


def test_views_have_torchs_own_dtypes(w):
    t = mxfp4.quantize(w)
    codes, scales = t.torch_views()
    assert (codes.dtype, scales.dtype) == (torch.float4_e2m1fn_x2, torch.float8_e8m0fnu)
    assert codes.data_ptr() == t.codes.ctypes.data and scales.data_ptr() == t.scales.ctypes.data
    again = mxfp4.Tensor(codes, scales)
    assert np.shares_memory(again.codes, t.codes) and np.shares_memory(again.scales, t.scales)
    each = scales.float().repeat_interleave(32, -1)
    assert torch.equal(torch.from_numpy(t.dequantize()) / each, torch.from_numpy(t.dequantize()) * (1 / each))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_takes_and_gives_tensors(w, dtype):
    x = torch.randn(2, 3, 96, generator=torch.Generator().manual_seed(2)).to(dtype)
    bias = torch.arange(8.0)
    t = mxfp4.quantize(w)
    y = mxfp4.Linear(t, bias)(x)
    assert (y.dtype, y.shape) == (dtype, (2, 3, 8))
    expected = mxfp4.Linear(t, bias.numpy())(x.float().numpy())  # of the same values, before they are rounded
    assert torch.equal(y, torch.from_numpy(expected).to(dtype))


def test_a_gradient_is_refused_until_there_is_one(w):
    layer, x = mxfp4.Linear(mxfp4.quantize(w)), torch.ones(96, requires_grad=True)
    with pytest.raises(ValueError, match="no gradient"):
        layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x.detach()))


def test_tensors_elsewhere_are_refused_with_what_to_do():
    for call in (mxfp4.quantize, mxfp4.Linear(mxfp4.quantize(torch.zeros(2, 32)))):
        with pytest.raises(ValueError, match=r"x lives on meta: this computes on the CPU, so pass x.cpu\(\)"):
            call(torch.zeros(2, 32, device="meta"))


def test_what_is_no_array_over_the_file_is_torchs_too(tmp_path):
    models = Path(__file__).parent.parent / "data/models"
    gguf = models / "tiny-gpt-oss/gguf/llama-quantize.gguf"
    q8 = mxfp4.open(gguf, framework="torch")["lm_head.weight"]
    assert q8.dtype == torch.float32 and torch.equal(q8, torch.from_numpy(mxfp4.open(gguf)["lm_head.weight"]))
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.arange(24, dtype=torch.uint8).reshape(3, 8).view(torch.float4_e2m1fn_x2)}, path)
    alone = mxfp4.open(path, framework="torch")["w"]
    assert alone.dtype == torch.float4_e2m1fn_x2 and alone.view(torch.uint8).flatten().tolist() == list(range(24))


def test_codes_and_scales_of_torchs_own_dtypes_are_a_tensor_in_a_file(w, tmp_path):
    t = mxfp4.quantize(w)
    codes, scales = t.torch_views()
    save_file({"layer.weight": codes, "layer.weight_scale": scales}, tmp_path / "x.safetensors")
    again = mxfp4.open(tmp_path / "x.safetensors")
    assert list(again) == ["layer.weight"] and again["layer.weight"].shape == (8, 96)
    np.testing.assert_array_equal(again["layer.weight"].codes, t.codes)
    with pytest.raises(ValueError, match="'w' is float4_e2m1fn_x2: codes are saved with their scales"):
        mxfp4.save(tmp_path / "y.safetensors", {"w": codes})


def test_what_torch_keeps_otherwise_is_saved_as_its_values_or_refused(w, tmp_path):
    path = tmp_path / "x.safetensors"
    minus = torch.complex(w, w).conj().imag  # numbers with a bit that says: take them as negative
    assert minus.is_neg()
    mxfp4.save(path, {"w": minus})
    np.testing.assert_array_equal(mxfp4.open(path)["w"], -w.numpy())
    np.testing.assert_array_equal(mxfp4.quantize(minus).codes, mxfp4.quantize(-w).codes)
    for value, said in ((w.to_sparse(), "torch.sparse_coo: pass it as .to_dense"), (w.to(torch.complex128), "complex128")):
        with pytest.raises(ValueError, match=f"'w' is {said}"):
            mxfp4.save(path, {"w": value}, overwrite=True)


def test_numbers_that_are_few_may_ask_for_a_gradient(w):
    importance = torch.rand(96, requires_grad=True)
    np.testing.assert_array_equal(
        mxfp4.quantize(w, importance=importance).codes, mxfp4.quantize(w, importance=importance.detach().numpy()).codes
    )


def test_other_dtypes_are_no_codes_and_no_scales(w):
    t = mxfp4.quantize(w)
    for codes, scales, said in (
        (w, t.scales, "codes: float32 is none of uint8, int8, float4_e2m1fn_x2"),
        (t.codes, w.to(torch.float8_e4m3fn), "scales: float8_e4m3fn is none of uint8, float8_e8m0fnu"),
        (torch.zeros(8, 48, dtype=torch.uint8, device="meta"), t.scales, "codes: lives on meta"),
    ):
        with pytest.raises(ValueError, match=said):
            mxfp4.Tensor(codes, scales)


def test_checkpoints_are_read_and_written(w, tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {
        f"t.{dtype}": w.abs().to(dtype)
        for dtype in (*DTYPES, torch.float64, torch.int32, torch.bool, torch.float8_e4m3fn, torch.float8_e8m0fnu)
    }
    tensors["scalar"], tensors["turned"] = torch.tensor(3), w.T
    mxfp4.save(path, {**tensors, "q": mxfp4.quantize(w)})
    again = mxfp4.open(path, framework="torch")
    for name, value in tensors.items():
        assert again[name].dtype == value.dtype and again[name].shape == value.shape
        assert torch.equal(again[name].contiguous().flatten().view(torch.uint8), value.contiguous().flatten().view(torch.uint8))
    again["turned"][0] = 0  # its own memory
    codes, _ = again["q"].torch_views()
    codes.view(torch.uint8)[0] = 0  # a copy, as the file is read-only
    assert again["q"].codes.any()
