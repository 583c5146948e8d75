"""A run that is killed, stopped or out of disk space goes on with --resume and ends as if nothing had happened."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

JOURNAL = "mxfp4-resume.json"


def content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def model(mxfp4, tmp_path_factory) -> Path:
    """Three layers, in as many shards and more."""
    path = tmp_path_factory.mktemp("resume") / "model"
    mxfp4("synth", path, "--like", "tiny", "--layers", 3, "--experts", 4, "--max-shard", "100K")
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling/config.json").write_text("{}")
    return path


@pytest.fixture(scope="module")
def command(model):
    return ["quantize", model, "--max-shard", "50K"]


@pytest.fixture(scope="module")
def whole(mxfp4, command, tmp_path_factory) -> dict[str, bytes]:
    """What an uninterrupted run makes. The name of OUT stands in no file."""
    out = tmp_path_factory.mktemp("whole") / "out"
    mxfp4(*command[:2], out, *command[2:])
    assert len(list(out.glob("model-*.safetensors"))) > 3
    return content(out)


def shards_of(partial: Path) -> dict[str, int]:
    return {p.name: p.stat().st_ino for p in partial.glob("*.safetensors")} if partial.is_dir() else {}


def test_a_run_killed_at_any_change_of_a_file_goes_on(mxfp4, command, crash, whole, tmp_path):
    out, partial = tmp_path / "out", tmp_path / "out.mxfp4-partial"
    run = [*command[:2], out, *command[2:], "--threads", 1]
    mxfp4(*run, env={"LD_PRELOAD": str(crash), "CRASH_COUNT": str(tmp_path / "count")})
    calls = int((tmp_path / "count").read_text())
    (tmp_path / "count").unlink()
    assert calls > 50
    # The calls around renames and syncs are at the ends; of the many writes some are enough.
    chosen = sorted({*range(1, 12), *range(calls - 25, calls + 1), *random.Random(7).sample(range(12, calls - 25), 25)})
    for at in chosen:
        for after in ({}, {"CRASH_AFTER": "1"}):
            shutil.rmtree(out, ignore_errors=True)
            mxfp4(*run, status=-signal.SIGKILL, env={"LD_PRELOAD": str(crash), "CRASH_AT": str(at), **after})
            if out.exists():  # its last deed was to give the directory its name
                assert content(out) == whole, f"killed at call {at} of {calls} {after}"
                continue
            before = shards_of(partial) if (partial / JOURNAL).exists() else {}
            result = mxfp4(*run, "--resume")
            assert content(out) == whole, f"killed at call {at} of {calls} {after}: {result.err}"
            kept = {name for name, number in shards_of(out).items() if before.get(name) == number}
            assert len(kept) >= len(before) - 1  # the last one may not have been noted yet
            assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_ended_at_any_time_goes_on(mxfp4, command, whole, tmp_path, number):
    out = tmp_path / "out"
    run = [*command[:2], out, *command[2:]]
    chance = random.Random(number)
    for attempt in range(6):
        process = mxfp4.start(*run, "--resume")
        try:
            process.wait(chance.uniform(0, 0.04))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode in (0, -number, 128 + number)
        if out.exists():  # perhaps it was all but over when it was ended
            break
    if not out.exists():
        mxfp4(*run, "--resume")
    assert content(out) == whole


def stop_in_the_middle(mxfp4, crash, run, calls=60):
    mxfp4(*run, "--threads", 1, status=-signal.SIGKILL, env={"LD_PRELOAD": str(crash), "CRASH_AT": str(calls)})


@pytest.mark.parametrize(
    "options, difference",
    [
        (["--scale", "floor"], ["optimal", "floor"]),
        (["--ties", "away"], ["ties even", "ties away"]),
        (["--exclude", "model.layers.2"], ["model.layers.2", "kept"]),
        (["--max-shard", "60K"], ["--max-shard", "51200", "61440"]),
        (["--format", "linear"], ["--format", "gpt-oss", "linear"]),
    ],
)
def test_other_options_are_refused(mxfp4, command, crash, whole, tmp_path, options, difference):
    out = tmp_path / "out"
    run = [*command[:2], out, *command[2:]]
    stop_in_the_middle(mxfp4, crash, run)
    before = content(tmp_path)
    others = run[:3] if "--max-shard" in options else run
    result = mxfp4(*others, *options, "--resume", status=2)
    assert all(word in result.err for word in ["--resume", *difference]), result.err
    assert content(tmp_path) == before
    mxfp4(*run, "--resume", "--threads", 2, "--max-memory", "100M")  # these change no byte
    assert content(out) == whole


def test_another_version_of_the_bytes_is_refused(mxfp4, command, crash, tmp_path):
    run = [*command[:2], tmp_path / "out", *command[2:]]
    stop_in_the_middle(mxfp4, crash, run)
    journal = tmp_path / "out.mxfp4-partial" / JOURNAL
    text = journal.read_text()
    assert text.count('["version of the bytes","1"]') == 1
    journal.write_text(text.replace('["version of the bytes","1"]', '["version of the bytes","0"]'))
    assert "version of the bytes: 0" in mxfp4(*run, "--resume", status=2).err


@pytest.mark.parametrize("name", ["model-00001-of-00004.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_input_is_refused_by_name(mxfp4, model, crash, tmp_path, name):
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    name = name if (copy / name).exists() else sorted(p.name for p in copy.glob("model-*.safetensors"))[0]
    run = ["quantize", copy, tmp_path / "out", "--max-shard", "50K"]
    stop_in_the_middle(mxfp4, crash, run)
    os.utime(copy / name, ns=(0, 10**18 + 7))
    error = mxfp4(*run, "--resume", status=2).err
    assert name in error and "2001-09-09 01:46:40.000000007" in error


@pytest.mark.parametrize("damage", ["gone", "cut", "one bit", "another shard", "a directory", "a link"])
def test_a_shard_that_is_not_as_it_was_left_is_made_anew(mxfp4, command, crash, whole, tmp_path, damage):
    out, partial = tmp_path / "out", tmp_path / "out.mxfp4-partial"
    run = [*command[:2], out, *command[2:]]
    stop_in_the_middle(mxfp4, crash, run)
    shard = partial / sorted(json.loads((partial / JOURNAL).read_text())["finished"])[0]
    before = shard.read_bytes()
    if damage == "cut":
        os.truncate(shard, 100)
    elif damage == "one bit":
        shard.write_bytes(before[:-1] + bytes([before[-1] ^ 128]))
    elif damage == "another shard":
        shard.write_bytes(before[::-1])
    else:
        shard.rename(tmp_path / "elsewhere")
    if damage == "a directory":
        shard.mkdir()
        (shard / "something").touch()
    if damage == "a link":
        shard.symlink_to(tmp_path / "elsewhere")
    warning = mxfp4(*run, "--resume").err
    assert f"{shard}: " in warning and "it is made anew" in warning
    assert ("its CRC-32C is" in warning) == (damage in ("one bit", "another shard"))
    assert content(out) == whole and not any(p.is_symlink() for p in out.iterdir())


def test_dequantize_and_synth_go_on_as_well(mxfp4, model, crash, tmp_path):
    mxfp4("quantize", model, tmp_path / "mxfp4")
    for command in (
        ["dequantize", tmp_path / "mxfp4", "--max-shard", "100K"],
        ["synth", "--like", "tiny", "--layers", 3, "--experts", 4, "--max-shard", "100K"],
    ):
        out, again = tmp_path / command[0], tmp_path / f"{command[0]}-again"
        mxfp4(*command, out)
        stop_in_the_middle(mxfp4, crash, [*command, again])
        kept = shards_of(Path(f"{again}.mxfp4-partial"))
        mxfp4(*command, again, "--resume")
        assert content(again) == content(out)
        assert kept.items() & shards_of(again).items()


def test_a_disk_that_fills_keeps_what_is_whole(mxfp4, command, crash, whole, tmp_path):
    out = tmp_path / "out"
    run = [*command[:2], out, *command[2:]]
    full = {"LD_PRELOAD": str(crash), "CRASH_AT": "60", "CRASH_ERRNO": str(errno.ENOSPC)}
    error = mxfp4(*run, "--threads", 1, status=3, env=full).err
    assert "No space left on device" in error and "are whole in" in error and "--resume" in error
    kept = shards_of(tmp_path / "out.mxfp4-partial")
    assert kept and [p.name for p in tmp_path.iterdir()] == ["out.mxfp4-partial"]
    mxfp4(*run, "--resume")
    assert content(out) == whole and kept.items() <= shards_of(out).items()


def test_any_call_that_fails_is_an_error_and_loses_nothing(mxfp4, command, crash, whole, tmp_path):
    out = tmp_path / "out"
    run = [*command[:2], out, *command[2:]]
    for at in range(1, 130, 3):
        fail = {"LD_PRELOAD": str(crash), "CRASH_AT": str(at), "CRASH_ERRNO": str(errno.EIO)}
        process = mxfp4.start(*run, "--resume", "--threads", 1, env=fail)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3 and "Input/output error" in err or process.returncode == 0, err
        if out.exists():  # the last call of all may have failed, the sync of a name that was given already
            assert content(out) == whole
            shutil.rmtree(out)
        else:
            assert process.returncode == 3


def test_a_bare_file_begins_anew(mxfp4, model, tmp_path):
    source = next(model.glob("*.safetensors"))
    mxfp4("quantize", source, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors.mxfp4-partial").write_bytes(b"half")
    mxfp4("quantize", source, tmp_path / "b.safetensors", "--resume")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_an_output_that_is_whole_is_not_resumed(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "out")
    assert "exists already" in mxfp4("quantize", tiny, tmp_path / "out", "--resume", status=2).err


def test_what_is_read_back_otherwise_is_made_anew(mxfp4, model, crash, tmp_path):
    """A disk that keeps other bytes than it was given: convert finds out, and says what --resume will do."""
    quantised, out, partial = tmp_path / "in", tmp_path / "out", tmp_path / "out.mxfp4-partial"
    mxfp4("quantize", model, quantised)
    run = ["convert", quantised, out, "--format", "mlx", "--max-shard", "50K", "--threads", 1]
    mxfp4(*run, env={"LD_PRELOAD": str(crash), "CRASH_COUNT": str(tmp_path / "count")})
    whole = content(out)
    found = 0
    for at in range(10, int((tmp_path / "count").read_text()), 7):
        shutil.rmtree(out, ignore_errors=True)
        process = mxfp4.start(*run, env={"LD_PRELOAD": str(crash), "CRASH_AT": str(at), "CRASH_SPOIL": "1"})
        err = process.communicate(timeout=300)[1]
        if "was written wrong" not in err:  # no weight, or no write at all
            shutil.rmtree(partial, ignore_errors=True)
            continue
        found += 1
        assert process.returncode == 3 and not out.exists() and "shards are whole" not in err
        assert f"it stays in {partial}: --resume makes the shards anew that were damaged there, if any\n" in err
        assert "it is made anew" in mxfp4(*run, "--resume").err
        assert content(out) == whole
    assert found > 3
