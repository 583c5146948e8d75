"""synth writes models that are right in all but their weights."""

import json

import ml_dtypes
import numpy as np
import pytest

import reference
from checkpoints import Model, same_bytes, tree_bytes


def test_the_same_request_gives_the_same_bytes(mxfp4, tmp_path):
    size = ("--like", "tiny", "--hidden-size", 512, "--intermediate-size", 256, "--experts", 8)
    for dtype in ("bf16", "mxfp4"):
        for threads in (1, 2, 8):
            mxfp4("synth", tmp_path / f"{dtype}-{threads}", *size, "--dtype", dtype, "--threads", threads)
        trees = [tree_bytes(tmp_path / f"{dtype}-{threads}") for threads in (1, 2, 8)]
        assert trees[0] == trees[1] == trees[2]


def test_another_seed_gives_other_weights(mxfp4, tiny, tmp_path):
    mxfp4("synth", tmp_path / "other", "--like", "tiny", "--seed", 1)
    before, after = Model(tiny), Model(tmp_path / "other")
    assert before.config == after.config
    assert {n: t.shape for n, t in before.tensors.items()} == {n: t.shape for n, t in after.tensors.items()}
    name = "model.layers.0.mlp.experts.down_proj"
    assert not same_bytes(before[name], after[name])


def test_weights_are_normal_and_norms_are_one(tiny):
    model = Model(tiny)
    weights = np.concatenate([t.astype(np.float64).ravel() for n, t in model.tensors.items() if n.endswith("_proj")])
    assert abs(weights.mean()) < 2e-4 and abs(weights.std() - 0.02) < 2e-4
    assert all((t == 1).all() for n, t in model.tensors.items() if n.endswith("norm.weight"))
    assert all(np.unique(t.view(np.uint16)).size > 1 for n, t in model.tensors.items() if "norm" not in n)


def test_no_two_tensors_are_alike(tiny):
    model = Model(tiny)
    heads = [t.tobytes()[:8] for n, t in model.tensors.items() if "norm" not in n]
    assert len(set(heads)) == len(heads)


@pytest.mark.parametrize("like, layers, experts", [("gpt-oss-20b", 24, 32), ("gpt-oss-120b", 36, 128)])
def test_configs_are_those_of_the_released_models(mxfp4, tmp_path, like, layers, experts):
    small = ("--hidden-size", 32, "--intermediate-size", 32)
    mxfp4("synth", tmp_path / "m", "--like", like, "--dtype", "mxfp4", *small)
    model = Model(tmp_path / "m")
    expected = {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_hidden_layers": layers, "num_local_experts": experts,
        "num_experts_per_tok": 4, "vocab_size": 201088, "head_dim": 64, "num_attention_heads": 64, "num_key_value_heads": 8,
        "sliding_window": 128, "swiglu_limit": 7.0, "rope_theta": 150000, "max_position_embeddings": 131072,
    }  # fmt: skip
    assert {key: model.config[key] for key in expected} == expected
    assert model.config["layer_types"] == ["sliding_attention", "full_attention"] * (layers // 2)
    assert model.config["quantization_config"]["modules_to_not_convert"] == [
        "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
    ]  # fmt: skip
    assert model["lm_head.weight"].shape == model["model.embed_tokens.weight"].shape == (201088, 32)
    assert model["model.layers.0.self_attn.q_proj.weight"].shape == (4096, 32)
    assert model["model.layers.0.self_attn.k_proj.bias"].shape == (512,)
    assert model["model.layers.0.self_attn.sinks"].shape == (64,)


def test_names_are_those_that_transformers_has(tiny, tiny_mxfp4, golden):
    for ours, theirs in ((tiny, "bf16"), (tiny_mxfp4, "hf-mxfp4")):
        ours, theirs = Model(ours), Model(golden / "tiny-gpt-oss" / theirs)
        assert {n: (t.dtype, t.shape) for n, t in ours.tensors.items()} == {n: (t.dtype, t.shape) for n, t in theirs.tensors.items()}
        missing = theirs.config.keys() - ours.config.keys()
        assert missing <= {"transformers_version", "rope_parameters", "swiglu_alpha"}


def test_layers_can_be_chosen(mxfp4, tmp_path):
    mxfp4("synth", tmp_path / "m", "--like", "tiny", "--layers", 5)
    model = Model(tmp_path / "m")
    assert model.config["num_hidden_layers"] == len(model.config["layer_types"]) == 5
    assert "model.layers.4.self_attn.sinks" in model.tensors and "model.layers.5.self_attn.sinks" not in model.tensors


def test_mxfp4_weights_look_like_quantised_ones(mxfp4, tmp_path):
    mxfp4("synth", tmp_path / "m", "--like", "tiny", "--dtype", "mxfp4", "--hidden-size", 256, "--intermediate-size", 256)
    model = Model(tmp_path / "m")
    name = "model.layers.0.mlp.experts.down_proj"
    values = reference.dequantize(model[name + "_blocks"], model[name + "_scales"])
    assert abs(values.std() - 0.02) < 1e-3
    codes, scales = reference.quantize(np.random.default_rng(0).normal(0, 0.02, values.shape))
    ours = np.bincount(model[name + "_scales"].ravel(), minlength=256) / scales.size
    theirs = np.bincount(scales.ravel(), minlength=256) / scales.size
    assert np.abs(ours - theirs).max() < 0.03


@pytest.mark.parametrize("option", ["--hidden-size", "--intermediate-size"])
def test_sizes_that_mxfp4_cannot_hold_are_refused(mxfp4, tmp_path, option):
    error = mxfp4("synth", tmp_path / "m", "--like", "tiny", "--dtype", "mxfp4", option, 100, "--json", status=2).json["error"]
    assert "100" in error["message"] and "32" in error["message"]
    assert list(tmp_path.iterdir()) == []
    mxfp4("synth", tmp_path / "m", "--like", "tiny", option, 100)
    assert Model(tmp_path / "m")["model.layers.0.mlp.experts.down_proj"].dtype == ml_dtypes.bfloat16


def test_a_model_larger_than_the_disk_is_refused_before_it_is_begun(mxfp4, tmp_path):
    size = ("--hidden-size", 1 << 20, "--intermediate-size", 1 << 20)
    error = mxfp4("synth", tmp_path / "m", "--like", "gpt-oss-120b", *size, "--json", status=3).json["error"]
    assert error["code"] == "io" and "disk" in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_the_tokenizer_is_a_real_one(tiny):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(tiny / "tokenizer.json"))
    text = "Grüße, 世界! \x00\x7f\u00ad\n<|end|>"
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    config = json.loads((tiny / "config.json").read_text())
    assert max(ids) < config["vocab_size"]
    special = json.loads((tiny / "tokenizer_config.json").read_text())
    for key in ("bos", "eos", "pad"):
        assert tokenizer.token_to_id(special[f"{key}_token"]) == config[f"{key}_token_id"]
    generation = json.loads((tiny / "generation_config.json").read_text())
    assert config["eos_token_id"] in generation["eos_token_id"]
