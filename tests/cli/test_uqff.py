"""UQFF: the directory of version 1.2 and the blobs of 0.2, held against files made from the description."""

import struct

import numpy as np
import pytest

from checkpoints import DTYPES, Model, read_safetensors, tree_bytes, write_safetensors

U32 = {"U32": np.uint32}


@pytest.fixture(autouse=True)
def u32(monkeypatch):
    monkeypatch.setitem(DTYPES, "U32", np.uint32)


@pytest.fixture(scope="module")
def gpt_oss(golden):
    return golden / "tiny-gpt-oss"


def tensors_of(directory) -> dict[str, np.ndarray]:
    found = {}
    for path in [*sorted(directory.glob("*.uqff")), directory / "residual.safetensors"]:
        found |= read_safetensors(path) if path.exists() else {}
    return found


def same(a, b):
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert (tensor.dtype, tensor.shape, tensor.tobytes()) == (b[name].dtype, b[name].shape, b[name].tobytes()), name


@pytest.mark.parametrize("source", ["hf-mxfp4", "openai", "mlx", "uqff-0"])
def test_every_tensor_is_that_of_the_description(mxfp4, gpt_oss, tmp_path, source):
    path = gpt_oss / source
    if source == "uqff-0":
        path = tmp_path / "old"
        mxfp4("convert", gpt_oss / "hf-mxfp4", path, "--format", "uqff-0")
        assert "stored as uqff-0 already" in mxfp4.json("convert", path, tmp_path / "no", "--format", "uqff-0", status=2)["error"]["message"]
    report = mxfp4.json("convert", path, tmp_path / "out", "--format", "uqff")
    assert report["verified"] and report["format"] == "uqff" and (report["from"] == "uqff-0") == (source == "uqff-0")
    same(tensors_of(tmp_path / "out"), tensors_of(gpt_oss / "uqff-from-description"))
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"mxfp4-0.uqff", "residual.safetensors", "config.json"} <= names
    assert "model.safetensors.index.json" not in names
    if source == "hf-mxfp4":
        assert {"tokenizer.json", "tokenizer_config.json", "generation_config.json"} <= names


def test_every_blob_is_that_of_the_description(mxfp4, gpt_oss, tmp_path):
    mxfp4("convert", gpt_oss / "hf-mxfp4", tmp_path / "out", "--format", "uqff-0")
    same(read_safetensors(tmp_path / "out/mxfp4-0.uqff"), read_safetensors(gpt_oss / "uqff-0.2-from-description/mxfp4-0.uqff"))


@pytest.mark.parametrize("source", ["uqff-from-description", "uqff-0"])
def test_there_and_back_changes_no_block(mxfp4, gpt_oss, tmp_path, source):
    path = gpt_oss / source
    if source == "uqff-0":
        path = tmp_path / "old"
        mxfp4("convert", gpt_oss / "hf-mxfp4", path, "--format", "uqff-0")
    mxfp4("convert", path, tmp_path / "out", "--format", "gpt-oss")
    before, after = Model(gpt_oss / "hf-mxfp4"), Model(tmp_path / "out")
    same(before.tensors, after.tensors)


def test_a_model_with_biases_of_its_own(mxfp4, golden, tmp_path):
    mxfp4("convert", golden / "tiny-llama/quark", tmp_path / "out", "--format", "uqff")
    before, after = Model(golden / "tiny-llama/quark").tensors, tensors_of(tmp_path / "out")
    packed = [n.removesuffix("_scale") for n in before if n.endswith(".weight_scale")]
    assert len(packed) == 12
    for name in packed:
        assert after[name].tobytes() == before[name].tobytes()
        assert after[name + ".scales"].tobytes() == before[name + "_scale"].tobytes()
        assert after[name + ".format"].tolist() == 6
    in_layers = set().union(*(read_safetensors(p) for p in (tmp_path / "out").glob("*.uqff")))
    for name, tensor in before.items():
        if name.endswith(".bias"):
            assert after[name].dtype == tensor.dtype and after[name].tobytes() == tensor.tobytes()
            assert (name in in_layers) == (name.removesuffix("bias") + "weight" in packed)
    mxfp4("convert", tmp_path / "out", tmp_path / "back", "--format", "quark")
    same(Model(tmp_path / "back").tensors, before)
    error = mxfp4.json("convert", golden / "tiny-llama/quark", tmp_path / "no", "--format", "uqff-0", status=3)["error"]
    assert error["code"] == "unsupported" and "blobs have no names" in error["message"]


def test_embeddings_are_layers(mxfp4, golden, tmp_path):
    """As 1.2 has them; in the residual file mistral.rs would look for one that is not quantised."""
    mxfp4("quantize", golden / "tiny-llama/bf16", tmp_path / "in", "--format", "native", "--include", "model.embed_tokens.weight")
    mxfp4("convert", tmp_path / "in", tmp_path / "out", "--format", "uqff")
    before, after = Model(tmp_path / "in").tensors, read_safetensors(tmp_path / "out/mxfp4-0.uqff")
    name = "model.embed_tokens.weight"
    assert after[name].dtype == np.uint8 and after[name].tobytes() == before[name].tobytes()
    assert after[f"{name}.scales"].tobytes() == before[f"{name}_scale"].tobytes()
    assert after[f"{name}.format"] == 6 and after["uqff.version.minor"] == 2
    assert not [n for n in read_safetensors(tmp_path / "out/residual.safetensors") if "embed" in n]


def test_every_verb_reads_it(mxfp4, gpt_oss, tmp_path):
    for name in ("uqff-from-description", "uqff-0.2-from-description"):
        assert mxfp4.json("inspect", gpt_oss / name)["convention"] == "uqff"
        assert mxfp4.json("verify", gpt_oss / name)["ok"]
    assert mxfp4.json("diff", gpt_oss / "uqff-from-description", gpt_oss / "gguf/mxfp4.gguf", "--values")["equal"]
    mxfp4("dequantize", gpt_oss / "uqff-from-description", tmp_path / "out")
    assert mxfp4.json("diff", tmp_path / "out", gpt_oss / "bf16", "--values", status=1)["differences"] == [
        d for d in mxfp4.json("diff", tmp_path / "out", gpt_oss / "bf16", "--values", status=1)["differences"] if d["kind"] == "config"]
    error = mxfp4.json("quantize", gpt_oss / "uqff-from-description", tmp_path / "no", status=3)["error"]
    assert error["code"] == "unsupported" and "quantize reads no uqff" in error["message"]


def test_a_layer_in_another_format_is_listed_and_not_converted(mxfp4, bare, tmp_path):
    (tmp_path / "q").mkdir()
    tensors = {"uqff.version.major": np.uint32(1), "uqff.version.minor": np.uint32(2), "uqff.version.patch": np.uint32(0)}
    tensors |= {"a.weight": np.zeros(100, np.uint8), "a.weight.format": np.uint8(0)}
    from checkpoints import NAMES
    NAMES[np.dtype(np.uint32)] = "U32"
    write_safetensors(tmp_path / "q/q-0.uqff", {k: np.asarray(v) for k, v in tensors.items()})
    assert mxfp4.json("inspect", tmp_path / "q")["convention"] == "uqff with format 0"
    error = mxfp4.json("convert", tmp_path / "q", tmp_path / "out", "--format", "linear", status=3)["error"]
    assert error["code"] == "unsupported" and "uqff with format 0" in error["message"]


def test_large_models_are_cut(mxfp4, gpt_oss, tmp_path):
    """Shards are counted from 0; the rest of the model is one file."""
    mxfp4("convert", gpt_oss / "hf-mxfp4", tmp_path / "out", "--format", "uqff", "--threads", 1)
    mxfp4("convert", gpt_oss / "hf-mxfp4", tmp_path / "two", "--format", "uqff", "--threads", 2)
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "two")
    blob = read_safetensors(gpt_oss / "uqff-0.2-from-description/mxfp4-0.uqff")["0"].tobytes()
    assert struct.unpack("<IBB", blob[:6]) == (0x200, 6, 1)


def test_a_note_alone_makes_no_blobs(mxfp4, tmp_path):
    tensors = {"a.blocks": np.zeros((1, 16), np.uint8), "a.scales": np.full((1, 1), 120, np.uint8)}
    write_safetensors(tmp_path / "in.safetensors", tensors, {"uqff.version": "0.2.0"})
    assert "stored as linear already" in mxfp4.json("convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--format", "linear", status=2)["error"]["message"]
