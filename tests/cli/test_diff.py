"""diff finds every difference between two models, by bytes and by values."""

import shutil

import numpy as np
import pytest

from checkpoints import read_safetensors
from test_verify import CODES, SCALES, Change


def differences(mxfp4, a, b, *arguments):
    """What diff finds, which must be something and the same with one thread and with four."""
    report = mxfp4.json("diff", a, b, *arguments, "--threads", 1, status=1)
    assert report == mxfp4.json("diff", a, b, *arguments, "--threads", 4, status=1)
    assert set(report) == {"equal", "differences"} and report["equal"] is False
    assert report["differences"]
    return report["differences"]


def only(found, kind, tensor=None, *pieces):
    assert len(found) == 1, found
    assert found[0]["kind"] == kind and found[0].get("tensor") == tensor, found
    for piece in pieces:
        assert str(piece) in found[0]["message"], found


def equal(mxfp4, a, b, *arguments):
    assert mxfp4.json("diff", a, b, *arguments) == {"equal": True, "differences": []}
    assert mxfp4("diff", a, b, *arguments).out.startswith("equal: ")
    assert mxfp4("diff", a, b, *arguments, "--quiet").out == ""


@pytest.fixture
def model(tiny_mxfp4, tmp_path):
    """A model whose file was written by this test's writer, and a copy to change."""
    original = Change(tiny_mxfp4, tmp_path / "a")
    original.write()
    return original.path, Change(original.path, tmp_path / "b")


def test_a_model_equals_itself(mxfp4, golden, tiny, bare):
    for path in (golden / "tiny-gpt-oss/hf-mxfp4", golden / "tiny-llama/compressed-tensors", tiny, bare({"w": np.ones(3)}), bare({})):
        for arguments in ([], ["--values"]):
            equal(mxfp4, path, path, *arguments)


def test_the_same_model_in_other_layouts_is_worth_the_same(mxfp4, golden, tiny, tmp_path):
    gpt_oss = golden / "tiny-gpt-oss"
    equal(mxfp4, gpt_oss / "bf16", gpt_oss / "bf16-as-saved", "--values")
    mxfp4("dequantize", gpt_oss / "hf-mxfp4", tmp_path / "dense")
    equal(mxfp4, gpt_oss / "hf-mxfp4", tmp_path / "dense", "--values")
    mxfp4("quantize", tiny, tmp_path / "q")
    mxfp4("quantize", tiny, tmp_path / "shards", "--max-shard", "100K")
    mxfp4("quantize", tiny, tmp_path / "ct", "--format", "compressed-tensors", "--max-shard", "100K")
    mxfp4("dequantize", tmp_path / "q", tmp_path / "f32", "--dtype", "f32")
    for other in ("shards", "ct", "f32"):
        equal(mxfp4, tmp_path / "q", tmp_path / other, "--values")
        equal(mxfp4, tmp_path / other, tmp_path / "q", "--values")
    kinds = {d["kind"] for d in differences(mxfp4, tmp_path / "q", tmp_path / "shards")}
    assert kinds == {"index"}
    kinds = {d["kind"] for d in differences(mxfp4, tmp_path / "q", tmp_path / "ct")}
    assert {"missing", "extra", "config"} <= kinds


def test_one_code_and_one_scale_are_found(mxfp4, model):
    a, b = model
    index = tuple(n - 1 for n in b.tensors[CODES].shape)
    before = int(b.tensors[CODES][index])
    b.tensors[CODES][index] ^= 0x10
    only(differences(mxfp4, a, b.write()), "codes", CODES, "model.safetensors", list(index), f"{before} in A", f"{before ^ 16} in B", f"1 of {b.tensors[CODES].size} ")
    weight = CODES.removesuffix("_blocks")
    shape = (*index[:2], 32 * (index[2] + 1) - 1)
    only(differences(mxfp4, a, b.path, "--values"), "values", weight, list(shape), "1 of ", "in A", "in B")
    b.tensors[CODES][index] ^= 0x10
    b.tensors[SCALES][0, 3, 1] += 1
    scale = int(b.tensors[SCALES][0, 3, 1])
    only(differences(mxfp4, a, b.write()), "scales", SCALES, "[0, 3, 1]", f"{scale - 1} in A", f"{scale} in B")
    found = differences(mxfp4, a, b.path, "--values")
    only(found, "values", weight, "[0, 3, ")


def test_every_kind_of_difference_between_tensors(mxfp4, bare):
    x = np.arange(64, dtype=np.float32).reshape(2, 32)
    a = bare({"dtype": x, "gone": x, "same": x, "shape": x, "value": x}, "a.safetensors")
    changed = x.copy()
    changed[1, 2:4] += 0.5
    b = bare({"dtype": x.astype(np.float16), "new": x, "same": x, "shape": x.reshape(4, 16), "value": changed}, "b.safetensors")
    found = {d["tensor"]: d for d in differences(mxfp4, a, b)}
    assert {name: d["kind"] for name, d in found.items()} == {"dtype": "dtype", "gone": "missing", "new": "extra", "shape": "shape", "value": "values"}
    for name, pieces in {"dtype": ["F32 in A", "F16 in B"], "shape": ["[2, 32]", "[4, 16]"], "value": ["[1, 2]: 34 in A, 34.5 in B", "2 of 64"]}.items():
        assert all(piece in found[name]["message"] for piece in pieces), found[name]
    found = {d["tensor"]: d for d in differences(mxfp4, a, b, "--values")}
    assert {name: d["kind"] for name, d in found.items()} == {"gone": "missing", "new": "extra", "shape": "shape", "value": "values"}
    assert "[1, 2]: 34 in A, 34.5 in B; 2 of 64 elements differ, by 0.5 at most" in found["value"]["message"]


@pytest.mark.parametrize("dtype, count", [(np.int64, 3), (np.uint8, 7_000_000), (np.float64, 600_000), (np.bool_, 9)])
def test_the_last_element_is_compared(mxfp4, bare, dtype, count):
    x = np.zeros(count, dtype)
    y = x.copy()
    y[-1] = 1
    for arguments in ([], ["--values"]):
        found = differences(mxfp4, bare({"w": x}, "a.safetensors"), bare({"w": y}, "b.safetensors"), *arguments)
        only(found, "values", "w", f"[{count - 1}]: 0 in A, 1 in B", f"1 of {count} ")


def test_values_are_compared_as_numbers(mxfp4, bare):
    x = np.array([0.0, np.nan, np.inf, 1.0], np.float32)
    y = np.array([-0.0, np.nan, np.inf, 1.0], np.float32)
    y.view(np.uint32)[1] |= 0x80001234  # another NaN
    a, b = bare({"w": x}, "a.safetensors"), bare({"w": y}, "b.safetensors")
    equal(mxfp4, a, b, "--values")
    only(differences(mxfp4, a, b), "values", "w", "[0]: 0 in A, -0 in B; 2 of 4")
    z = bare({"w": np.array([0, 1, np.inf, 1], np.float32)}, "z.safetensors")
    only(differences(mxfp4, a, z, "--values"), "values", "w", "[1]: NaN in A, 1 in B; 1 of 4 elements differ, by Inf at most")
    only(differences(mxfp4, bare({"w": np.float32(2)}), bare({"w": np.float32(3)}, "3.safetensors"), "--values"), "values", "w", "[]: 2 in A, 3 in B")


def test_order_in_the_file_is_a_difference_of_bytes(mxfp4, model):
    a, b = model
    b.tensors = dict(reversed(b.tensors.items()))
    found = differences(mxfp4, a, b.write())
    assert {d["kind"] for d in found} == {"offset"}
    assert any(d["tensor"] == CODES and "model.safetensors" in d["message"] for d in found)
    equal(mxfp4, a, b.path, "--values")


def test_configs_are_compared_by_key(mxfp4, model):
    a, b = model
    b.config(vocab_size=513, rope_scaling={"rope_type": "yarn", "factor": 32.0, "truncate": 1}, new=[1], swiglu_limit=None, rope_theta=150000.0)
    found = differences(mxfp4, a, b.path)
    assert {d["kind"] for d in found} == {"config"} and all("tensor" not in d for d in found)
    text = "\n".join(d["message"] for d in found)
    for piece in ("'vocab_size' is 512 in A, 513 in B", "'new' is absent in A, [1] in B", "'swiglu_limit' is 7.0 in A, absent in B",
                  "'rope_scaling.truncate' is false in A, 1 in B", "'rope_scaling.beta_fast' is 32.0 in A, absent in B"):  # fmt: skip
        assert piece in text
    assert "rope_type" not in text and "rope_theta" not in text
    assert differences(mxfp4, a, b.path, "--values") == found
    b.config(quantization_config={"quant_method": "mxfp4"})
    assert len(differences(mxfp4, a, b.path)) == len(found) + 1
    assert differences(mxfp4, a, b.path, "--values") == found
    (b.path / "config.json").unlink()
    assert differences(mxfp4, a, b.path)[0]["message"] == "config.json stands in A only"


def test_metadata_are_compared(mxfp4, bare):
    x = np.ones(2, np.float32)
    a = bare({"w": x}, "a.safetensors", {"format": "pt", "by": "me"})
    b = bare({"w": x}, "b.safetensors", {"format": "np"})
    found = differences(mxfp4, a, b)
    assert [d["kind"] for d in found] == ["config", "config"]
    assert "'by' is \"me\" in A, absent in B" in found[0]["message"] and "a.safetensors" in found[0]["message"]
    equal(mxfp4, a, b, "--values")


def test_a_directory_and_a_file_can_be_compared(mxfp4, tiny, golden):
    equal(mxfp4, tiny, tiny / "model.safetensors")
    equal(mxfp4, tiny / "model.safetensors", tiny, "--values")
    shards = golden / "tiny-gpt-oss/hf-mxfp4"
    found = differences(mxfp4, shards, shards / "model-00002-of-00003.safetensors")
    assert {d["kind"] for d in found} == {"missing"}


def test_broken_models_can_be_compared_as_far_as_they_can_be_read(mxfp4, golden, tmp_path):
    a, b = golden / "tiny-gpt-oss/hf-mxfp4", tmp_path / "b"
    shutil.copytree(a, b)
    (b / "model-00003-of-00003.safetensors").unlink()
    gone = set(read_safetensors(a / "model-00003-of-00003.safetensors"))
    assert {(d["kind"], d["tensor"]) for d in differences(mxfp4, a, b)} == {("missing", name) for name in gone}
    assert mxfp4.json("diff", a, b, "--values", status=3)["error"]["code"] == "corrupt_file"
    (b / "config.json").write_text("[]")
    assert mxfp4.json("diff", a, b, status=3)["error"]["code"] == "corrupt_file"
    assert mxfp4.json("diff", a, tmp_path / "c", status=3)["error"]["code"] == "io"
    assert mxfp4.json("diff", a, status=2)["error"]["code"] == "invalid_argument"


def test_a_name_that_stands_twice_is_refused(mxfp4, golden, tmp_path):
    a, b = golden / "tiny-gpt-oss/hf-mxfp4", tmp_path / "b"
    shutil.copytree(a, b)
    shutil.copy(b / "model-00001-of-00003.safetensors", b / "model-00002-of-00003.safetensors")
    for models in (a, b), (b, a):
        for options in [], ["--values"]:
            error = mxfp4.json("diff", *models, *options, status=3)["error"]
            assert error["code"] == "corrupt_file" and (options or "stands in model-00001-of-00003" in error["message"])


def test_a_foreign_quantisation_is_compared_by_bytes_only(mxfp4, bare):
    tensors = {"a.weight": np.zeros((4, 16), np.uint8), "a.weight.absmax": np.zeros(4, np.float32)}
    a = bare(tensors, "a.safetensors")
    tensors["a.weight"][3, 15] = 7
    b = bare(tensors, "b.safetensors")
    only(differences(mxfp4, a, b), "values", "a.weight", "[3, 15]: 0 in A, 7 in B")
    assert mxfp4.json("diff", a, b, "--values", status=3)["error"]["code"] == "unsupported"
