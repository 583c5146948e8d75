"""convert to FP8 and NVFP4: the same values or nothing, judged by readers in numpy and by compressed-tensors itself."""

import importlib.util
import json
import re

import ml_dtypes
import numpy as np
import pytest

import reference
from checkpoints import Model, tree_bytes, write_safetensors

FORMATS = ["fp8", "nvfp4"]
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def codes_in(packed):
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def values_of(packed, scales):
    """Values [N, K], exact in float64; with the signs of zeros."""
    return reference.values_of(codes_in(packed).reshape(*scales.shape, 32), scales).reshape(scales.shape[0], -1)


def fp8(model, module):
    """The description: {module}.weight times the scale of its tile of 128 x 128."""
    codes = model[module + ".weight"]
    assert codes.dtype == ml_dtypes.float8_e4m3fn
    name = module + (".scale" if module + ".scale" in model.tensors else ".weight_scale_inv")
    scales = model[name].astype(np.float64)
    assert scales.shape == tuple(-(-size // 128) for size in codes.shape)
    tiles = scales.repeat(128, axis=0).repeat(128, axis=1)[: codes.shape[0], : codes.shape[1]]
    return codes.astype(np.float64) * tiles


def nvfp4(model, module):
    """The description: a code times the E4M3 scale of its 16 elements, over the weight's own number."""
    packed, scales, number = (model[f"{module}.weight_{part}"] for part in ("packed", "scale", "global_scale"))
    assert (packed.dtype, scales.dtype, number.dtype) == (np.uint8, ml_dtypes.float8_e4m3fn, np.float32)
    assert number.shape == (1,) and scales.shape == (packed.shape[0], packed.shape[1] // 8)
    codes = codes_in(packed)
    values = reference.VALUES[codes & 7] * np.where(codes & 8, -1.0, 1.0)
    return values * (scales.astype(np.float64) / number.astype(np.float64)).repeat(16, axis=1)


READ = {"fp8": fp8, "nvfp4": nvfp4}


def write_model(path, weights, others=None, config=CONFIG):
    """Weights as {module: (packed codes, scale bytes)}, as compressed-tensors has them."""
    tensors = dict(others or {})
    for module, (packed, scales) in weights.items():
        tensors |= {f"{module}.weight_packed": np.asarray(packed, np.uint8), f"{module}.weight_scale": np.asarray(scales, np.uint8)}
    path.mkdir()
    write_safetensors(path / "model.safetensors", dict(sorted(tensors.items())))
    quantization = {"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized", "ignore": ["lm_head"]}
    (path / "config.json").write_text(json.dumps({**config, "quantization_config": quantization}))
    return path


def same(found, expected):
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


def random_weight(random, rows, blocks, low, high):
    return random.integers(0, 256, (rows, blocks * 16), np.uint8), random.integers(low, high + 1, (rows, blocks), np.uint8)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("low, high", [(100, 114), (0, 14), (240, 254), (0, 0)])
def test_every_value_is_the_same(mxfp4, tmp_path, format, low, high):
    """Ragged tiles, several units of work, the ends of the scales' range."""
    random = np.random.default_rng(low)
    weights = {f"model.layers.0.mlp.{name}_proj": random_weight(random, rows, blocks, low, high) for name, rows, blocks in [("down", 300, 5), ("up", 1, 1), ("gate", 129, 4)]}
    weights["model.layers.0.self_attn.o_proj"] = random_weight(random, 600, 100, low, high)
    norm = {"model.norm.weight": random.normal(size=7).astype(ml_dtypes.bfloat16)}
    source = write_model(tmp_path / "in", weights, norm)
    report = mxfp4.json("convert", source, tmp_path / "out", "--format", format)
    assert report["ok"] and report["verified"] and report["totals"]["reencoded"] == 4
    made = Model(tmp_path / "out")
    for module, (packed, scales) in weights.items():
        assert same(READ[format](made, module), values_of(packed, scales)), module
    assert same(made["model.norm.weight"], norm["model.norm.weight"])
    assert mxfp4.json("inspect", tmp_path / "out")["convention"] == format
    assert mxfp4.json("verify", tmp_path / "out")["ok"]
    assert mxfp4.json("diff", source, tmp_path / "out", "--values")["equal"]
    # Threads and shards do not matter, and a dry run says the same.
    options = ["--format", format, "--max-shard", "100K", "--threads", "1"]
    mxfp4("convert", source, tmp_path / "again", *options, "--no-verify")
    again = Model(tmp_path / "again")
    assert len(again.files) > 3 and all(same(tensor.view(np.uint8), again[name].view(np.uint8)) for name, tensor in made.tensors.items() if tensor.ndim)
    mxfp4("convert", source, tmp_path / "resumed", *options, "--resume")
    assert tree_bytes(tmp_path / "resumed") == tree_bytes(tmp_path / "again")
    planned = mxfp4.json("convert", source, tmp_path / "dry", "--format", format, "--dry-run")
    assert planned["tensors"] == report["tensors"] and not (tmp_path / "dry").exists()
    # And dequantize expands it to what it makes of MXFP4.
    mxfp4("dequantize", tmp_path / "out", tmp_path / "bf16", "--dtype", "bf16")
    mxfp4("dequantize", source, tmp_path / "expected", "--dtype", "bf16")
    assert mxfp4.json("diff", tmp_path / "bf16", tmp_path / "expected")["equal"]


def block(value):
    return np.full(16, value, np.uint8)


ONE, HALF, NOTHING, MINUS_NOTHING = 0x22, 0x11, 0x00, 0x88


def two_blocks(low_code, low_scale, high_scale=120):
    """A matrix of two blocks: of sixes with one scale, of anything with another."""
    return np.concatenate([block(0x77), block(low_code)])[None], np.array([[high_scale, low_scale]])


@pytest.mark.parametrize(
    "format, low_code, distance, exact",
    [
        ("fp8", HALF, 14, True), ("fp8", HALF, 15, False), ("fp8", ONE, 15, True), ("fp8", ONE, 16, False),
        ("fp8", 0x66, 17, True), ("fp8", 0x66, 18, False), ("fp8", 0x77, 16, True), ("fp8", 0x77, 17, False),
        ("nvfp4", HALF, 17, True), ("nvfp4", HALF, 18, False), ("nvfp4", 0x66, 18, False),
        *((format, zero, 100, True) for format in FORMATS for zero in (NOTHING, MINUS_NOTHING)),
    ],
)  # fmt: skip
def test_the_range_of_scales(mxfp4, tmp_path, format, low_code, distance, exact):
    weight = two_blocks(low_code, 120 - distance)
    source = write_model(tmp_path / "in", {"a_proj": weight})
    report = mxfp4.json("convert", source, tmp_path / "out", "--format", format, status=0 if exact else 1)
    assert report["ok"] == exact
    if exact:
        assert same(READ[format](Model(tmp_path / "out"), "a_proj"), values_of(*weight))
    else:
        (inexact,) = report["inexact"]
        assert (inexact["tensor"], inexact["blocks"], inexact["row"], inexact["block"]) == ("a_proj.weight", 1, 0, 1)
        assert f"2^{120 - distance - 127}" in inexact["message"] and "2^-7" in inexact["message"]
        assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("format", FORMATS)
def test_nan_and_zeros(mxfp4, tmp_path, format):
    zeros = np.concatenate([block(NOTHING), block(MINUS_NOTHING)])[None]
    for number, (low, high) in enumerate([(0, 254), (254, 0), (120, 120)]):  # whatever the scales of zeros
        source = write_model(tmp_path / f"in{number}", {"a_proj": (zeros, [[low, high]]), "b_proj": two_blocks(ONE, 117, 119)})
        mxfp4("convert", source, tmp_path / f"out{number}", "--format", format)
        assert same(READ[format](Model(tmp_path / f"out{number}"), "a_proj"), np.concatenate([np.zeros(32), -np.zeros(32)])[None])
    source = write_model(tmp_path / "nan", {"a_proj": (zeros, [[120, 255]])})
    (inexact,) = mxfp4.json("convert", source, tmp_path / "out", "--format", format, status=1)["inexact"]
    assert "NaN" in inexact["message"] and inexact["block"] == 1
    text = mxfp4("convert", source, tmp_path / "out", "--format", format, "--dry-run", status=1).out
    assert "1 block, the first in row 0, block 1" in text and "nothing was written" in text


def test_every_block_that_is_not_exact_is_counted(mxfp4, tmp_path):
    random = np.random.default_rng(5)
    packed, scales = random_weight(random, 400, 9, 100, 130)
    packed |= 0x11  # no zeros: halves in every block
    source = write_model(tmp_path / "in", {"a_proj": (packed, scales), "b_proj": random_weight(random, 3, 1, 120, 120)})
    tiles = np.zeros_like(scales, dtype=int)
    for row in range(0, 400, 128):
        for column in range(0, 9, 4):
            tile = np.s_[row : row + 128, column : column + 4]
            tiles[tile] = scales[tile].max() - 6
    wanted = reference.values_of(codes_in(packed).reshape(400, 9, 32), scales - tiles + 127)
    expected = {"nvfp4": scales.max().astype(int) - scales > 17, "fp8": (wanted.astype(ml_dtypes.float8_e4m3fn) != wanted).any(-1)}
    for format in FORMATS:
        (inexact,) = mxfp4.json("convert", source, tmp_path / "out", "--format", format, "--dry-run", status=1)["inexact"]
        assert [inexact["row"], inexact["block"]] == list(np.argwhere(expected[format])[0])
        assert inexact["blocks"] == expected[format].sum()


def test_weights_that_readers_join_share_a_global_scale(mxfp4, tmp_path):
    random = np.random.default_rng(6)
    weights = {f"l.{name}_proj": random_weight(random, 4, 2, low, low) for name, low in [("q", 110), ("k", 115), ("v", 120), ("o", 100), ("gate", 105), ("up", 112), ("down", 90)]}
    source = write_model(tmp_path / "in", weights)
    mxfp4("convert", source, tmp_path / "out", "--format", "nvfp4")
    made = Model(tmp_path / "out")
    largest = {"q": 120, "k": 120, "v": 120, "o": 100, "gate": 112, "up": 112, "down": 90}
    assert {name: made[f"l.{name}_proj.weight_global_scale"][0] for name in largest} == {name: 2.0 ** (8 + 127 - byte) for name, byte in largest.items()}
    for module, weight in weights.items():
        assert same(nvfp4(made, module), values_of(*weight)), module


def test_configs(mxfp4, tmp_path):
    source = write_model(tmp_path / "in", {"a_proj": two_blocks(ONE, 117)}, {"b_proj.weight": np.ones((4, 32), ml_dtypes.bfloat16)})
    mxfp4("convert", source, tmp_path / "fp8", "--format", "fp8")
    assert Model(tmp_path / "fp8").config["quantization_config"] == {
        "activation_scheme": "dynamic", "fmt": "e4m3", "modules_to_not_convert": ["b_proj"], "quant_method": "fp8", "weight_block_size": [128, 128],
    }  # fmt: skip
    mxfp4("convert", source, tmp_path / "nvfp4", "--format", "nvfp4")
    config = Model(tmp_path / "nvfp4").config["quantization_config"]
    assert (config["quant_method"], config["format"], config["ignore"]) == ("compressed-tensors", "nvfp4-pack-quantized", ["b_proj"])
    assert config["config_groups"]["group_0"]["weights"] == {
        "dynamic": False, "group_size": 16, "num_bits": 4, "scale_dtype": "torch.float8_e4m3fn", "strategy": "tensor_group", "symmetric": True, "type": "float",
    }  # fmt: skip


def test_deepseek_keeps_what_is_fp8_already(mxfp4, golden, tmp_path):
    model = golden / "tiny-deepseek-v4/deepseek-v4"
    report = mxfp4.json("convert", model, tmp_path / "out", "--format", "fp8")
    assert report["totals"]["expanded"] == 0 and report["totals"]["reencoded"] == 30
    before, after = Model(model), Model(tmp_path / "out")
    assert set(after.tensors) == set(before.tensors)
    for name, tensor in before.tensors.items():
        if ".ffn.experts." not in name:
            assert same(after[name].view(np.uint8), tensor.view(np.uint8)), name
        elif name.endswith(".weight"):
            module = name.removesuffix(".weight")
            expected = values_of(tensor.view(np.uint8), before[module + ".scale"].view(np.uint8))
            assert after[module + ".scale"].dtype == ml_dtypes.float8_e8m0fnu and same(fp8(after, module), expected), name
    assert after.config["expert_dtype"] == "fp8" and after.config["quantization_config"]["scale_fmt"] == "ue8m0"
    assert mxfp4.json("verify", tmp_path / "out")["ok"]
    assert mxfp4.json("diff", model, tmp_path / "out", "--values")["equal"]


@pytest.mark.parametrize(
    "format, lost",
    [("fp8", "weight"), ("fp8", "weight_scale_inv"), ("nvfp4", "weight_packed"), ("nvfp4", "weight_scale")],
)
def test_a_missing_tensor_is_told(mxfp4, tmp_path, format, lost):
    source = write_model(tmp_path / "in", {"a_proj": two_blocks(ONE, 117), "b_proj": two_blocks(ONE, 117)})
    mxfp4("convert", source, tmp_path / "out", "--format", format)
    tensors = {name: tensor for name, tensor in Model(tmp_path / "out").tensors.items() if name != "a_proj." + lost}
    write_safetensors(tmp_path / "out/model.safetensors", tensors)
    problems = mxfp4.json("verify", tmp_path / "out", status=1)["problems"]
    assert problems and all(problem["kind"] == "missing" and "a_proj" in problem["message"] for problem in problems)
    assert mxfp4.json("dequantize", tmp_path / "out", tmp_path / "bf16", status=3)["error"]["code"] == "corrupt_file"


def test_what_cannot_be_done_with_the_result(mxfp4, tmp_path):
    source = write_model(tmp_path / "in", {"a_proj": two_blocks(ONE, 117)})
    mxfp4("convert", source, tmp_path / "fp8", "--format", "fp8")
    assert "dequantize" in mxfp4.json("convert", tmp_path / "fp8", tmp_path / "out", "--format", "mlx", status=2)["error"]["message"]
    assert "dequantize" in mxfp4.json("quantize", tmp_path / "fp8", tmp_path / "out", status=3)["error"]["message"]


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="the PyPI packages transformers and torch are not installed")
def test_transformers_computes_the_same_from_fp8(mxfp4, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, FineGrainedFP8Config, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=128, intermediate_size=256, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=64, vocab_size=64)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "dense")
    mxfp4("quantize", tmp_path / "dense", tmp_path / "in")
    mxfp4("convert", tmp_path / "in", tmp_path / "fp8", "--format", "fp8")
    mxfp4("dequantize", tmp_path / "in", tmp_path / "bf16")
    load = {"fp8": {"quantization_config": FineGrainedFP8Config(dequantize=True)}, "bf16": {}}
    ids = torch.arange(16)[None]
    fp8, bf16 = (AutoModelForCausalLM.from_pretrained(tmp_path / name, dtype=torch.bfloat16, **options)(ids).logits for name, options in load.items())
    assert torch.equal(fp8, bf16)


@pytest.mark.skipif(importlib.util.find_spec("compressed_tensors") is None, reason="the PyPI packages compressed-tensors and torch are not installed")
@pytest.mark.parametrize("format", ["compressed-tensors", "nvfp4"])
def test_compressed_tensors_finds_the_values(mxfp4, golden, tmp_path, format):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from safetensors.torch import load_file

    mxfp4("convert", golden / "tiny-llama/quark", tmp_path / "ct", "--format", format)
    mxfp4("dequantize", golden / "tiny-llama/quark", tmp_path / "bf16", "--dtype", "bf16")
    config = QuantizationConfig.model_validate(Model(tmp_path / "ct").config["quantization_config"])
    (scheme,) = config.config_groups.values()
    expected = Model(tmp_path / "bf16")
    tensors = load_file(tmp_path / "ct/model.safetensors")
    compressor = BaseCompressor.get_value_from_registry(config.format)
    modules = [name.removesuffix(".weight_packed") for name in tensors if name.endswith(".weight_packed")]
    assert len(modules) == 12
    for module in modules:
        own = {name.removeprefix(module + "."): tensor for name, tensor in tensors.items() if re.fullmatch(re.escape(module) + r"\.weight\w*", name)}
        found = compressor.decompress(own, scheme)["weight"].float().numpy()
        assert np.array_equal(found, expected[module + ".weight"].astype(np.float32)), module
