"""GGUF: read and written, judged by llama.cpp's own converter, the package `gguf` and the tokenizers package."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import reference
from checkpoints import Model, tree_bytes

gguf = pytest.importorskip("gguf")

UNTOLD = {"general.size_label", "general.name"}  # for people: a guess at the parameters, the directory's name


class File:
    """A GGUF file as the package reads it."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.metadata = {k: ([t.name for t in f.types], f.contents()) for k, f in reader.fields.items() if not k.startswith("GGUF.")}
        self.tensors = {t.name: t for t in reader.tensors}
        self.order = [t.name for t in reader.tensors]

    def bytes(self, name) -> bytes:
        return self.tensors[name].data.tobytes()

    def values(self, name) -> np.ndarray:
        """As the package's own dequantiser gives them, outermost dimension first."""
        tensor = self.tensors[name]
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        return values.reshape([int(d) for d in reversed(tensor.shape)]).astype(np.float32)


@pytest.fixture(scope="module")
def gpt_oss(golden):
    return golden / "tiny-gpt-oss"


@pytest.fixture(scope="module")
def made(mxfp4, gpt_oss, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "made.gguf"
    report = mxfp4.json("convert", gpt_oss / "hf-mxfp4", path, "--format", "gguf")
    assert report["verified"] and report["totals"]["blocks"] == 10368 and report["files"] == ["made.gguf"]
    return path


def test_every_tensor_and_every_word_is_that_of_llama_cpps_converter(gpt_oss, made):
    ours, theirs = File(made), File(gpt_oss / "gguf/mxfp4.gguf")
    assert {k: v for k, v in ours.metadata.items() if k not in UNTOLD} == {k: v for k, v in theirs.metadata.items() if k not in UNTOLD}
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        assert ours.tensors[name].tensor_type == tensor.tensor_type, name
        assert list(ours.tensors[name].shape) == list(tensor.shape), name
        assert ours.bytes(name) == theirs.bytes(name), name


def test_data_follow_each_other_as_ggml_demands(made):
    tensors, file = File(made), made.read_bytes()
    end = min(t.data_offset for t in tensors.tensors.values())
    assert end % 32 == 0
    for name in tensors.order:
        assert tensors.tensors[name].data_offset == end
        end += (tensors.tensors[name].n_bytes + 31) // 32 * 32
    assert end == len(file)


def test_the_packages_dequantiser_finds_the_values_of_the_original(gpt_oss, made):
    file, original = File(made), Model(gpt_oss / "hf-mxfp4")
    for layer in range(3):
        prefix = f"model.layers.{layer}.mlp.experts."
        joined, down = (reference.dequantize(original[prefix + n + "_blocks"], original[prefix + n + "_scales"], np.float32)
                        for n in ("gate_up_proj", "down_proj"))  # fmt: skip
        for name, values in (("gate", joined[:, 0::2]), ("up", joined[:, 1::2]), ("down", down)):
            assert np.array_equal(file.values(f"blk.{layer}.ffn_{name}_exps.weight"), values)


@pytest.mark.parametrize("source", ["openai", "mlx", "uqff-from-description"])
def test_from_any_convention_come_the_same_tensors(mxfp4, gpt_oss, made, tmp_path, source):
    mxfp4("convert", gpt_oss / source, tmp_path / "out.gguf", "--format", "gguf")
    ours, expected = File(tmp_path / "out.gguf"), File(made)
    assert {n: ours.bytes(n) for n in ours.order} == {n: expected.bytes(n) for n in expected.order}
    sizes = {k: v for k, v in expected.metadata.items() if k.startswith("gpt-oss.")}
    assert {k: v for k, v in ours.metadata.items() if k in sizes} == sizes


RUN = """
import json, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup, params.cpuparams.n_threads = 128, 1, False, 1
server = xllamacpp.Server(params)
for prompt in ("The scale of a block", "for (int i = 0;", "<|start|>user<|message|>hi"):
    request = {"prompt": prompt, "n_predict": 12, "temperature": 0, "n_probs": 440, "cache_prompt": False}
    answer = server.handle_completions(request)
    print(json.dumps((json.loads(answer) if isinstance(answer, str) else answer)["choices"]))
"""


def test_llama_cpp_runs_it_to_the_same_probabilities(gpt_oss, made):
    """Of every token, wherever xllamacpp is installed: llama.cpp ready built."""
    pytest.importorskip("xllamacpp")
    runs = [subprocess.run([sys.executable, "-c", RUN, path], check=True, stdout=subprocess.PIPE, text=True).stdout
            for path in (made, gpt_oss / "gguf/mxfp4.gguf")]  # fmt: skip
    assert len(runs[0].splitlines()) == 3 and runs[0].count("logprob") > 1000
    assert runs[0] == runs[1]


def test_there_and_back_changes_no_block(mxfp4, gpt_oss, made, tmp_path):
    mxfp4("convert", made, tmp_path / "back", "--format", "gpt-oss")
    before, after = Model(gpt_oss / "hf-mxfp4"), Model(tmp_path / "back")
    assert before.tensors.keys() == after.tensors.keys()
    for name, tensor in before.tensors.items():
        assert tensor.shape == after[name].shape, name
        if "experts" in name:
            assert tensor.dtype == after[name].dtype and tensor.tobytes() == after[name].tobytes(), name
        else:  # what llama.cpp computes with in F32 stays so
            assert np.array_equal(tensor.astype(np.float32), after[name].astype(np.float32)), name
    config = {k: v for k, v in after.config.items() if k != "quantization_config"}
    assert config == {k: before.config[k] for k in config}
    mxfp4("convert", tmp_path / "back", tmp_path / "again.gguf", "--format", "gguf")
    again, first = File(tmp_path / "again.gguf"), File(made)
    assert {n: again.bytes(n) for n in again.order} == {n: first.bytes(n) for n in first.order}
    assert {k: v for k, v in again.metadata.items() if k not in UNTOLD} == {k: v for k, v in first.metadata.items() if k not in UNTOLD}


def test_the_tokenizer_of_a_gguf_file_makes_the_same_tokens(mxfp4, gpt_oss, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    mxfp4("convert", gpt_oss / "gguf/mxfp4.gguf", tmp_path / "out", "--format", "mlx")
    ours, original = (tokenizers.Tokenizer.from_file(str(p / "tokenizer.json")) for p in (tmp_path / "out", gpt_oss / "hf-mxfp4"))
    for text in ("The scale of a block is 2.5", "for (int i = 0;) {\n\t x\u00e9\u4e2d }", "<|start|>user<|message|>hi<|end|>"):
        assert ours.encode(text).ids == original.encode(text).ids
        assert ours.decode(ours.encode(text).ids) == original.decode(original.encode(text).ids)


def test_what_llama_cpp_quantised_is_read_to_the_values_that_its_package_finds(mxfp4, gpt_oss, tmp_path):
    path = gpt_oss / "gguf/llama-quantize.gguf"
    report = mxfp4.json("convert", path, tmp_path / "out", "--format", "gpt-oss")
    assert report["totals"]["expanded"] == 14  # matrices in Q8_0
    file, model = File(path), Model(tmp_path / "out")
    q8 = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight"}
    q8 |= {f"model.layers.1.self_attn.{a}_proj.weight": f"blk.1.attn_{b}.weight" for a, b in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output"))}
    for name, theirs in q8.items():
        assert model[name].dtype == ml_dtypes.bfloat16
        assert np.array_equal(model[name].astype(np.float32), reference.bf16(file.values(theirs)).astype(np.float32)), name
    experts = "model.layers.2.mlp.experts.gate_up_proj"
    values = reference.dequantize(model[experts + "_blocks"], model[experts + "_scales"], np.float32)
    assert np.array_equal(values[:, 0::2], file.values("blk.2.ffn_gate_exps.weight"))
    assert np.array_equal(values[:, 1::2], file.values("blk.2.ffn_up_exps.weight"))


def test_what_llama_cpp_quantised_becomes_one_matrix_of_q_k_and_v(mxfp4, gpt_oss, tmp_path):
    path = gpt_oss / "gguf/llama-quantize.gguf"
    report = mxfp4.json("convert", path, tmp_path / "openai", "--format", "openai")
    file, model = File(path), Model(tmp_path / "openai")
    assert report["totals"]["bytes_in"] == sum(len(file.bytes(name)) for name in file.order)
    expected = np.concatenate([reference.bf16(file.values(f"blk.1.attn_{x}.weight")) for x in "qkv"])
    assert np.array_equal(model["block.1.attn.qkv.weight"].astype(np.float32), expected.astype(np.float32))


def test_every_verb_reads_it(mxfp4, gpt_oss, tmp_path):
    path, original = gpt_oss / "gguf/mxfp4.gguf", gpt_oss / "hf-mxfp4"
    report = mxfp4.json("inspect", path, "--scales")
    assert (report["container"], report["convention"]) == ("gguf", "gguf")
    by_name = {t["name"]: t for t in report["tensors"]}
    assert by_name["blk.0.ffn_gate_exps.weight"]["dtype"] == "MXFP4"
    assert by_name["blk.0.ffn_gate_exps.weight"]["shape"] == [6, 96, 64]
    assert by_name["blk.0.ffn_gate_exps.weight"]["bytes"] == 6 * 96 * 2 * 17
    assert report["scales"] == mxfp4.json("inspect", original, "--scales")["scales"]
    assert report["metadata"]["mxfp4.gguf"]["gpt-oss.expert_count"] == "6"
    verified, expected = mxfp4.json("verify", path), mxfp4.json("verify", original)
    assert verified["ok"] and verified["notes"] == expected["notes"]
    assert mxfp4.json("diff", path, original, "--values")["equal"]
    against = mxfp4.json("verify", path, "--against", gpt_oss / "bf16", "--max-error", "0")
    assert against["ok"], against
    mxfp4("report", path, "-o", tmp_path / "report.html")
    mxfp4("dequantize", path, tmp_path / "dense.safetensors", "--dtype", "f32")


def test_a_scale_that_is_nan_is_noticed_and_not_written(mxfp4, gpt_oss, made, tmp_path):
    data, file = bytearray(made.read_bytes()), File(made)
    data[file.tensors["blk.1.ffn_up_exps.weight"].data_offset + 17 * (3 * 2 + 1)] = 255  # expert 0, row 3, block 1
    (tmp_path / "nan.gguf").write_bytes(data)
    (problem,) = mxfp4.json("verify", tmp_path / "nan.gguf", status=1)["problems"]
    assert problem["kind"] == "scale-255" and "scale [0, 3, 1] is 255" in problem["message"]
    mxfp4("convert", tmp_path / "nan.gguf", tmp_path / "out", "--format", "mlx")
    error = mxfp4.json("convert", tmp_path / "out", tmp_path / "out.gguf", "--format", "gguf", status=3)["error"]
    assert error["code"] == "unsupported" and "experts.0.up_proj" in error["message"] and "255" in error["message"]
    assert not (tmp_path / "out.gguf").exists()


def test_what_it_cannot_hold_is_refused(mxfp4, golden, gpt_oss, tmp_path):
    error = mxfp4.json("convert", golden / "tiny-llama/quark", tmp_path / "out.gguf", "--format", "gguf", status=3)["error"]
    assert error["code"] == "unsupported" and "no gpt-oss model" in error["message"]
    error = mxfp4.json("convert", gpt_oss / "hf-mxfp4", tmp_path / "out", "--format", "gguf", status=2)["error"]
    assert "OUT is to be a .gguf file" in error["message"]
    error = mxfp4.json("quantize", gpt_oss / "gguf/mxfp4.gguf", tmp_path / "out", status=3)["error"]
    assert error["code"] == "unsupported" and "quantize reads no gguf" in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_tokenizer_says_so(mxfp4, gpt_oss, tmp_path):
    report = mxfp4.json("convert", gpt_oss / "openai", tmp_path / "out.gguf", "--format", "gguf")
    assert any("there is no tokenizer.json" in line for line in report["left_behind"])
    file = File(tmp_path / "out.gguf")
    assert file.metadata["tokenizer.ggml.model"][1] == "no_vocab" and file.metadata["gpt-oss.vocab_size"][1] == 512


def test_a_synthetic_model_survives(mxfp4, tiny_mxfp4, tmp_path):
    mxfp4("convert", tiny_mxfp4, tmp_path / "a.gguf", "--format", "gguf")
    mxfp4("convert", tmp_path / "a.gguf", tmp_path / "b", "--format", "gpt-oss")
    before, after = Model(tiny_mxfp4), Model(tmp_path / "b")
    assert all(before[n].tobytes() == after[n].tobytes() for n in before.tensors if "experts" in n)
    mxfp4("convert", tmp_path / "a.gguf", tmp_path / "c.gguf", "--format", "gguf", status=2)  # is stored so already
    assert File(tmp_path / "a.gguf").metadata["tokenizer.ggml.pre"][1] == "gpt-2"


def test_bytes_do_not_depend_on_threads(mxfp4, gpt_oss, made, tmp_path):
    mxfp4("convert", gpt_oss / "hf-mxfp4", tmp_path / "made.gguf", "--format", "gguf", "--threads", 1, "--no-verify")
    assert tree_bytes(tmp_path / "made.gguf") == tree_bytes(made)


def test_the_table_of_types_is_the_packages(mxfp4, tmp_path):
    for kind, (elements, size) in gguf.GGML_QUANT_SIZES.items():
        if kind.name in ("Q8_1",):  # which no file holds
            continue
        path = tmp_path / f"{kind.name}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tensor("t", np.zeros((3, size), np.uint8), raw_shape=(3, size), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        (tensor,) = mxfp4.json("inspect", path)["tensors"]
        assert tensor["dtype"] == kind.name and tensor["bytes"] == 3 * size, kind
