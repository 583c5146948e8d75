"""mxfp4.transformers, judged by what transformers computes without it: tests/data/models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mxfp4

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

import mxfp4.transformers as drop_in  # noqa: E402
from transformers.quantizers import auto  # noqa: E402

TINY = Path(__file__).parent.parent / "data/models/tiny-gpt-oss"


@pytest.fixture(scope="module")
def expected():
    return mxfp4.open(TINY / "logits.safetensors", framework="torch")


@pytest.fixture(scope="module")
def model():
    return drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)


@pytest.fixture
def enabled():
    drop_in.enable()
    yield
    drop_in.disable()


def distance(y, expected) -> float:
    return float((y.double() - expected.double()).norm() / expected.double().norm())


def logits(model, expected, batch: str):
    ids, mask = expected[f"{batch}.input_ids"].long(), torch.ones_like(expected[f"{batch}.input_ids"])
    if f"{batch}.attention_mask" in expected:
        mask = expected[f"{batch}.attention_mask"]
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask.long()).logits[mask.bool()], expected[f"f32.{batch}.logits"][mask.bool()]


@pytest.mark.parametrize("batch", ["plain", "padded"])
def test_logits_are_those_of_the_expanded_model(model, expected, batch: str):
    # transformers' own run in f32 lies 1e-6 from f64.
    assert distance(*logits(model, expected, batch)) < 3e-6


def test_int8_and_weights_in_the_files_are_as_near_as_they_say(expected):
    fast = drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32, activation="int8")
    assert 1e-4 < distance(*logits(fast, expected, "plain")) < 3e-2
    in_place = drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32, pack=False)
    assert distance(*logits(in_place, expected, "plain")) < 3e-6


def test_greedy_tokens_are_the_same_alone_and_in_a_padded_batch(model, expected):
    tokens = [expected[f"generate.{j}.tokens"].long() for j in range(3)]
    for j in range(3):
        prompt = expected[f"generate.{j}.prompt"].long()[None]
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=len(tokens[j]), do_sample=False)
        assert torch.equal(out[0, prompt.shape[1] :], tokens[j])
    prompts, mask = expected["generate.batch.input_ids"].long(), expected["generate.batch.attention_mask"].long()
    out = model.generate(prompts, attention_mask=mask, max_new_tokens=len(tokens[0]), do_sample=False)
    for j in range(3):
        assert torch.equal(out[j, prompts.shape[1] :], tokens[j])


def test_what_is_saved_has_the_same_names_and_bytes(model, tmp_path):
    again = drop_in.from_pretrained(TINY / "hf-mxfp4")
    again.save_pretrained(tmp_path / "saved")
    before, after = mxfp4.open(TINY / "hf-mxfp4"), mxfp4.open(tmp_path / "saved")
    assert list(before) == list(after) and after.convention == "gpt-oss"
    for name in before:
        if isinstance(before[name], mxfp4.Tensor):
            np.testing.assert_array_equal(after[name].codes, before[name].codes)
            np.testing.assert_array_equal(after[name].scales, before[name].scales)
        else:
            np.testing.assert_array_equal(after[name].view(np.uint16), before[name].view(np.uint16))
    config = json.loads((tmp_path / "saved/config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "mxfp4" and "activation" not in config


def test_every_plain_load_can_be_one(enabled, expected):
    plain = transformers.AutoModelForCausalLM.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)
    assert isinstance(plain.model.layers[0].mlp.experts, drop_in.QuantizedExperts)
    assert distance(*logits(plain, expected, "plain")) < 3e-6
    headless = transformers.AutoModel.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)
    assert isinstance(headless.layers[0].mlp.experts, drop_in.QuantizedExperts)


def test_other_peoples_configs_mean_what_they_meant(enabled):
    def load(path, dequantize):
        own = transformers.Mxfp4Config(dequantize=dequantize)
        return transformers.AutoModelForCausalLM.from_pretrained(TINY / path, quantization_config=own).model.layers[0].mlp.experts

    assert isinstance(load("hf-mxfp4", False), drop_in.QuantizedExperts)
    assert isinstance(load("bf16", False), drop_in.QuantizedExperts)  # quantised as it is loaded
    assert not isinstance(load("hf-mxfp4", True), drop_in.QuantizedExperts)


def test_enabling_is_undone():
    before = dict(auto.AUTO_QUANTIZER_MAPPING), dict(auto.AUTO_QUANTIZATION_CONFIG_MAPPING)
    for _ in range(2):
        drop_in.enable()
    assert auto.AUTO_QUANTIZER_MAPPING["mxfp4"] is not before[0]["mxfp4"]
    changed = {k for k in before[0] if auto.AUTO_QUANTIZER_MAPPING[k] is not before[0][k]}
    assert changed == {"mxfp4"}
    for _ in range(2):
        drop_in.disable()
    assert (dict(auto.AUTO_QUANTIZER_MAPPING), dict(auto.AUTO_QUANTIZATION_CONFIG_MAPPING)) == before


def test_an_unquantised_model_is_quantised_while_it_is_loaded(expected, tmp_path):
    model = drop_in.from_pretrained(TINY / "bf16", quantize=True, dtype=torch.float32)
    assert isinstance(model.model.layers[0].mlp.experts, drop_in.QuantizedExperts)
    # The weights were MXFP4 once: all that is lost are scales that another rule would choose.
    assert distance(*logits(model, expected, "plain")) < 0.05
    t = mxfp4.quantize(mxfp4.open(TINY / "bf16")["model.layers.1.mlp.experts.down_proj"].astype(np.float32))
    np.testing.assert_array_equal(model.model.layers[1].mlp.experts.tensor("down_proj").codes, t.codes)
    model.save_pretrained(tmp_path / "saved")
    assert mxfp4.open(tmp_path / "saved").convention == "gpt-oss"


def test_what_transformers_has_saved_after_expanding_is_read(expected, tmp_path):
    """Its dense experts stand under the names of codes, where transformers itself does not find them."""
    ids = expected["plain.input_ids"].long()
    with torch.no_grad():
        models = [drop_in.from_pretrained(TINY / name, quantize=True) for name in ("bf16", "bf16-as-saved")]
        assert torch.equal(models[0](ids).logits, models[1](ids).logits)
        models[1].save_pretrained(tmp_path / "quantised")
        assert mxfp4.open(tmp_path / "quantised").convention == "gpt-oss"
        plain = transformers.AutoModelForCausalLM.from_pretrained(TINY / "bf16")(ids).logits
        assert torch.equal(drop_in.from_pretrained(TINY / "bf16-as-saved", dequantize=True)(ids).logits, plain)
        assert torch.equal(drop_in.from_pretrained(TINY / "bf16", dequantize=True)(ids).logits, plain)


def test_an_expanded_model_is_saved_under_names_that_everybody_reads(expected, tmp_path):
    ids = expected["plain.input_ids"].long()
    model = drop_in.from_pretrained(TINY / "hf-mxfp4", dequantize=True)
    model.save_pretrained(tmp_path)
    again, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[keys] for keys in ("missing_keys", "unexpected_keys"))
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)


def test_a_quantised_model_can_be_expanded(expected):
    model = drop_in.from_pretrained(TINY / "hf-mxfp4", dequantize=True)
    assert not any(isinstance(module, drop_in.QuantizedExperts) for module in model.modules())
    assert not hasattr(model.config, "quantization_config")
    dense = mxfp4.open(TINY / "bf16", framework="torch")
    for name, value in model.state_dict().items():
        stored = dense[name] if ".experts." not in name or "bias" in name else dense[name].transpose(-1, -2)
        assert value.dtype == torch.bfloat16 and torch.equal(value, stored), name
    whole = drop_in.from_pretrained(TINY / "hf-mxfp4", dequantize=True, dtype=torch.float32)
    assert distance(*logits(whole, expected, "plain")) < 3e-6


def test_a_state_dict_works_without_files(expected):
    config = transformers.AutoConfig.from_pretrained(TINY / "hf-mxfp4")
    state = {name: tensor for name, tensor in drop_in.from_pretrained(TINY / "hf-mxfp4").state_dict().items()}
    config.quantization_config["quant_method"] = drop_in.Mxfp4Config().quant_method
    model = transformers.GptOssForCausalLM.from_pretrained(None, config=config, state_dict=state, dtype=torch.float32)
    assert distance(*logits(model, expected, "plain")) < 3e-6


def test_weights_that_are_written_to_are_computed_with(expected):
    model = drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)
    ids = expected["plain.input_ids"].long()
    before, state = model(ids).logits, model.state_dict()
    scales = "model.layers.0.mlp.experts.down_proj_scales"
    model.load_state_dict({**state, scales: state[scales] + 1})
    assert not torch.equal(model(ids).logits, before)


def test_arguments_reach_the_config_as_they_do_in_transformers(tmp_path):
    shutil.copytree(TINY / "hf-mxfp4", tmp_path / "inner")
    model = drop_in.from_pretrained(tmp_path, subfolder="inner", use_cache=False)
    assert isinstance(model.model.layers[0].mlp.experts, drop_in.QuantizedExperts) and model.config.use_cache is False
    assert drop_in.from_pretrained(TINY / "hf-mxfp4", config=str(TINY / "hf-mxfp4")).config.use_cache
    config = transformers.AutoConfig.from_pretrained(TINY / "hf-mxfp4")
    drop_in.from_pretrained(TINY / "hf-mxfp4", config=config)
    assert config.quantization_config["quant_method"] == "mxfp4", "the caller's own config was changed"


def test_models_that_do_not_fit_are_refused(tmp_path):
    shutil.copytree(TINY / "hf-mxfp4", tmp_path / "unnamed")
    config = json.loads((tmp_path / "unnamed/config.json").read_text())
    config["quantization_config"] = {"group_size": 32, "bits": 4}  # as mlx writes it
    (tmp_path / "unnamed/config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="is quantised: by an unnamed method"):
        drop_in.from_pretrained(tmp_path / "unnamed")
    with pytest.raises(ValueError, match="LlamaForCausalLM has no experts of gpt-oss"):
        drop_in.from_pretrained(TINY.parent / "tiny-llama/bf16", quantize=True)
    with pytest.raises(ValueError, match="quantize and dequantize exclude each other"):
        drop_in.from_pretrained(TINY / "bf16", quantize=True, dequantize=True)
    with pytest.raises(ValueError, match="activation is 'int4', none of exact, int8, mxfp8"):
        drop_in.from_pretrained(TINY / "hf-mxfp4", activation="int4")
    del config["quantization_config"]
    (tmp_path / "unnamed/config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="_proj_blocks' is quantised, but no config says so"):
        drop_in.from_pretrained(tmp_path / "unnamed", quantize=True)
    with pytest.raises(ValueError, match="is not quantised"):
        drop_in.from_pretrained(TINY / "bf16")
    with pytest.raises(ValueError, match="is quantised: mxfp4"):
        drop_in.from_pretrained(TINY / "hf-mxfp4", quantize=True)
    with pytest.raises(ValueError, match="computes on the CPU, but device_map says 'cuda"):
        drop_in.from_pretrained(TINY / "hf-mxfp4", device_map="cuda")


def test_experts_of_other_ranks_add_nothing(model):
    layer = model.model.layers[0].mlp.experts
    x, weights = torch.randn(3, 64), torch.rand(3, 2)
    with torch.no_grad():
        some = layer(x, torch.tensor([[1, 6], [6, 6], [6, 2]]), weights)
        assert not some[1].any()
        assert torch.equal(some[0:1], layer(x[0:1], torch.tensor([[1]]), weights[0:1, :1]))


SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128}
FAMILIES = {
    "mixtral": lambda: transformers.MixtralForCausalLM(transformers.MixtralConfig(**SMALL, num_local_experts=4)),
    "qwen3_moe": lambda: transformers.Qwen3MoeForCausalLM(
        transformers.Qwen3MoeConfig(**SMALL, moe_intermediate_size=64, num_experts=4, num_experts_per_tok=2, head_dim=16)
    ),
    "deepseek_v3": lambda: transformers.DeepseekV3ForCausalLM(
        transformers.DeepseekV3Config(
            **{**SMALL, "num_key_value_heads": 4}, moe_intermediate_size=64, n_routed_experts=4, num_experts_per_tok=2,
            n_group=2, topk_group=2, first_k_dense_replace=1, q_lora_rank=32, kv_lora_rank=32, qk_nope_head_dim=16,
            qk_rope_head_dim=16, v_head_dim=16,
        )
    ),
    "gpt_oss": lambda: transformers.GptOssForCausalLM(
        transformers.GptOssConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2, head_dim=16)
    ),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)),
}


def rounded(model, names):
    """The model with the modules of these names in the values that quantize_model() gives them."""
    for module in map(model.get_submodule, names):
        if type(module) is torch.nn.Linear:
            module.weight.data = mxfp4.quantize(module.weight).torch()
            continue
        for stack in ("gate_up_proj", "down_proj"):
            parameter = getattr(module, stack)
            parameter.data = mxfp4.quantize(parameter, axis=1 if module.is_transposed else 2).torch()
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_any_model_is_quantised_in_memory(family: str):
    transformers.set_seed(1)
    model = FAMILIES[family]().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("_bias"):
            torch.nn.init.normal_(parameter)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    reference = FAMILIES[family]().eval()
    reference.load_state_dict(state)
    replaced = drop_in.quantize_model(model)
    assert any("experts" in name for name in replaced) == (family != "llama")
    assert not any("lm_head" in name or "router" in name for name in replaced)
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        assert distance(model(input_ids=ids).logits, rounded(reference, replaced)(input_ids=ids).logits) < 1e-4
    model(input_ids=ids, labels=ids).loss.backward()


def test_loading_takes_little_more_memory_than_the_checkpoint(tmp_path):
    """In a process of its own: what it holds once it has loaded, and at the most."""
    subprocess.run([sys.executable, "-m", "mxfp4", "synth", tmp_path / "dense", "--like", "tiny", "--hidden-size", "512",
                    "--intermediate-size", "1024", "--experts", "32", "--layers", "4"], check=True, capture_output=True)  # fmt: skip
    mxfp4.quantize_checkpoint(tmp_path / "dense", tmp_path / "model")
    size = sum(file.stat().st_size for file in (tmp_path / "model").glob("*.safetensors"))
    script = f"""
import mxfp4.transformers
def bytes_of(field):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[field].split()[0]) * 1024
mxfp4.transformers.from_pretrained({str(TINY / "hf-mxfp4")!r})
before = bytes_of("VmRSS")
model = mxfp4.transformers.from_pretrained({str(tmp_path / "model")!r})
print(bytes_of("VmRSS") - before, bytes_of("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after, most = map(int, done.stdout.split())
    assert after <= 1.15 * size and most <= 1.5 * size, (after, most, size)
