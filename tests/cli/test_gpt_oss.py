"""A gpt-oss model in BF16 becomes what transformers and vLLM load, and back."""

import json
import shutil

import numpy as np
import pytest

import reference
from checkpoints import Model, same_bytes, tree_bytes

EXPERTS = ("gate_up_proj", "down_proj")


def experts_of(model):
    """(name, weight as [E, N, K]) of every expert tensor of an unquantised model"""
    for name, tensor in model.tensors.items():
        if name.endswith(EXPERTS):
            yield name, tensor.swapaxes(1, 2)


def test_names_shapes_and_files_are_those_of_a_quantised_gpt_oss(mxfp4, tiny, tmp_path):
    report = mxfp4.json("quantize", tiny, tmp_path / "out")
    before, after = Model(tiny), Model(tmp_path / "out")
    config = before.config
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    experts = config["num_local_experts"]
    expected = {name: (tensor.dtype, tensor.shape) for name, tensor in before.tensors.items() if not name.endswith(EXPERTS)}
    for layer in range(config["num_hidden_layers"]):
        for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
            prefix = f"model.layers.{layer}.mlp.experts.{name}"
            expected[prefix + "_blocks"] = (np.uint8, (experts, rows, columns // 32, 16))
            expected[prefix + "_scales"] = (np.uint8, (experts, rows, columns // 32))
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in after.tensors.items()} == expected
    for name, tensor in after.tensors.items():
        if not name.endswith(("_blocks", "_scales")):
            assert same_bytes(tensor, before[name]), name
    assert after.files == sorted([*before.files, "README.md"])
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tiny / name).read_bytes()
    assert report["format"] == "gpt-oss"


def test_config_gains_only_the_quantisation(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "out")
    before, after = Model(tiny).config, Model(tmp_path / "out").config
    quantization = after.pop("quantization_config")
    assert after == before
    assert list(after) == list(before)
    assert quantization["quant_method"] == "mxfp4"
    for module in ("self_attn", "mlp.router"):
        assert any(module in entry for entry in quantization["modules_to_not_convert"])
    assert {"model.embed_tokens", "lm_head"} <= set(quantization["modules_to_not_convert"])


@pytest.mark.parametrize("rule", ["optimal", "floor", "even", "rceil", "ceil", "t725", "round6", "floor6"])
def test_bytes_are_those_of_the_numpy_implementation(mxfp4, tiny, tmp_path, rule):
    mxfp4("quantize", tiny, tmp_path / "out", "--scale", rule)
    after = Model(tmp_path / "out")
    for name, weight in experts_of(Model(tiny)):
        codes, scales = reference.quantize(weight, rule)
        assert same_bytes(after[name + "_scales"], scales), name
        assert same_bytes(after[name + "_blocks"], codes), name


@pytest.mark.parametrize("ties", ["even", "zero", "away"])
def test_ties_go_where_the_user_says(mxfp4, tiny, tmp_path, ties):
    mxfp4("quantize", tiny, tmp_path / "out", "--scale", "rceil", "--ties", ties)
    after = Model(tmp_path / "out")
    for name, weight in experts_of(Model(tiny)):
        assert same_bytes(after[name + "_blocks"], reference.quantize(weight, "rceil", ties)[0]), name


def test_sizes_are_nowhere_hard_coded(mxfp4, tmp_path):
    mxfp4("synth", tmp_path / "in", "--like", "tiny", "--experts", 5, "--hidden-size", 96, "--intermediate-size", 32)
    mxfp4("quantize", tmp_path / "in", tmp_path / "out")
    after = Model(tmp_path / "out")
    assert after["model.layers.0.mlp.experts.gate_up_proj_blocks"].shape == (5, 64, 3, 16)
    assert after["model.layers.0.mlp.experts.down_proj_scales"].shape == (5, 96, 1)
    for name, weight in experts_of(Model(tmp_path / "in")):
        codes, scales = reference.quantize(weight)
        assert same_bytes(after[name + "_blocks"], codes) and same_bytes(after[name + "_scales"], scales)


def test_the_report_counts_what_happened(mxfp4, tiny, tmp_path):
    report = mxfp4.json("quantize", tiny, tmp_path / "out", "--scale", "floor")
    after, totals = Model(tmp_path / "out"), report["totals"]
    experts = dict(experts_of(Model(tiny)))
    by_name = {tensor["name"]: tensor for tensor in report["tensors"]}
    assert set(by_name) == set(Model(tiny).tensors)
    assert {name for name, tensor in by_name.items() if tensor["action"] == "quantized"} == set(experts)
    for name, weight in experts.items():
        tensor, scales = by_name[name], after[name + "_scales"]
        back = reference.dequantize(after[name + "_blocks"], scales)
        blocks, limit = reference.blocks_of(weight), 6 * reference.power(scales)
        assert tensor["shape"] == list(weight.shape)
        assert tensor["blocks"] == scales.size
        assert tensor["bits_per_weight"] == 4.25
        assert tensor["sqnr_db"] == pytest.approx(reference.sqnr_db(weight, back), rel=1e-9)
        assert tensor["saturated"] == (np.abs(blocks) > limit).sum() > 0
        assert tensor["lossless_blocks"] == (blocks == reference.blocks_of(back)).all(-1).sum()
    assert totals["quantized"] == len(experts)
    assert totals["kept"] == len(by_name) - len(experts)
    for field in ("blocks", "lossless_blocks", "saturated"):
        assert totals[field] == sum(by_name[name][field] for name in experts)
    assert totals["bits_per_weight"] == 4.25
    assert totals["bytes_in"] == sum(tensor.nbytes for tensor in Model(tiny).tensors.values())
    assert totals["bytes_out"] == sum(tensor.nbytes for tensor in after.tensors.values())
    assert totals["seconds"] > 0 and totals["peak_memory_bytes"] > 0
    kept = {name: tensor for name, tensor in by_name.items() if tensor["action"] == "kept"}
    assert all(tensor["reason"] for tensor in kept.values())
    assert not any("sqnr_db" in tensor or "blocks" in tensor for tensor in kept.values())


def test_the_scales_in_the_report_are_those_in_the_files(mxfp4, tiny, tmp_path):
    report = mxfp4.json("quantize", tiny, tmp_path / "out")
    scales = np.concatenate([t.ravel() for n, t in Model(tmp_path / "out").tensors.items() if n.endswith("_scales")])
    counted = {str(byte): int(count) for byte, count in zip(*np.unique(scales, return_counts=True))}
    assert report["totals"]["scales"] == counted
    assert mxfp4.json("inspect", tmp_path / "out", "--scales")["scales"] == counted


@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32"])
def test_dequantise_gives_the_exact_products(mxfp4, tiny_mxfp4, tmp_path, dtype):
    report = mxfp4.json("dequantize", tiny_mxfp4, tmp_path / "out", "--dtype", dtype)
    before, after = Model(tiny_mxfp4), Model(tmp_path / "out")
    numpy_dtype = {"bf16": reference.ml_dtypes.bfloat16, "f16": np.float16, "f32": np.float32}[dtype]
    for layer in range(3):
        for part in EXPERTS:
            name = f"model.layers.{layer}.mlp.experts.{part}"
            exact = reference.dequantize(before[name + "_blocks"], before[name + "_scales"], numpy_dtype)
            assert same_bytes(after[name], np.ascontiguousarray(exact.swapaxes(1, 2))), name
    assert "quantization_config" not in after.config
    told = after.config.get("dtype", after.config.get("torch_dtype"))
    assert told == {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}[dtype]
    assert not any(name.endswith(("_blocks", "_scales")) for name in after.tensors)
    assert report["convention"] == "gpt-oss"
    assert report["totals"]["dequantized"] == 6


def test_a_round_trip_changes_no_value(mxfp4, tiny_mxfp4, tmp_path):
    mxfp4("dequantize", tiny_mxfp4, tmp_path / "bf16")
    totals = mxfp4.json("quantize", tmp_path / "bf16", tmp_path / "again")["totals"]
    assert totals["lossless_blocks"] == totals["blocks"] > 0
    mxfp4("dequantize", tmp_path / "again", tmp_path / "bf16-again")
    before, after = Model(tmp_path / "bf16"), Model(tmp_path / "bf16-again")
    for name, tensor in before.tensors.items():
        assert reference.same_values(tensor, after[name]), name


def test_a_round_trip_with_the_original_changes_no_byte(mxfp4, tiny_mxfp4, tmp_path):
    mxfp4("dequantize", tiny_mxfp4, tmp_path / "bf16")
    report = mxfp4.json("quantize", tmp_path / "bf16", tmp_path / "again", "--reference", tiny_mxfp4, "--no-card")
    assert tree_bytes(tmp_path / "again") == tree_bytes(tiny_mxfp4)
    assert all(tensor["sqnr_db"] is None for tensor in report["tensors"] if tensor["action"] == "quantized")


def test_quantising_what_is_quantised_changes_nothing(mxfp4, tiny_mxfp4, tmp_path):
    report = mxfp4.json("quantize", tiny_mxfp4, tmp_path / "out", "--no-card")
    assert report["totals"]["quantized"] == 0
    assert any("already" in tensor.get("reason", "") for tensor in report["tensors"])
    before, after = Model(tiny_mxfp4), Model(tmp_path / "out")
    assert all(same_bytes(tensor, after[name]) for name, tensor in before.tensors.items())


@pytest.fixture(scope="module")
def larger(mxfp4, tmp_path_factory):
    """A model whose experts are cut into many pieces of work."""
    path = tmp_path_factory.mktemp("larger") / "in"
    size = ("--hidden-size", 256, "--intermediate-size", 512, "--experts", 16, "--layers", 2)
    mxfp4("synth", path, "--like", "tiny", *size)
    return path


def test_threads_do_not_change_a_byte(mxfp4, larger, tmp_path):
    reports = {n: mxfp4.json("quantize", larger, tmp_path / f"{n}", "--threads", n) for n in (1, 2, 8)}
    trees = {n: tree_bytes(tmp_path / f"{n}") for n in reports}
    assert trees[1] == trees[2] == trees[8]
    for field in ("tensors", "format", "files"):
        assert reports[1][field] == reports[2][field] == reports[8][field]
    for n in reports:
        mxfp4("dequantize", tmp_path / f"{n}", tmp_path / f"{n}-bf16", "--threads", n)
    assert tree_bytes(tmp_path / "1-bf16") == tree_bytes(tmp_path / "2-bf16") == tree_bytes(tmp_path / "8-bf16")


def test_memory_does_not_change_a_byte(mxfp4, larger, tmp_path):
    if mxfp4.sanitizers:
        pytest.skip("a sanitizer's own memory counts as the program's")
    mxfp4("quantize", larger, tmp_path / "much")
    mxfp4("quantize", larger, tmp_path / "little", "--max-memory", "64M")
    assert tree_bytes(tmp_path / "much") == tree_bytes(tmp_path / "little")


def test_large_models_are_sharded_with_an_index(mxfp4, larger, tmp_path):
    mxfp4("quantize", larger, tmp_path / "one")
    report = mxfp4.json("quantize", larger, tmp_path / "many", "--max-shard", "1500K")
    one, many = Model(tmp_path / "one"), Model(tmp_path / "many")
    shards = [name for name in many.files if name.endswith(".safetensors")]
    assert len(shards) > 3
    assert shards == [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    assert sorted(report["files"]) == many.files
    assert one.tensors.keys() == many.tensors.keys()
    assert all(same_bytes(one[name], many[name]) for name in one.tensors)
    mxfp4("dequantize", tmp_path / "many", tmp_path / "back")
    mxfp4("dequantize", tmp_path / "one", tmp_path / "back-of-one")
    assert tree_bytes(tmp_path / "back") == tree_bytes(tmp_path / "back-of-one")


def test_blocks_and_scales_of_a_matrix_follow_each_other(mxfp4, larger, tmp_path):
    """llama.cpp's converter pairs them by the order in which the files, by name, list them."""
    mxfp4("quantize", larger, tmp_path / "out", "--max-shard", "1500K")
    experts = []
    for shard in sorted((tmp_path / "out").glob("*.safetensors")):
        data = shard.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        experts += [name for name in header if name.endswith(("_blocks", "_scales"))]
    assert experts[0::2] == [name.replace("_scales", "_blocks") for name in experts[1::2]]


def test_a_card_is_written_unless_there_is_one(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "card", "--scale", "t725")
    card = (tmp_path / "card/README.md").read_text()
    assert "t725" in card and "4.25" in card and "dB" in card
    mxfp4("quantize", tiny, tmp_path / "no-card", "--no-card")
    assert not (tmp_path / "no-card/README.md").exists()
    mxfp4("synth", tmp_path / "in", "--like", "tiny")
    (tmp_path / "in/README.md").write_text("mine\n")
    mxfp4("quantize", tmp_path / "in", tmp_path / "kept")
    assert (tmp_path / "kept/README.md").read_text() == "mine\n"


def test_a_hidden_size_that_blocks_do_not_divide_is_refused_with_its_tensor(mxfp4, tmp_path):
    mxfp4("synth", tmp_path / "in", "--like", "tiny", "--hidden-size", 100)
    error = mxfp4("quantize", tmp_path / "in", tmp_path / "out", "--json", status=2).json["error"]
    assert error["message"].endswith("'model.layers.0.mlp.experts.gate_up_proj' is kept: K = 100 is not a multiple of 32")


def test_a_card_tells_of_the_weights_beside_it_only(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "q", "--scale", "even")
    mxfp4("dequantize", tmp_path / "q", tmp_path / "bf16")
    assert not (tmp_path / "bf16/README.md").exists()
    mxfp4("quantize", tmp_path / "q", tmp_path / "again")
    again = (tmp_path / "again/README.md").read_text()
    assert "already quantised" in again and "bits per" not in again
    card = tmp_path / "q/README.md"
    card.write_text(card.read_text().replace("<!-- Written by", "<!-- Begun by") + "\nLicence: mine\n")
    mxfp4("dequantize", tmp_path / "q", tmp_path / "edited")
    assert (tmp_path / "edited/README.md").read_text() == card.read_text()


def test_a_card_is_well_formed_whatever_the_names(mxfp4, tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "a|b\nc")
    mxfp4("quantize", tmp_path / "a|b\nc", tmp_path / "out", "--exclude", "re:(.*layers.0|x).*")
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("# a\\|b c\n\n")
    assert r"| kept: excluded: --exclude re:(.*layers.0\|x).* | " in card
    assert "| kept: embedding | 1 tensor |" in card


@pytest.mark.parametrize("verb, model", [("quantize", "tiny"), ("dequantize", "tiny_mxfp4")])
def test_files_that_are_not_copied_are_named(mxfp4, request, tmp_path, verb, model):
    source = tmp_path / "in"
    shutil.copytree(request.getfixturevalue(model), source)
    (source / "pytorch_model.bin").write_text("x")
    (source / "deeper").mkdir()
    (source / "deeper/.hidden").write_text("x")
    report = mxfp4(verb, source, tmp_path / "a", "--json").json
    expected = ["deeper/.hidden (hidden)", "pytorch_model.bin (weights in another format)"]
    assert report["left_behind"] == expected
    told = mxfp4(verb, source, tmp_path / "b")
    assert all(file in told.out + told.err for file in expected)
    assert not list((tmp_path / "b").rglob("*.bin")) and not (tmp_path / "b/deeper").exists()


def test_an_output_holds_no_trace_of_how_it_was_reached(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "first")
    (tmp_path / "elsewhere").mkdir()
    mxfp4("quantize", tiny, tmp_path / "elsewhere/first", "--threads", 1, "--max-memory", "100M")
    assert tree_bytes(tmp_path / "first") == tree_bytes(tmp_path / "elsewhere/first")
