"""verify finds what is wrong: every kind of problem, made on purpose from a good model."""

import json
import shutil
import time

import ml_dtypes
import numpy as np
import pytest

from checkpoints import Model, read_safetensors, write_safetensors
from test_inspect import sparse_model
from test_terminal import on_terminal, widest

LAYER = "model.layers.1."
CODES, SCALES = LAYER + "mlp.experts.down_proj_blocks", LAYER + "mlp.experts.down_proj_scales"


class Change:
    """A copy of a model whose only file can be changed."""

    def __init__(self, source, path):
        shutil.copytree(source, path)
        self.path, self.file = path, path / "model.safetensors"
        self.tensors = {name: tensor.copy() for name, tensor in read_safetensors(self.file).items()}

    def write(self):
        write_safetensors(self.file, self.tensors)
        return self.path

    def config(self, **changes):
        config = json.loads((self.path / "config.json").read_text())
        config.update(changes)
        (self.path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return self.path


@pytest.fixture
def model(tiny_mxfp4, tmp_path):
    return Change(tiny_mxfp4, tmp_path / "model")


@pytest.fixture
def sharded(golden, tmp_path):
    shutil.copytree(golden / "tiny-gpt-oss/hf-mxfp4", tmp_path / "sharded")
    return tmp_path / "sharded"


def problems(mxfp4, path, *arguments):
    """What verify finds, which must be something and the same with one thread and with four."""
    report = mxfp4.json("verify", path, *arguments, "--threads", 1, status=1)
    assert report == mxfp4.json("verify", path, *arguments, "--threads", 4, status=1)
    assert report["ok"] is False and report["problems"]
    for problem in report["problems"]:
        assert problem["message"] and set(problem) <= {"kind", "tensor", "message"}
    return report["problems"]


def only(found, kind, tensor=None, *pieces):
    """The one problem there is; its message has every piece."""
    assert len(found) == 1, found
    assert found[0]["kind"] == kind and found[0].get("tensor") == tensor, found
    for piece in pieces:
        assert str(piece) in found[0]["message"], found
    return found[0]


@pytest.mark.parametrize("name", ["tiny-gpt-oss/bf16", "tiny-gpt-oss/bf16-as-saved", "tiny-gpt-oss/hf-mxfp4", "tiny-gpt-oss/openai",
                                  "tiny-llama/bf16", "tiny-llama/compressed-tensors"])  # fmt: skip
def test_models_of_other_projects_are_good(mxfp4, golden, name):
    for arguments in ([], ["--structure"]):
        report = mxfp4.json("verify", golden / name, *arguments)
        assert report["ok"] is True and report["problems"] == [] and report["tensors"] == []


def test_what_this_tool_writes_is_good(mxfp4, tiny, llama, tmp_path):
    for source, formats in ((tiny, ["gpt-oss", "linear", "compressed-tensors"]), (llama, ["linear", "compressed-tensors"])):
        for form in formats:
            out = tmp_path / f"{source.name}-{form}"
            mxfp4("quantize", source, out, "--format", form, "--max-shard", "100K")
            assert mxfp4.json("verify", out, "--against", source)["ok"]
            mxfp4("dequantize", out, tmp_path / f"{out.name}-back")
            assert mxfp4.json("verify", tmp_path / f"{out.name}-back", "--against", out)["ok"]


def test_what_is_left_alone_stands_in_the_config(mxfp4, llama, tmp_path):
    mxfp4("quantize", llama, tmp_path / "out", "--exclude", "*.q_proj", "--exclude", "model.layers.1")
    assert mxfp4.json("verify", tmp_path / "out", "--structure")["ok"]


def test_notes_count_codes_and_blocks(mxfp4, model):
    model.tensors[CODES][0, 0, 0] = 0x88  # a block of -0
    model.tensors[CODES][1, 0, 0] = 0x7F  # a block of 6 and -6
    notes = mxfp4.json("verify", model.write())["notes"]
    codes = [t for name, t in model.tensors.items() if name.endswith("_blocks")]
    nibbles = [np.stack([t & 15, t >> 4], -1) for t in codes]
    total = sum(t.size for t in nibbles)
    blocks = np.concatenate([t.reshape(-1, 32) for t in nibbles])
    assert notes == [f"{(blocks == 8).sum()} of {total} codes are -0", f"{(blocks % 8 == 7).sum()} of {total} codes are 6 or -6, the largest there are",
                     f"{(blocks % 8 == 0).all(1).sum()} of {len(blocks)} blocks are all zeros"]  # fmt: skip
    assert mxfp4.json("verify", model.path, "--structure")["notes"] == []


@pytest.mark.parametrize("value, shown", [(np.nan, "NaN"), (np.inf, "Inf"), (-np.inf, "-Inf")])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_nonfinite_numbers_are_found_in_the_last_place(mxfp4, bare, dtype, value, shown):
    tensor = np.full((3, 70_000), np.finfo(np.float16).max if dtype == np.float16 else 1e30).astype(dtype)
    tensor[2, 69_999] = value
    path = bare({"a": np.zeros(3, np.uint8), "w": tensor, "z": np.ones(5, dtype)})
    only(problems(mxfp4, path), "non-finite", "w", "in.safetensors", "[2, 69999]", f" is {shown}", "1 of 210000")
    assert mxfp4.json("verify", path, "--structure")["ok"]


def test_the_first_of_many_nonfinite_numbers_is_named(mxfp4, bare):
    tensor = np.zeros((2, 3, 1 << 20), np.float32)  # of several pieces of work
    tensor[0, 2, 5] = tensor[0, 2, 6] = tensor[1, 2, -1] = np.nan
    only(problems(mxfp4, bare({"w": tensor})), "non-finite", "w", "[0, 2, 5]", "3 of 6291456")


def test_scale_byte_255_is_found_in_the_last_place(mxfp4, model):
    model.tensors[SCALES][-1, -1, -1] = 255
    index = [n - 1 for n in model.tensors[SCALES].shape]
    only(problems(mxfp4, model.write()), "scale-255", SCALES, "model.safetensors", index, f"1 of {model.tensors[SCALES].size}")


def test_several_problems_are_all_told(mxfp4, model):
    model.tensors[SCALES][0, 0, 0] = 255
    model.tensors["lm_head.weight"][3, 4] = np.nan
    del model.tensors["model.norm.weight"]
    model.write()
    model.config(vocab_size=513)
    found = problems(mxfp4, model.path)
    assert sorted((p["kind"], p.get("tensor")) for p in found) == [
        ("config", "lm_head.weight"), ("config", "model.embed_tokens.weight"), ("missing", "model.norm.weight"),
        ("non-finite", "lm_head.weight"), ("scale-255", SCALES)]  # fmt: skip


def test_scales_and_codes_need_each_other(mxfp4, model):
    codes = model.tensors.pop(CODES)
    only(problems(mxfp4, model.write(), "--structure"), "missing", CODES, SCALES)
    model.tensors[CODES] = codes
    scales = model.tensors.pop(SCALES)
    only(problems(mxfp4, model.write(), "--structure"), "missing", SCALES, CODES)
    model.tensors[SCALES] = scales[:, :, :-1]
    only(problems(mxfp4, model.write(), "--structure"), "shape", CODES, list(codes.shape), list(scales[:, :, :-1].shape))
    model.tensors[SCALES] = scales.astype(np.float32)
    only(problems(mxfp4, model.write(), "--structure"), "dtype", SCALES, "F32", "U8")


@pytest.mark.parametrize("change, pieces", [
    ({"num_hidden_layers": 4}, ["model.layers.3 is missing", "there are 4"]), ({"num_hidden_layers": 2}, ["model.layers.2 is too many", "there are 2"]),
    ({"hidden_size": 65}, ["hidden_size is 65"]), ({"intermediate_size": 97}, ["intermediate_size 97"]), ({"num_local_experts": 7}, ["7 experts"]),
    ({"vocab_size": 511}, ["vocab_size is 511"]), ({"quantization_config": None}, ["no quantization_config"]),
    ({"quantization_config": {"quant_method": "fp8"}}, ["fp8", "mxfp4"]), ({"hidden_size": "64"}, ['"64"', "not a size"]),
    ({"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.1.mlp.experts"]}}, ["modules left alone"]),
])  # fmt: skip
def test_the_config_must_fit_the_tensors(mxfp4, model, change, pieces):
    found = problems(mxfp4, model.config(**change), "--structure")
    assert {p["kind"] for p in found} <= {"config", "missing", "extra"}
    for piece in pieces:
        assert any(piece in p["message"] for p in found), found


@pytest.mark.parametrize("gone", ["model.layers.1.self_attn.k_proj.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias",
                                  "model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"])  # fmt: skip
def test_a_weight_that_was_lost_is_named(mxfp4, golden, tmp_path, gone):
    model = Change(golden / "tiny-llama/bf16", tmp_path / "copy")
    del model.tensors[gone]
    only(problems(mxfp4, model.write(), "--structure"), "missing", gone, gone)
    mxfp4("quantize", model.path, tmp_path / "out")
    only(problems(mxfp4, tmp_path / "out", "--structure"), "missing", gone, gone)


def test_a_missing_layer_is_one_problem(mxfp4, model):
    model.tensors = {name: t for name, t in model.tensors.items() if not name.startswith(LAYER)}
    only(problems(mxfp4, model.write(), "--structure"), "missing", None, "model.layers.1 is missing", "there are 3")


def test_a_missing_expert_is_named(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "model", "--format", "compressed-tensors")
    model = Change(tmp_path / "model", tmp_path / "copy")
    model.tensors = {name: t for name, t in model.tensors.items() if ".1.mlp.experts.4." not in name}
    only(problems(mxfp4, model.write(), "--structure"), "missing", None, "model.layers.1.mlp.experts.4 is missing", "there are 6")


def edit_index(path, edit):
    file = path / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    edit(index)
    file.write_text(json.dumps(index))


SINKS, NORM = "model.layers.2.self_attn.sinks", "model.norm.weight"


@pytest.mark.parametrize("edit, kind, tensor, pieces", [
    (lambda i: i["weight_map"].pop(SINKS), "index", SINKS, ["does not name"]),
    (lambda i: i["weight_map"].update(more="model-00001-of-00003.safetensors"), "missing", "more", ["no file holds it"]),
    (lambda i: i["weight_map"].update({NORM: "model-00001-of-00003.safetensors"}), "index", NORM, ["00001-of", "00003-of"]),
    (lambda i: i["metadata"].update(total_size=17), "index", None, ["total_size is 17"]),
    (lambda i: i["weight_map"].update(more="../x.safetensors"), "index", "more", ["../x.safetensors"]),
])  # fmt: skip
def test_the_index_must_fit_the_files(mxfp4, sharded, edit, kind, tensor, pieces):
    edit_index(sharded, edit)
    only(problems(mxfp4, sharded), kind, tensor, "model.safetensors.index.json", *pieces)


def test_a_missing_shard_is_named(mxfp4, sharded):
    (sharded / "model-00003-of-00003.safetensors").unlink()
    found = problems(mxfp4, sharded, "--structure")
    assert found[0]["kind"] == "missing" and "model-00003-of-00003.safetensors" in found[0]["message"]
    assert not any("no file holds it" in p["message"] for p in found)


def test_what_cannot_be_read_is_an_error(mxfp4, sharded, tmp_path):
    shard = sharded / "model-00002-of-00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    error = mxfp4.json("verify", sharded, status=3)["error"]
    assert error["code"] == "corrupt_file" and shard.name in error["message"]
    (sharded / "config.json").write_text("{")
    assert mxfp4.json("verify", sharded, status=3)["error"]["code"] == "corrupt_file"
    for path, code in ((tmp_path / "nothing", "io"), (tmp_path, "invalid_argument")):
        assert mxfp4.json("verify", path, status=3 if code == "io" else 2)["error"]["code"] == code


def test_against_tells_the_error_of_every_weight(mxfp4, llama, tmp_path):
    mxfp4("quantize", llama, tmp_path / "out")
    report = mxfp4.json("verify", tmp_path / "out", "--against", llama)
    found, original = {t["name"]: t for t in report["tensors"]}, Model(llama)
    assert found.keys() == original.tensors.keys() and report["ok"]
    mxfp4("dequantize", tmp_path / "out", tmp_path / "back", "--dtype", "f32")
    for name, tensor in Model(tmp_path / "back").tensors.items():
        x, y = original[name].astype(np.float64), tensor.astype(np.float64)
        noise = ((x - y) ** 2).sum()
        assert found[name]["max_error"] == abs(x - y).max()
        if noise == 0:
            assert found[name]["sqnr_db"] is None
        else:
            assert found[name]["sqnr_db"] == pytest.approx(10 * np.log10((x**2).sum() / noise))


def test_against_keeps_to_its_bounds(mxfp4, golden, tmp_path):
    original = golden / "tiny-llama/bf16"
    copy = Change(golden / "tiny-llama/compressed-tensors", tmp_path / "copy")
    good = mxfp4.json("verify", copy.path, "--against", original)
    worst = min((t for t in good["tensors"] if t["sqnr_db"]), key=lambda t: t["sqnr_db"])
    only(problems(mxfp4, copy.path, "--against", original, "--min-sqnr", worst["sqnr_db"] + 1e-6), "error-bound", worst["name"], "model.safetensors")
    assert mxfp4.json("verify", copy.path, "--against", original, "--min-sqnr", worst["sqnr_db"] - 1e-6)["ok"]
    largest = max(t["max_error"] for t in good["tensors"])
    assert mxfp4.json("verify", copy.path, "--against", original, "--max-error", largest)["ok"]
    found = problems(mxfp4, copy.path, "--against", original, "--max-error", np.nextafter(largest, 0))
    assert {p["kind"] for p in found} == {"error-bound"}
    # One block in the wrong: the place of its largest error is told.
    name = "model.layers.1.mlp.down_proj.weight"
    copy.tensors[name + "_scale"][95, 4] = 140
    found = only(problems(mxfp4, copy.write(), "--against", original), "error-bound", name, "SQNR", "below 12 dB")
    row, column = json.loads(found["message"].split("element ")[1].split("]")[0] + "]")
    assert row == 95 and 128 <= column < 160


def test_against_knows_the_layouts(mxfp4, golden, tiny, tmp_path):
    gpt_oss = golden / "tiny-gpt-oss"
    for original in ("bf16", "bf16-as-saved", "hf-mxfp4"):
        for path in ("bf16", "bf16-as-saved", "hf-mxfp4"):
            report = mxfp4.json("verify", gpt_oss / path, "--against", gpt_oss / original, "--max-error", 0)
            assert len(report["tensors"]) == 54
    mxfp4("quantize", tiny, tmp_path / "ct", "--format", "compressed-tensors")
    report = mxfp4.json("verify", tmp_path / "ct", "--against", tiny)
    names = {t["name"] for t in report["tensors"] if t["sqnr_db"] is not None}
    assert names == {f"model.layers.{i}.mlp.experts.{e}.{p}_proj.weight" for i in range(3) for e in range(6) for p in ("gate", "up", "down")}
    assert report["ok"]


def test_against_tells_what_is_missing_and_what_is_new(mxfp4, bare):
    x = np.ones((2, 32), np.float32)
    original = bare({"a": x, "b": x, "c": x, "d": np.arange(4), "e": x, "f": x}, "original.safetensors")
    path = bare({"a": x, "c": x.reshape(1, 64), "d": np.arange(1, 5), "e": x.astype(np.int32), "f": x * np.float32(1.5), "g": x})
    found = problems(mxfp4, path, "--against", original)
    assert [(p["kind"], p["tensor"]) for p in found] == [
        ("missing", "b"), ("extra", "g"), ("shape", "c"), ("dtype", "e"), ("error-bound", "f"), ("values", "d")]  # fmt: skip
    nan = bare({"a": x * np.nan, "b": x, "c": x, "d": np.arange(4), "e": x, "f": x}, "nan.safetensors")
    assert [p["kind"] for p in problems(mxfp4, nan, "--against", original)] == ["non-finite", "error-bound"]
    assert mxfp4.json("verify", nan, "--against", nan, status=1)["tensors"][0]["max_error"] == 0


def test_a_foreign_quantisation_is_looked_into_as_far_as_possible(mxfp4, bare):
    tensors = {"a.weight": np.zeros((4, 16), np.uint8), "a.weight.absmax": np.zeros(4, np.float32), "b": np.ones(4, np.float32)}
    source = bare(tensors)
    assert any("bitsandbytes" in note for note in mxfp4.json("verify", source)["notes"])
    assert mxfp4.json("verify", source, "--against", source, status=3)["error"]["code"] == "unsupported"
    tensors["b"][2] = np.inf
    only(problems(mxfp4, bare(tensors)), "non-finite", "b", "[2]")


@pytest.mark.parametrize("arguments", [["--structure", "--against", "x"], ["--min-sqnr", "3"], ["--max-error", "3"], ["--against", "x", "--min-sqnr", "nan"], ["--against", "x", "--max-error", "-1"],
                                       ["--against", "x", "--min-sqnr", "high"], ["--threads", "0"], ["more"]])  # fmt: skip
def test_usage_errors(mxfp4, tiny, arguments):
    assert mxfp4.json("verify", tiny, *arguments, status=2)["error"]["code"] == "invalid_argument"


def test_the_structure_of_ten_gigabytes_takes_less_than_a_second(mxfp4, tmp_path):
    sparse_model(tmp_path / "large", layers=96, bytes_per_tensor=16 << 20)
    start = time.monotonic()
    assert mxfp4.json("verify", tmp_path / "large", "--structure")["ok"]
    assert time.monotonic() - start < 1


def test_people_get_a_line_per_problem(mxfp4, model, tiny_mxfp4):
    out = mxfp4("verify", tiny_mxfp4).out
    assert "no problem found" in out and "gpt-oss in 1 file" in out
    model.tensors[SCALES][:] = 255
    for i in range(3):
        del model.tensors[f"model.layers.{i}.self_attn.sinks"]
    lines = mxfp4("verify", model.write(), status=1).out.splitlines()
    assert sum(line.startswith("missing") for line in lines) == 3
    assert sum(line.startswith("scale-255") and SCALES in line for line in lines) == 1
    assert lines[-1].startswith("4 problems found")
    assert (r := mxfp4("verify", model.path, "--quiet", status=1)).out == r.err == ""


def test_many_problems_of_one_kind_are_cut_short_for_people(mxfp4, bare):
    path = bare({f"w{i}": np.full(1, np.nan, np.float32) for i in range(50)})
    out = mxfp4("verify", path, status=1).out
    assert out.count("is NaN") == 20 and "and 30 more" in out
    assert len(problems(mxfp4, path)) == 50


def test_a_name_cannot_speak_to_the_terminal(mxfp4, bare):
    out = mxfp4("verify", bare({"\x1b[2J": np.full(1, np.nan, np.float32)}), status=1).out
    assert "\x1b" not in out and "\\x1b" in out


def test_problems_fit_the_terminal(mxfp4, model):
    model.tensors[SCALES][:] = 255
    del model.tensors["model.layers.0.self_attn.sinks"]
    model.write()
    for arguments, status in (["verify", model.path], 1), (["diff", model.path, model.path], 0), (["verify", "--help"], 0), (["diff", "--help"], 0):
        shown = on_terminal(mxfp4, *arguments, status=status)
        assert widest(shown.replace(str(model.path), "MODEL")) <= 80, shown
