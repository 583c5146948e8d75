"""Exit statuses, messages and JSON of every way to hold the tool wrong."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from checkpoints import tree_bytes, write_safetensors

VERBS = ["quantize", "dequantize", "convert", "inspect", "verify", "diff", "report", "synth", "bench", "info", "completion"]


@pytest.mark.parametrize("arguments", [
    ["quantise", "a", "b"], ["quantize"], ["quantize", "a"], ["quantize", "a", "b", "c"], ["quantize", "a", "b", "--fast"],
    ["quantize", "a", "b", "--scale", "best"], ["quantize", "a", "b", "--ties", "up"], ["quantize", "a", "b", "--preset", "none"],
    ["quantize", "a", "b", "--preset", "ocp", "--scale", "even"], ["quantize", "a", "b", "--nonfinite", "ignore"],
    ["quantize", "a", "b", "--format", "gguf2"], ["quantize", "a", "b", "--threads", "0"], ["quantize", "a", "b", "--threads", "-1"],
    ["quantize", "a", "b", "--threads", "two"], ["quantize", "a", "b", "--max-memory", "2X"], ["quantize", "a", "b", "--max-memory", "0"],
    ["dequantize", "a", "b", "--dtype", "f64"], ["inspect"], ["synth", "x"],
    ["synth", "x", "--like", "gpt-5"], ["synth", "x", "--like", "tiny", "--layers", "0"], ["synth", "x", "--like", "tiny", "--seed", "-1"],
    ["quantize", "", "b"], ["quantize", "a", ""], ["quantize", "a", "b", "--reference", ""], ["inspect", ""], ["synth", "", "--like", "tiny"],
    ["synth", "x.safetensors", "--like", "tiny"], ["quantize", "a", "b", "--scale"], ["quantize", "a", "b", "--scale", "even", "--scale", "ceil"],
    ["completion", "fish"], ["completion"], ["info", "more"],
])  # fmt: skip
def test_usage_errors_end_with_2(mxfp4, tmp_path, arguments):
    result = mxfp4(*arguments, status=2, cwd=tmp_path)
    assert result.out == "" and result.err.startswith("error: ")
    told = mxfp4(*arguments, "--json", status=2, cwd=tmp_path)
    assert told.json["error"]["code"] == "invalid_argument"
    assert told.json["error"]["message"] in told.err
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_show_the_help(mxfp4):
    result = mxfp4(status=2)
    assert result.out == "" and all(verb in result.err for verb in VERBS)
    assert mxfp4("--json", status=2).json["error"]["code"] == "invalid_argument"
    assert mxfp4("--jsn", status=2).err.startswith("error: ")


@pytest.mark.parametrize("arguments, words", [
    (["quantise", "a"], "no verb 'quantise'; there are quantize, "), (["--quiet", "info"], "no verb '--quiet'; "),
    (["inspect", "a", "--fast", "--json"], "no option --fast "), (["inspect", "a", "b"], "too much: b "),
    (["inspect", "a", "--tensors"], "--tensors takes one value "), (["quantize", "a", "--threads", "2"], "OUT is required "), (["--json"], "a verb is missing "),
])  # fmt: skip
def test_a_slip_is_named(mxfp4, arguments, words):
    assert words in mxfp4(*arguments, status=2).err


def test_the_version_is_a_number(mxfp4):
    name, number = mxfp4("--version").out.split()
    assert name == "mxfp4" and all(part.isdigit() for part in number.split("."))
    assert mxfp4.json("--version") == {"version": number}


@pytest.mark.parametrize("verb, rest", [
    ("dequantize", ["out"]), ("convert", ["out", "--format", "mlx"]), ("inspect", []), ("verify", []), ("diff", ["."]), ("report", ["--json"]),
])  # fmt: skip
def test_help_names_the_files_that_are_read(mxfp4, golden, tmp_path, verb, rest):
    models = golden / "tiny-gpt-oss"
    assert "A model directory, or one .safetensors, .gguf or .uqff file" in " ".join(mxfp4(verb, "--help").out.split())
    for path in (models / "gguf/mxfp4.gguf", models / "uqff-from-description/mxfp4-0.uqff"):
        mxfp4(verb, path, *[path if word == "." else word for word in rest], cwd=tmp_path)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_in_our_words(mxfp4, verb):
    assert not re.search(r"INT|UINT|FLOAT|TEXT| in \[", mxfp4(verb, "--help").out)


def test_help_names_every_verb(mxfp4):
    out = mxfp4("--help").out
    assert all(f"  {verb} " in out for verb in VERBS)
    assert set(mxfp4.json("--help")) == {"help"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(mxfp4, verb):
    out = mxfp4(verb, "--help").out
    assert f"mxfp4 {verb}" in out.split("Examples")[1]
    assert "--json" in out
    assert max(len(line) for line in out.splitlines()) <= 90


def test_an_output_that_exists_is_not_touched(mxfp4, tiny, tiny_mxfp4, tmp_path, bare):
    out = tmp_path / "out"
    shutil.copytree(tiny, out)
    before = tree_bytes(out)
    for arguments in (["quantize", tiny, out], ["dequantize", tiny_mxfp4, out], ["synth", out, "--like", "tiny"], ["quantize", tiny, out, "--dry-run"]):
        message = mxfp4(*arguments, "--json", status=2).json["error"]["message"]
        assert str(out) in message
    file = bare({"w": np.ones((1, 32), np.float32)})
    shutil.copy(file, tmp_path / "out.safetensors")
    mxfp4("quantize", file, tmp_path / "out.safetensors", status=2)
    assert tree_bytes(out) == before


def test_overwrite_replaces_the_output_whole(mxfp4, tiny, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(tiny, out)
    (out / "old-notes.txt").write_text("of the model before")
    mxfp4("quantize", tiny, out, "--overwrite")
    mxfp4("quantize", tiny, tmp_path / "fresh")
    assert tree_bytes(out) == tree_bytes(tmp_path / "fresh")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fresh", "out"]


def test_overwrite_leaves_the_old_output_after_a_failure(mxfp4, bare, tmp_path):
    x = np.ones((1, 32), np.float32)
    source = bare({"w": x * np.nan})
    (tmp_path / "out.safetensors").write_bytes(b"precious")
    mxfp4("quantize", source, tmp_path / "out.safetensors", "--overwrite", status=3)
    assert (tmp_path / "out.safetensors").read_bytes() == b"precious"


def test_overwrite_refuses_a_directory_of_other_things(mxfp4, tiny, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("years of work")
    mxfp4("quantize", tiny, tmp_path / "home", "--overwrite", status=2)
    assert (tmp_path / "home/thesis.txt").read_text() == "years of work"


def test_input_and_output_must_be_apart_and_of_one_kind(mxfp4, tiny, tmp_path, bare):
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    file = bare({"w": np.ones((1, 32), np.float32)})
    before = tree_bytes(tmp_path)
    for source, out in ((model, model), (model, model / "inside"), (model, tmp_path), (file, file), (model, tmp_path / "x.safetensors"), (file, tmp_path / "directory")):
        for verb in ("quantize", "dequantize"):
            mxfp4(verb, source, out, "--overwrite", status=2)
    assert tree_bytes(tmp_path) == before


def test_a_trailing_slash_changes_nothing(mxfp4, tiny, tmp_path):
    mxfp4("quantize", f"{tiny}/", f"{tmp_path}/out/")
    mxfp4("quantize", tiny, tmp_path / "again")
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "again")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "out"]


def test_an_input_that_is_missing_ends_with_3(mxfp4, tmp_path):
    for arguments in (["quantize", tmp_path / "no", tmp_path / "out"], ["dequantize", tmp_path / "no", tmp_path / "out"], ["inspect", tmp_path / "no"]):
        error = mxfp4(*arguments, "--json", status=3).json["error"]
        assert error["code"] == "io" and str(tmp_path / "no") in error["message"]


def test_a_name_too_long_for_the_system_is_told_like_any_other(mxfp4, tiny, tmp_path):
    out = tmp_path / ("x" * 300)
    error = mxfp4("quantize", tiny, out, "--json", status=3).json["error"]
    assert error == {"code": "io", "message": f"{out}: File name too long"}


@pytest.mark.parametrize("verb, model", [("quantize", "tiny"), ("dequantize", "tiny_mxfp4")])
def test_a_file_that_cannot_be_copied_is_told_before_the_work(mxfp4, request, tmp_path, verb, model):
    source = tmp_path / "in"
    shutil.copytree(request.getfixturevalue(model), source)
    (source / "tokenizer.json").chmod(0)
    # root may read everything unless it gives that up
    modest = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    options = ["--dry-run"] if verb == "quantize" else ["--max-memory", "1"]  # too little to begin with
    command = [*modest, mxfp4.path, verb, source, tmp_path / "out", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == f"error: {source / 'tokenizer.json'}: cannot open: Permission denied\n"


def test_an_output_that_cannot_be_made_ends_with_3(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "no/where/out", status=3)
    mxfp4("synth", tmp_path / "no/where/out", "--like", "tiny", status=3)


CORRUPT = {
    "empty": b"", "short": b"\x02\0\0", "header-past-the-end": b"\xff\0\0\0\0\0\0\0{}", "no-json": b"\x02\0\0\0\0\0\0\0xx",
    "huge-header": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "array": b"\x02\0\0\0\0\0\0\0[]",
    "truncated": b"\x48\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32","shape":[4,32],"data_offsets":[0,512]}}             ' + b"\0" * 100,
}  # fmt: skip


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.parametrize("verb", ["quantize", "dequantize", "inspect"])
def test_corrupt_files_end_with_3_and_leave_nothing(mxfp4, tmp_path, verb, content):
    source = tmp_path / "in.safetensors"
    source.write_bytes(content)
    arguments = [verb, source] if verb == "inspect" else [verb, source, tmp_path / "out.safetensors"]
    error = mxfp4(*arguments, "--json", status=3).json["error"]
    assert error["code"] == "corrupt_file" and "in.safetensors" in error["message"]
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("config", ["", "[]", "{", '{"hidden_size": -1}', '{"num_local_experts": "six"}'])
def test_a_corrupt_config_ends_with_3(mxfp4, tiny, tmp_path, config):
    shutil.copytree(tiny, tmp_path / "in")
    (tmp_path / "in/config.json").write_text(config)
    error = mxfp4("quantize", tmp_path / "in", tmp_path / "out", "--json", status=3).json["error"]
    assert error["code"] == "corrupt_file" and "config.json" in error["message"]


def test_a_config_that_contradicts_the_tensors_ends_with_3(mxfp4, tiny_mxfp4, tmp_path):
    shutil.copytree(tiny_mxfp4, tmp_path / "in")
    config = json.loads((tmp_path / "in/config.json").read_text())
    (tmp_path / "in/config.json").write_text(json.dumps({**config, "num_local_experts": 7}))
    error = mxfp4("dequantize", tmp_path / "in", tmp_path / "out", "--json", status=3).json["error"]
    assert error["code"] == "corrupt_file" and "7" in error["message"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_bound_of_memory_that_is_too_small_is_said(mxfp4, tiny, tmp_path, options):
    error = mxfp4("quantize", tiny, tmp_path / "out", "--max-memory", "1M", "--json", *options, status=3).json["error"]
    assert error["code"] == "out_of_memory"
    error = mxfp4.json("quantize", tiny, tmp_path / "out", *options, env={"MXFP4_ISA": "mmx"}, status=2)["error"]
    assert "MXFP4_ISA=mmx" in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_dense_model_cannot_be_dequantised(mxfp4, tiny, tmp_path):
    error = mxfp4("dequantize", tiny, tmp_path / "out", "--json", status=2).json["error"]
    assert "MXFP4" in error["message"]


def test_a_missing_processor_feature_is_said(mxfp4, tiny, tmp_path):
    result = mxfp4("quantize", tiny, tmp_path / "out", status=2, env={"MXFP4_ISA": "z80"})
    assert "MXFP4_ISA=z80" in result.err


def test_quiet_says_nothing_when_all_is_well(mxfp4, tiny, tmp_path):
    assert (r := mxfp4("quantize", tiny, tmp_path / "a", "--quiet")).out == r.err == ""
    assert (r := mxfp4("dequantize", tmp_path / "a", tmp_path / "b", "--quiet")).out == r.err == ""
    assert (r := mxfp4("synth", tmp_path / "c", "--like", "tiny", "--quiet")).out == r.err == ""
    assert mxfp4("quantize", tiny, tmp_path / "a", "--quiet", status=2).err


def test_json_is_all_that_stands_on_stdout(mxfp4, tiny, tmp_path):
    for arguments in (["quantize", tiny, tmp_path / "a"], ["dequantize", tmp_path / "a", tmp_path / "b"], ["inspect", tmp_path / "a"],
                      ["synth", tmp_path / "c", "--like", "tiny"], ["info"], ["completion", "bash"]):  # fmt: skip
        result = mxfp4(*arguments, "--json", "--quiet")
        assert isinstance(result.json, dict) and result.err == ""


def test_options_may_stand_before_the_paths(mxfp4, tiny, tmp_path):
    mxfp4("quantize", "--include", "model.layers", "--exclude", "model.layers.0", tiny, tmp_path / "out")
    assert (tmp_path / "out/config.json").exists()


def test_info_says_what_there_is(mxfp4):
    info = mxfp4.json("info")
    assert {rule["name"] for rule in info["scale_rules"]} == {"floor", "even", "rceil", "ceil", "t725", "round6", "floor6", "optimal"}
    assert {"gpt-oss", "openai", "linear", "compressed-tensors"} <= {row["name"] for row in info["formats"]}
    assert info["presets"][0]["name"] == "mxfp4"
    assert info["isa"] in {isa["name"] for isa in info["isas"] if isa["supported"]}
    assert "scalar" == mxfp4.json("info", env={"MXFP4_ISA": "scalar"})["isa"]
    text = mxfp4("info").out
    assert all(rule["name"] in text for rule in info["scale_rules"])
    formats = re.search(r"How to store OUT: (.*?) --from", " ".join(mxfp4("convert", "--help").out.split()))[1].split(", ")
    assert "nvfp4" in formats and all(re.search(rf"\b{name}\b(?!-)", text) for name in formats)


def test_a_file_where_a_directory_was_meant_is_no_model(mxfp4, tmp_path):
    (tmp_path / "empty").mkdir()
    mxfp4("inspect", tmp_path / "empty", status=2)
    (tmp_path / "notes.txt").write_text("no tensors here at all")
    assert mxfp4("inspect", tmp_path / "notes.txt", "--json", status=3).json["error"]["code"] == "corrupt_file"


def test_left_over_work_of_a_killed_run_is_no_obstacle(mxfp4, tiny, tmp_path):
    partial = tmp_path / "out.mxfp4-partial"
    partial.mkdir()
    write_safetensors(partial / "model.safetensors", {"w": np.ones((1, 32), np.float32)})
    mxfp4("quantize", tiny, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
