"""Checkpoints that other projects wrote: each is read to the values that its project finds, and reproduced."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import reference
from checkpoints import Model, same_bytes


@pytest.fixture(scope="module")
def gpt_oss(golden):
    return golden / "tiny-gpt-oss"


def test_quantise_with_reference_reproduces_every_expert_byte(mxfp4, gpt_oss, tmp_path):
    mxfp4("quantize", gpt_oss / "bf16", tmp_path / "out", "--reference", gpt_oss / "hf-mxfp4")
    expected, found = Model(gpt_oss / "hf-mxfp4"), Model(tmp_path / "out")
    assert expected.tensors.keys() == found.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert same_bytes(tensor, found[name]), name


def test_the_config_says_what_the_published_one_says(mxfp4, gpt_oss, tmp_path):
    mxfp4("quantize", gpt_oss / "bf16", tmp_path / "out")
    published = Model(gpt_oss / "hf-mxfp4").config["quantization_config"]
    found = Model(tmp_path / "out").config["quantization_config"]
    assert found["quant_method"] == published["quant_method"]
    assert sorted(found["modules_to_not_convert"]) == sorted(published["modules_to_not_convert"])


def test_every_block_of_a_dequantised_model_is_lossless(mxfp4, gpt_oss, tmp_path):
    totals = mxfp4.json("quantize", gpt_oss / "bf16", tmp_path / "out")["totals"]
    assert totals["lossless_blocks"] == totals["blocks"] > 0


def gate_and_up_in_turns(tensors, name):
    """What mlx stores apart."""
    gate, up = (tensors[name.replace("gate_up_proj", part) + ".weight"] for part in ("gate_proj", "up_proj"))
    return np.stack([gate, up], axis=2).reshape(gate.shape[0], -1, gate.shape[2])


@pytest.mark.parametrize("quantised", ["hf-mxfp4", "openai", "mlx", "native"])
def test_dequantise_reproduces_the_values_that_transformers_finds(mxfp4, gpt_oss, tmp_path, quantised):
    mxfp4("dequantize", gpt_oss / quantised, tmp_path / "out", *(["--dtype", "bf16"] if quantised == "native" else []))
    expected, found = Model(gpt_oss / "bf16"), Model(tmp_path / "out")
    compared = 0
    for layer in range(expected.config["num_hidden_layers"]):
        for part, number in (("gate_up_proj", 1), ("down_proj", 2)):
            name = f"model.layers.{layer}.mlp.experts.{part}"
            other = f"block.{layer}.mlp.mlp{number}_weight" if quantised == "openai" else name
            if quantised == "mlx":
                tensor = gate_and_up_in_turns(found, other) if "gate_up" in other else found[other + ".weight"]
            else:
                tensor = found[other]
            if quantised in ("openai", "mlx"):  # [E, N, K]
                tensor = tensor.swapaxes(1, 2)
            assert reference.same_values(expected[name], tensor), name
            compared += 1
    assert compared == 6


def test_dequantise_then_quantise_gives_the_published_bytes_back(mxfp4, gpt_oss, tmp_path):
    mxfp4("dequantize", gpt_oss / "hf-mxfp4", tmp_path / "bf16")
    mxfp4("quantize", tmp_path / "bf16", tmp_path / "out", "--reference", gpt_oss / "hf-mxfp4")
    expected, found = Model(gpt_oss / "hf-mxfp4"), Model(tmp_path / "out")
    assert all(same_bytes(tensor, found[name]) for name, tensor in expected.tensors.items())


def test_what_transformers_saves_under_the_wrong_names_is_read_as_unquantised(mxfp4, gpt_oss, tmp_path):
    assert mxfp4.json("inspect", gpt_oss / "bf16-as-saved")["convention"] == "gpt-oss-dense"
    mxfp4("quantize", gpt_oss / "bf16-as-saved", tmp_path / "out", "--reference", gpt_oss / "hf-mxfp4")
    expected, found = Model(gpt_oss / "hf-mxfp4"), Model(tmp_path / "out")
    assert expected.tensors.keys() == found.tensors.keys()
    assert all(same_bytes(tensor, found[name]) for name, tensor in expected.tensors.items())


@pytest.mark.parametrize("model, convention", [
    ("tiny-gpt-oss/hf-mxfp4", "gpt-oss"), ("tiny-gpt-oss/bf16", "gpt-oss-dense"), ("tiny-gpt-oss/openai", "openai"),
    ("tiny-gpt-oss/mlx", "mlx"), ("tiny-gpt-oss/native", "native"), ("tiny-llama/bf16", "dense"),
    ("tiny-llama/compressed-tensors", "compressed-tensors"), ("tiny-llama/quark", "quark"),
    ("tiny-llama/modelopt", "modelopt"), ("tiny-llama/mlx", "mlx"), ("tiny-deepseek-v4/deepseek-v4", "deepseek-v4"),
])  # fmt: skip
def test_inspect_knows_the_convention(mxfp4, golden, model, convention):
    assert mxfp4.json("inspect", golden / model)["convention"] == convention


DIGESTS = json.loads((Path(__file__).parent.parent / "data/models/digests.json").read_text())


@pytest.mark.parametrize("model", DIGESTS)
def test_dequantise_reproduces_the_values_that_the_project_finds(mxfp4, golden, tmp_path, model):
    mxfp4("dequantize", golden / model, tmp_path / "out", "--dtype", "f32")
    found = Model(tmp_path / "out")
    for name, digest in DIGESTS[model].items():
        assert hashlib.sha256((found[name] + np.float32(0)).tobytes()).hexdigest() == digest, name
    assert not {"quantization_config", "quantization", "expert_dtype"} & found.config.keys()
    assert not (tmp_path / "out/hf_quant_config.json").exists()


@pytest.mark.parametrize("model", ["tiny-gpt-oss/mlx", "tiny-gpt-oss/native", *DIGESTS])
def test_verify_finds_nothing_wrong(mxfp4, golden, model):
    assert mxfp4.json("verify", golden / model) == mxfp4.json("verify", golden / model, "--against", golden / model) | {"tensors": []}


def test_fp8_beside_mxfp4_is_expanded_too(mxfp4, golden, tmp_path):
    model = golden / "tiny-deepseek-v4/deepseek-v4"
    mxfp4("dequantize", model, tmp_path / "out")
    before, after = Model(model), Model(tmp_path / "out")
    names = [name for name, tensor in before.tensors.items() if tensor.dtype.name == "float8_e4m3fn"]
    assert len(names) == 14
    for name in names:
        (scale,) = before[name.replace(".weight", ".scale")].astype(np.float32).reshape(-1)
        assert same_bytes(after[name], reference.bf16(before[name].astype(np.float32) * scale)), name
        assert name.replace(".weight", ".scale") not in after.tensors


def test_a_llama_becomes_a_compressed_tensors_checkpoint(mxfp4, golden, tmp_path):
    report = mxfp4.json("quantize", golden / "tiny-llama/bf16", tmp_path / "out")
    before, after = Model(golden / "tiny-llama/bf16"), Model(tmp_path / "out")
    assert report["format"] == "compressed-tensors"
    linears = [n for n in before.tensors if n.endswith("_proj.weight")]
    assert len(linears) == 14
    for name in linears:
        codes, scales = reference.quantize(before[name])
        module = name.removesuffix(".weight")
        assert same_bytes(after[module + ".weight_packed"], codes.reshape(*before[name].shape[:-1], -1)), name
        assert same_bytes(after[module + ".weight_scale"], scales), name
    for name in set(before.tensors) - set(linears):
        assert same_bytes(after[name], before[name]), name
    config = after.config["quantization_config"]
    assert config["quant_method"] == "compressed-tensors"
    assert config["format"] == "mxfp4-pack-quantized"
    assert config["quantization_status"] == "compressed"
    assert config["ignore"] == ["lm_head"]
    (group,) = config["config_groups"].values()
    assert group["targets"] == ["Linear"]
    expected = Model(golden / "tiny-llama/compressed-tensors").config["quantization_config"]
    (golden_group,) = expected["config_groups"].values()
    assert group["format"] == golden_group["format"]
    for field in ("num_bits", "type", "strategy", "group_size", "symmetric", "scale_dtype"):
        assert group["weights"][field] == golden_group["weights"][field], field


def test_a_compressed_tensors_checkpoint_is_expanded_exactly(mxfp4, golden, tmp_path):
    mxfp4("dequantize", golden / "tiny-llama/compressed-tensors", tmp_path / "out")
    before, after = Model(golden / "tiny-llama/compressed-tensors"), Model(tmp_path / "out")
    packed = [name for name in before.tensors if name.endswith(".weight_packed")]
    assert packed
    for name in packed:
        module = name.removesuffix(".weight_packed")
        exact = reference.dequantize(before[name], before[module + ".weight_scale"], np.float32)
        assert same_bytes(after[module + ".weight"], reference.bf16(exact)), name
    assert after.tensors.keys() == Model(golden / "tiny-llama/bf16").tensors.keys()
    assert "quantization_config" not in after.config


def test_the_modules_that_a_config_leaves_alone_stay_alone(mxfp4, golden, tmp_path):
    """compressed-tensors kept lm_head and two projections of layer 0; expanding and quantising again keeps them if told so."""
    keep = ["model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.v_proj"]
    mxfp4("quantize", golden / "tiny-llama/bf16", tmp_path / "out", *(x for k in keep for x in ("--exclude", k)))
    found, expected = Model(tmp_path / "out"), Model(golden / "tiny-llama/compressed-tensors")
    assert found.tensors.keys() == expected.tensors.keys()
    assert {n: t.shape for n, t in found.tensors.items()} == {n: t.shape for n, t in expected.tensors.items()}
    ignore = expected.config["quantization_config"]["ignore"]
    assert sorted(found.config["quantization_config"]["ignore"]) == sorted(ignore)


def test_a_shard_that_is_missing_is_named(mxfp4, gpt_oss, tmp_path):
    shutil.copytree(gpt_oss / "hf-mxfp4", tmp_path / "in")
    (tmp_path / "in/model-00002-of-00003.safetensors").unlink()
    for verb in (["inspect", tmp_path / "in"], ["dequantize", tmp_path / "in", tmp_path / "out"]):
        result = mxfp4(*verb, "--json", status=3)
        assert "model-00002-of-00003.safetensors" in result.json["error"]["message"]
    assert not (tmp_path / "out").exists()
