"""convert: every convention from every other, judged by a reader of their descriptions and by the projects themselves."""

import importlib.util
import itertools
import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import reference
from checkpoints import Model, tree_bytes, write_safetensors
from layouts import SUFFIXES, pieces

GPT_OSS = {"gpt-oss": "hf-mxfp4", "openai": "openai", "mlx": "mlx"}
LLAMA = ["compressed-tensors", "quark", "modelopt"]


def same(a, b):
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    for name, tensor in a.items():
        assert tensor.shape == b[name].shape and tensor.tobytes() == b[name].tobytes(), name


@pytest.fixture(scope="module")
def truth(golden):
    """The blocks and numbers of the golden gpt-oss, and of the golden Llamas."""
    return pieces(golden / "tiny-gpt-oss/hf-mxfp4", "gpt-oss")


@pytest.mark.parametrize("source", GPT_OSS)
def test_the_reader_of_the_descriptions_finds_the_same_in_every_golden_gpt_oss(golden, truth, source):
    same(pieces(golden / "tiny-gpt-oss" / GPT_OSS[source], source), truth)


@pytest.mark.parametrize("format", [f for f in SUFFIXES if f != "deepseek-v4"])
@pytest.mark.parametrize("source", GPT_OSS)
def test_gpt_oss_in_every_convention(mxfp4, golden, truth, tmp_path, source, format):
    if source == format:
        result = mxfp4.json("convert", golden / "tiny-gpt-oss" / GPT_OSS[source], tmp_path / "out", "--format", format, status=2)
        assert "already" in result["error"]["message"]
        return
    report = mxfp4.json("convert", golden / "tiny-gpt-oss" / GPT_OSS[source], tmp_path / "out", "--format", format)
    assert report["verified"] and report["from"] == source and report["totals"]["blocks"] == 10368
    same(pieces(tmp_path / "out", format), truth)
    assert mxfp4.json("inspect", tmp_path / "out")["convention"] == format
    verified = mxfp4.json("verify", tmp_path / "out")
    assert verified["ok"], verified


@pytest.mark.parametrize("format", ["linear", *LLAMA, "mlx", "native"])
@pytest.mark.parametrize("source", [*LLAMA, "mlx"])
def test_llama_in_every_convention(mxfp4, golden, tmp_path, source, format):
    model = golden / "tiny-llama" / source
    if source == format:
        return
    if source == "mlx" and format in LLAMA:
        result = mxfp4("convert", model, tmp_path / "out", "--format", format, "--json", status=3).json
        assert result["error"]["code"] == "unsupported" and "embed_tokens" in result["error"]["message"]
        return
    mxfp4("convert", model, tmp_path / "out", "--format", format)
    same(pieces(tmp_path / "out", format), pieces(model, source))
    assert mxfp4.json("verify", tmp_path / "out")["ok"]
    key = {"compressed-tensors": "ignore", "quark": "exclude", "modelopt": "ignore"}.get(format)
    if key:  # what is not quantised is listed
        before = Model(model)
        dense = {n.removesuffix(".weight") for n in before.tensors if n.endswith("_proj.weight") and before[n].dtype != np.uint8}
        assert set(Model(tmp_path / "out").config["quantization_config"][key]) == dense | {"lm_head"}


@pytest.mark.parametrize("format", [f for f in SUFFIXES if f not in ("gpt-oss", "openai", "deepseek-v4")])
def test_deepseek_there_and_back(mxfp4, golden, tmp_path, format):
    model = golden / "tiny-deepseek-v4/deepseek-v4"
    report = mxfp4.json("convert", model, tmp_path / "out", "--format", format)
    assert report["totals"]["expanded"] == 14
    mxfp4("convert", tmp_path / "out", tmp_path / "back", "--format", "deepseek-v4")
    before, after = Model(model), Model(tmp_path / "back")
    experts = [name for name in before.tensors if ".experts." in name]
    assert len(experts) == 60
    for name in experts:
        assert before[name].dtype == after[name].dtype and before[name].tobytes() == after[name].tobytes(), name
    assert after.config["expert_dtype"] == "fp4" and "expert_dtype" not in Model(tmp_path / "out").config


def test_configs_say_the_same_again(mxfp4, golden, tmp_path):
    """From gpt-oss's own release to transformers' terms and back, and MLX's two keys."""
    mxfp4("convert", golden / "tiny-gpt-oss/openai", tmp_path / "gpt-oss", "--format", "gpt-oss")
    published = Model(golden / "tiny-gpt-oss/hf-mxfp4").config
    made = Model(tmp_path / "gpt-oss").config
    unknown = {"bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "output_router_logits", "router_aux_loss_coef", "transformers_version", "use_cache"}
    assert made == {key: value for key, value in published.items() if key not in unknown}
    mxfp4("convert", tmp_path / "gpt-oss", tmp_path / "openai", "--format", "openai")
    assert Model(tmp_path / "openai").config == Model(golden / "tiny-gpt-oss/openai").config
    mxfp4("convert", tmp_path / "gpt-oss", tmp_path / "mlx", "--format", "mlx", "--max-shard", "100K")
    theirs = Model(golden / "tiny-gpt-oss/mlx").config
    assert Model(tmp_path / "mlx").config["quantization"] == theirs["quantization"]
    assert Model(tmp_path / "mlx").config["quantization_config"] == theirs["quantization_config"]
    ours, theirs = (json.loads((path / "model.safetensors.index.json").read_text())["metadata"] for path in (tmp_path / "mlx", golden / "tiny-gpt-oss/mlx"))
    sinks = 3 * 4  # mlx-lm counts those of leaf modules only
    assert ours == {"total_size": theirs["total_size"], "total_parameters": theirs["total_parameters"] + sinks}


@pytest.mark.parametrize("project", LLAMA)
def test_quantization_configs_are_those_of_the_projects(mxfp4, golden, tmp_path, project):
    other = "quark" if project != "quark" else "modelopt"
    mxfp4("convert", golden / "tiny-llama" / project, tmp_path / "other", "--format", other)
    mxfp4("convert", tmp_path / "other", tmp_path / "out", "--format", project)
    ours, theirs = (Model(path).config["quantization_config"] for path in (tmp_path / "out", golden / "tiny-llama" / project))
    lists = [config.pop("exclude" if project == "quark" else "ignore") for config in (ours, theirs)]
    assert ours == theirs
    if project == "modelopt":  # which lists globs, and embeddings
        assert (tmp_path / "out/hf_quant_config.json").exists()
    else:
        assert sorted(lists[0]) == sorted(lists[1])


def test_a_dry_run_writes_nothing_and_says_what_would_be(mxfp4, golden, tmp_path):
    source = golden / "tiny-gpt-oss/hf-mxfp4"
    planned = mxfp4.json("convert", source, tmp_path / "out", "--format", "mlx", "--dry-run")
    assert list(tmp_path.iterdir()) == []
    made = mxfp4.json("convert", source, tmp_path / "out", "--format", "mlx")
    assert planned["tensors"] == made["tensors"] and "verified" not in planned
    assert {t["action"] for t in made["tensors"]} == {"moved", "kept"}
    assert mxfp4("convert", source, tmp_path / "out", "--format", "mlx", status=2)


def test_resume_goes_on_to_the_same_bytes(mxfp4, golden, tmp_path):
    source = tmp_path / "in"
    mxfp4("synth", source, "--like", "tiny", "--dtype", "mxfp4")
    options = ["--format", "native", "--max-shard", "100K", "--threads", "1"]
    mxfp4("convert", source, tmp_path / "whole", *options)
    mxfp4("convert", source, tmp_path / "other", *options, "--no-verify")
    assert tree_bytes(tmp_path / "whole") == tree_bytes(tmp_path / "other")
    # What a run that was cut short leaves: some of the shards, and the journal. --resume begins where nothing was begun.
    mxfp4("convert", source, tmp_path / "resumed", *options, "--resume")
    assert tree_bytes(tmp_path / "resumed") == tree_bytes(tmp_path / "whole")


def test_memory_is_bounded(mxfp4, tmp_path):
    """200 MB of one layer's experts, taken apart and put together, in a fraction of that."""
    if mxfp4.sanitizers:
        pytest.skip("a sanitizer's own memory counts as the program's")
    experts, rows, blocks = 16, 5760, 90
    layer = "model.layers.0.mlp.experts.gate_up_proj"
    tensors = {layer + "_blocks": np.full((experts, rows, blocks, 16), 0x35, np.uint8), layer + "_scales": np.full((experts, rows, blocks), 120, np.uint8)}
    (tmp_path / "in").mkdir()
    write_safetensors(tmp_path / "in/model.safetensors", tensors)
    (tmp_path / "in/config.json").write_text(json.dumps({"model_type": "gpt_oss"}))
    source = tmp_path / "in"
    for format in ("compressed-tensors", "mlx", "gpt-oss"):
        report = mxfp4.json("convert", source, tmp_path / format, "--format", format, "--max-memory", "48M", "--threads", 2)
        source = tmp_path / format
        assert report["totals"]["peak_memory_bytes"] < 48 << 20, report["totals"]
    assert (source / "model.safetensors").read_bytes()[-1000:] == (tmp_path / "in/model.safetensors").read_bytes()[-1000:]


def test_usage_errors(mxfp4, golden, tmp_path):
    model = golden / "tiny-gpt-oss/hf-mxfp4"
    for arguments in ([model, tmp_path / "out"], [model, tmp_path / "out", "--format", "nonsense"], [model, tmp_path / "out", "--format", "mlx", "--from", "x"],
                      [model, tmp_path / "out.safetensors", "--format", "mlx"], [model, tmp_path / "out", "--format", "mlx", "--from", "linear"]):  # fmt: skip
        assert mxfp4.json("convert", *arguments, status=2)["error"]["code"] == "invalid_argument"
    assert mxfp4.json("convert", golden / "tiny-llama/bf16", tmp_path / "out", "--format", "mlx", status=2)["error"]["code"] == "invalid_argument"
    assert list(tmp_path.iterdir()) == []


def affine_model(path, bits=8):
    """What mlx-lm makes of gpt-oss: MXFP4 beside affine words of its own."""
    random = np.random.default_rng(1)
    codes = random.integers(0, 2**bits, (6, 128), np.uint8)
    words = codes if bits == 8 else codes[:, 0::2] | codes[:, 1::2] << 4
    scales, biases = (random.normal(size=(6, 2)).astype(ml_dtypes.bfloat16) for _ in range(2))
    path.mkdir()
    write_safetensors(path / "model.safetensors", {
        "x.experts.gate_proj.weight": random.integers(0, 2**32, (2, 4, 8), np.uint32), "x.experts.gate_proj.scales": random.integers(100, 130, (2, 4, 2), np.uint8),
        "x.router.weight": words.view(np.uint32), "x.router.scales": scales, "x.router.biases": biases,
    })  # fmt: skip
    quantization = {"group_size": 32, "bits": 4, "mode": "mxfp4", "x.router": {"group_size": 64, "bits": bits}}
    (path / "config.json").write_text(json.dumps({"quantization": quantization, "quantization_config": quantization}))
    return codes.reshape(6, 2, 64) * scales.astype(np.float32)[..., None] + biases.astype(np.float32)[..., None]


@pytest.mark.parametrize("bits", [4, 8])
def test_affine_words_beside_mxfp4_become_bf16(mxfp4, tmp_path, bits):
    values = affine_model(tmp_path / "in", bits).reshape(6, 128)
    assert mxfp4.json("verify", tmp_path / "in")["ok"]
    report = mxfp4.json("convert", tmp_path / "in", tmp_path / "out", "--format", "compressed-tensors")
    assert report["totals"]["expanded"] == 1 and report["verified"]
    assert reference.same_values(Model(tmp_path / "out")["x.router.weight"], reference.bf16(values))
    assert Model(tmp_path / "out").config["quantization_config"]["ignore"] == ["x.router"]
    assert "x.router.biases" not in Model(tmp_path / "out").tensors
    mxfp4("dequantize", tmp_path / "in", tmp_path / "f32", "--dtype", "f32")
    assert np.array_equal(Model(tmp_path / "f32")["x.router.weight"], values)


def test_stacked_affine_words_are_refused_by_name(mxfp4, tmp_path):
    affine_model(tmp_path / "in")
    tensors = Model(tmp_path / "in").tensors
    tensors |= {f"x.experts.up_proj.{part}": tensors[f"x.router.{part}"][None] for part in ("weight", "scales", "biases")}
    write_safetensors(tmp_path / "in/model.safetensors", tensors)
    error = mxfp4.json("convert", tmp_path / "in", tmp_path / "out", "--format", "native", status=3)["error"]
    assert error["code"] == "unsupported" and "'x.experts.up_proj.weight' is in MLX's affine mode and stacked" in error["message"]


@pytest.mark.parametrize("format", ["mlx", "linear"])
def test_experts_in_fp8_are_stacked_by_nobody(mxfp4, golden, tmp_path, format):
    """Where they are listed, some in FP8 are expanded; a format that stacks experts takes those that are MXFP4."""
    model = Model(golden / "tiny-deepseek-v4/deepseek-v4")
    for expert, part in itertools.product(range(5), ("weight", "scale")):
        model.tensors[f"layers.0.ffn.experts.{expert}.w1.{part}"] = model[f"layers.0.ffn.shared_experts.w1.{part}"]
    (tmp_path / "in").mkdir()
    write_safetensors(tmp_path / "in/model.safetensors", model.tensors)
    (tmp_path / "in/config.json").write_text(json.dumps(model.config))
    error = mxfp4.json("convert", tmp_path / "in", tmp_path / "out", "--format", format, status=3)["error"]
    assert error["code"] == "unsupported" and error["message"] == (
        f"--format {format}: 'layers.0.ffn.experts.0.gate_proj.weight' is not MXFP4, and of experts only those that are MXFP4 are put together"
    )
    assert not (tmp_path / "out").exists()
    listed = mxfp4.json("convert", tmp_path / "in", tmp_path / "out", "--format", "compressed-tensors")
    assert listed["verified"] and listed["totals"]["expanded"] == 5 + mxfp4.json(
        "convert", golden / "tiny-deepseek-v4/deepseek-v4", tmp_path / "all", "--format", "compressed-tensors")["totals"]["expanded"]  # fmt: skip


def test_affine_words_of_unknown_kind_are_told(mxfp4, tmp_path):
    affine_model(tmp_path / "in")
    (tmp_path / "in/config.json").write_text("{}")
    result = mxfp4.json("convert", tmp_path / "in", tmp_path / "out", "--format", "native", status=3)
    assert result["error"]["code"] == "unsupported" and "mlx" in result["error"]["message"]


MLX = """
import sys, mlx.core as mx, numpy as np
tensors = mx.load(sys.argv[1] + "/model.safetensors")
values = {}
for name in tensors:
    if name.endswith(".scales"):
        module = name.removesuffix(".scales")
        x = mx.dequantize(tensors[module + ".weight"], tensors[name], group_size=32, bits=4, mode="mxfp4")
        values[module] = np.array(x.astype(mx.float32))
np.savez(sys.argv[2], **values)
"""


@pytest.mark.skipif(importlib.util.find_spec("mlx") is None, reason="the PyPI package mlx[cpu] is not installed")
def test_mlx_finds_the_values(mxfp4, golden, tmp_path):
    mxfp4("convert", golden / "tiny-llama/quark", tmp_path / "mlx", "--format", "mlx")
    subprocess.run([sys.executable, "-c", MLX, tmp_path / "mlx", tmp_path / "values.npz"], check=True)
    mxfp4("dequantize", golden / "tiny-llama/quark", tmp_path / "bf16", "--dtype", "f32")
    expected, found = Model(tmp_path / "bf16"), np.load(tmp_path / "values.npz")
    assert len(found.files) == 12
    for module in found.files:
        assert np.array_equal(found[module], expected[module + ".weight"]), module
