"""quantize_checkpoint() and convert_checkpoint(): the tool's bytes and report, progress, and Ctrl-C."""

import json
import os
import signal
import subprocess
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

import mxfp4


@pytest.fixture
def model(root: Path) -> Path:
    return root / "tests/data/models/tiny-llama/bf16"


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    "options, arguments",
    [
        ({}, []),
        ({"scale": "rceil", "format": "linear"}, ["--scale", "rceil", "--format", "linear"]),
        ({"preset": "ggml", "card": False}, ["--preset", "ggml", "--no-card"]),
        ({"exclude": ["*.up_proj.weight"]}, ["--exclude", "*.up_proj.weight"]),
        ({"include": "*.up_proj.weight"}, ["--include", "*.up_proj.weight"]),
        (
            {"rules": {"*.down_proj.weight": "even", "model.layers.0": "keep"}},
            ["--tensor", "*.down_proj.weight=even", "--tensor", "model.layers.0=keep"],
        ),
    ],
)
def test_it_writes_what_the_tool_writes_and_tells_the_same(options, arguments, model, tool, tmp_path):
    report = mxfp4.quantize_checkpoint(model, tmp_path / "a", **options)
    done = subprocess.run(
        [tool, "quantize", model, tmp_path / "b", "--json", *arguments], capture_output=True, text=True, check=True
    )
    assert content(tmp_path / "a") == content(tmp_path / "b")
    expected = json.loads(done.stdout)
    assert [tensor["name"] for tensor in report["tensors"]] == [tensor["name"] for tensor in expected["tensors"]]
    for ours, theirs in zip(report["tensors"], expected["tensors"], strict=True):
        assert {key: list(value) if isinstance(value, tuple) else value for key, value in ours.items()} == theirs
    for key in ("quantized", "kept", "blocks", "lossless_blocks", "bytes_in", "bytes_out", "median_sqnr_db"):
        assert report["totals"][key] == expected["totals"][key]
    assert report["format"] == expected["format"] and report["files"] == expected["files"]


def test_a_reference_gives_bytes_back(root: Path, tmp_path: Path, tool):
    original = root / "tests/data/models/tiny-llama/compressed-tensors"
    subprocess.run([tool, "dequantize", original, tmp_path / "dense"], check=True, capture_output=True)
    mxfp4.quantize_checkpoint(tmp_path / "dense", tmp_path / "again", reference=original)
    again, before = mxfp4.open(tmp_path / "again"), mxfp4.open(original)
    for name, t in before.items():
        if isinstance(t, mxfp4.Tensor):
            np.testing.assert_array_equal(again[name].codes, t.codes)
            np.testing.assert_array_equal(again[name].scales, t.scales)


def test_a_plan_writes_nothing(model: Path, tmp_path: Path):
    plan = mxfp4.quantize_checkpoint(model, tmp_path / "out", dry_run=True)
    assert plan["totals"]["quantized"] > 0 and plan["totals"]["disk_needed"] > 0
    assert "files" not in plan and list(tmp_path.iterdir()) == []


def test_progress_is_told_on_the_callers_thread(model: Path, tmp_path: Path):
    told = []
    mxfp4.quantize_checkpoint(model, tmp_path / "out", progress=lambda *step: told.append((*step, threading.get_ident())))
    done, total, _ = told[-1]
    assert done == total > 0 and {step[2] for step in told} == {threading.get_ident()}
    assert [step[0] for step in told] == sorted({step[0] for step in told})


def test_an_exception_of_the_callers_ends_the_job(model: Path, tmp_path: Path):
    def progress(done, total):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        mxfp4.quantize_checkpoint(model, tmp_path / "out", progress=progress)


def test_a_job_that_is_stopped_leaves_what_it_can_go_on_from(tmp_path: Path):
    tensors, size = 16, 1 << 26
    header = {
        f"model.layers.{i}.mlp.up_proj.weight": {"dtype": "BF16", "shape": [1 << 13, 1 << 12], "data_offsets": [i * size, (i + 1) * size]}
        for i in range(tensors)
    }
    (tmp_path / "in").mkdir()
    (tmp_path / "in/config.json").write_text('{"model_type": "llama"}')
    with open(tmp_path / "in/model.safetensors", "wb") as file:
        text = json.dumps(header).encode()
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + tensors * size)

    def progress(done, total):
        if done > total // 4:
            raise LookupError("enough")

    options = {"max_shard": 20_000_000, "threads": 1, "max_memory": 1 << 40}
    with pytest.raises(LookupError, match="enough") as error:
        mxfp4.quantize_checkpoint(tmp_path / "in", tmp_path / "out", progress=progress, **options)
    (note,) = error.value.__notes__
    assert note.endswith(f"shards are whole in {tmp_path}/out.mxfp4-partial: resume=True goes on from there")
    partial = tmp_path / "out.mxfp4-partial"
    finished = {file.name: file.stat().st_ino for file in partial.glob("*.safetensors")}
    report = mxfp4.quantize_checkpoint(tmp_path / "in", tmp_path / "out", resume=True, **options)
    assert report["totals"]["quantized"] == tensors and not partial.exists()
    kept = [name for name, inode in finished.items() if (tmp_path / "out" / name).stat().st_ino == inode]
    assert kept and len(mxfp4.open(tmp_path / "out")) == tensors


def test_warnings_are_those_of_python(model: Path, tmp_path: Path):
    with pytest.warns(UserWarning, match="no tensor is quantised"):
        mxfp4.quantize_checkpoint(model, tmp_path / "a", exclude=["*"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="no tensor is quantised"):
            mxfp4.quantize_checkpoint(model, tmp_path / "b", exclude=["*"])


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"exclude": ["nothing"]}, ValueError, "nothing"),
        ({"rules": {"lm_head": "best"}}, ValueError, "rules: 'best' is neither a scale rule nor 'keep'"),
        ({"format": "best"}, ValueError, "best"),
        ({"max_memory": 1000}, MemoryError, "1000"),
        ({"imatrix": "/nowhere"}, OSError, "nowhere"),
    ],
)
def test_errors_are_those_of_python(options, error, message, model: Path, tmp_path: Path):
    with pytest.raises(error, match=message):
        mxfp4.quantize_checkpoint(model, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_it_and_nothing_is_left(tmp_path: Path):
    header = json.dumps({"w.weight": {"dtype": "BF16", "shape": [1 << 19, 1 << 12], "data_offsets": [0, 1 << 32]}})
    with open(tmp_path / "zeros.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + (1 << 32))
    with interrupted_after(0.05), pytest.raises(KeyboardInterrupt):
        mxfp4.quantize_checkpoint(tmp_path / "zeros.safetensors", tmp_path / "out.safetensors", threads=1)
    assert [path.name for path in tmp_path.iterdir()] == ["zeros.safetensors"]


@contextmanager
def interrupted_after(seconds: float):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    timer = Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "options, arguments",
    [
        (("mlx",), ["--format", "mlx"]),
        (("openai",), ["--format", "openai", "--no-verify"]),
        (("compressed-tensors",), ["--format", "compressed-tensors", "--max-shard", "50000", "--threads", "1"]),
        (("native",), ["--format", "native", "--dry-run"]),
    ],
)
def test_converting_writes_what_the_tool_writes_and_tells_the_same(options, arguments, root, tool, tmp_path):
    source = root / "tests/data/models/tiny-gpt-oss/hf-mxfp4"
    more = {"verify": "--no-verify" not in arguments, "dry_run": "--dry-run" in arguments}
    if "--max-shard" in arguments:
        more |= {"max_shard": 50000, "threads": 1}
    report = mxfp4.convert_checkpoint(source, tmp_path / "a", *options, **more)
    done = subprocess.run([tool, "convert", source, tmp_path / "b", "--json", *arguments], capture_output=True, check=True)
    expected = json.loads(done.stdout)
    if not more["dry_run"]:
        assert content(tmp_path / "a") == content(tmp_path / "b")
    for said in (report, expected):
        for varies in ("seconds", "peak_memory_bytes"):
            assert (said["totals"].pop(varies, None) is None) == more["dry_run"]
    assert json.loads(json.dumps(report)) == expected


def test_a_file_is_converted_into_one(root: Path, tmp_path: Path):
    mxfp4.convert_checkpoint(root / "tests/data/models/tiny-gpt-oss/hf-mxfp4", tmp_path / "x.gguf", format="gguf")
    mxfp4.convert_checkpoint(tmp_path / "x.gguf", tmp_path / "back", format="gpt-oss")
    assert mxfp4.open(tmp_path / "x.gguf").convention == "gguf" and mxfp4.open(tmp_path / "back").convention == "gpt-oss"


def test_converting_tells_progress_and_its_errors_are_pythons(root: Path, tmp_path: Path):
    gpt_oss, told = root / "tests/data/models/tiny-gpt-oss/hf-mxfp4", []
    mxfp4.convert_checkpoint(gpt_oss, tmp_path / "a", "mlx", progress=lambda *step: told.append(step))
    assert told[-1][0] == told[-1][1] > 0
    refused = [
        (gpt_oss, "gpt-oss", {}, ValueError, "already"),
        (gpt_oss, "best", {}, ValueError, "best"),
        (gpt_oss, "mlx", {"convention": "best"}, ValueError, "best"),
        (gpt_oss, "mlx", {"max_memory": 1000}, MemoryError, "1000"),
        (tmp_path / "nowhere", "mlx", {}, OSError, "nowhere"),
    ]
    for source, format, options, error, message in refused:
        with pytest.raises(error, match=message):
            mxfp4.convert_checkpoint(source, tmp_path / "out", format, **options)
    with pytest.raises(ValueError, match="exists already"):
        mxfp4.convert_checkpoint(gpt_oss, tmp_path / "a", "mlx")
    mxfp4.convert_checkpoint(gpt_oss, tmp_path / "a", "openai", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"] and mxfp4.open(tmp_path / "a").convention == "openai"

    def enough(done, total):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        mxfp4.convert_checkpoint(gpt_oss, tmp_path / "out", "mlx", progress=enough)


@pytest.mark.parametrize("format", ["fp8", "nvfp4"])
def test_what_another_quantisation_cannot_hold_is_an_error_with_its_place(format: str, tmp_path: Path):
    scales = np.full((4, 4), 127, np.uint8)
    t = mxfp4.Tensor(np.full((4, 64), 0x77, np.uint8), scales)
    mxfp4.save(tmp_path / "x.safetensors", {"a_proj.weight": t}, convention="compressed-tensors")
    exact = mxfp4.convert_checkpoint(tmp_path / "x.safetensors", tmp_path / "exact.safetensors", format)
    assert exact["ok"] and exact["totals"]["reencoded"] == 1
    scales[2, 1] = 255
    mxfp4.save(tmp_path / "x.safetensors", {"a_proj.weight": t}, convention="compressed-tensors", overwrite=True)
    plan = mxfp4.convert_checkpoint(tmp_path / "x.safetensors", tmp_path / "out.safetensors", format, dry_run=True)
    (inexact,) = plan["inexact"]
    assert not plan["ok"] and (inexact["tensor"], inexact["blocks"], inexact["row"], inexact["block"]) == ("a_proj.weight", 1, 2, 1)
    with pytest.raises(ValueError, match="nothing was written. a_proj.weight: 1 blocks, the first in row 2, block 1: .*NaN"):
        mxfp4.convert_checkpoint(tmp_path / "x.safetensors", tmp_path / "out.safetensors", format)
    assert not (tmp_path / "out.safetensors").exists()
