"""What a signal, a closed pipe or a full memory leaves behind: nothing."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def large(mxfp4, tmp_path_factory):
    """200 MB: on one thread, long enough to be stopped in the middle."""
    path = tmp_path_factory.mktemp("large") / "in"
    size = ("--hidden-size", 1024, "--intermediate-size", 1024, "--experts", 16, "--layers", 2)
    mxfp4("synth", path, "--like", "tiny", *size)
    return path


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """64 GiB of codes that take no room: nobody reads them to the end."""
    path = tmp_path_factory.mktemp("endless") / "in.safetensors"
    codes, scales = [1 << 20, 1 << 16], [1 << 20, 1 << 12]
    header = json.dumps({
        "w.weight_packed": {"dtype": "U8", "shape": codes, "data_offsets": [0, 1 << 36]},
        "w.weight_scale": {"dtype": "U8", "shape": scales, "data_offsets": [1 << 36, (1 << 36) + (1 << 32)]},
    }).encode()  # fmt: skip
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + (1 << 36) + (1 << 32))
    return path


def disturb(mxfp4, out, arguments, act, prepare=lambda: None):
    """Runs the tool and does `act` to its process once it has begun to write `out`; once more, if it was whole before
    that, because the machine has kept this test waiting. `prepare` comes before every run."""
    for _ in range(10):
        prepare()
        process = mxfp4.start(*arguments)
        while process.poll() is None and not any(p.name.startswith(out.name) for p in out.parent.iterdir()):
            time.sleep(0.001)
        begin = time.monotonic()
        act(process)
        result = process.communicate(timeout=60)
        if process.returncode != 0:
            assert time.monotonic() - begin < 5
            return process.returncode, *result
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    pytest.fail("ten runs were over before they could be disturbed")


def caught(process):
    """The signals that a process has handlers for, a bit each."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("SigCgt:")[1].split()[0], 16)


def names_in(directory):
    return sorted(p.name for p in directory.iterdir())


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_signal_stops_the_work_and_leaves_nothing(mxfp4, large, tmp_path, number, expected, options):
    command = ["quantize", large, tmp_path / "out", "--threads", 1, *options]
    status, out, err = disturb(mxfp4, tmp_path / "out", command, lambda process: process.send_signal(number))
    assert status == expected, err
    assert out == ""
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("verb", ["synth", "dequantize"])
def test_other_verbs_stop_as_well(mxfp4, large, tmp_path, verb):
    out = tmp_path / "out"
    if verb == "synth":
        command = ["synth", out, "--like", "tiny", "--hidden-size", 1024, "--intermediate-size", 1024, "--experts", 16, "--layers", 4]
    else:
        mxfp4("quantize", large, tmp_path / "in")
        command = ["dequantize", tmp_path / "in", out]
    before = names_in(tmp_path)
    status, _, err = disturb(mxfp4, out, [*command, "--threads", 1], lambda process: process.terminate())
    assert status == 143, err
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("verb, more", [("verify", []), ("diff", ["IN"]), ("diff", ["IN", "--values"]), ("report", ["-o", "OUT"]), ("inspect", ["--scales"])])  # fmt: skip
def test_a_signal_ends_what_only_reads(mxfp4, endless, tmp_path, verb, more, options, number, expected):
    more = [{"IN": endless, "OUT": tmp_path / "page.html"}.get(word, word) for word in more]
    process = mxfp4.start(verb, endless, *more, *options)
    while process.poll() is None and endless.name not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.001)
    time.sleep(0.1)
    begin = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == expected, err
    assert time.monotonic() - begin < 5
    assert out == "" and err.strip().splitlines()[-1].endswith("stopped")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("what", ["quantize", "dequantize", "linear", "pack"])
def test_a_signal_ends_a_benchmark(mxfp4, what, number, expected):
    process = mxfp4.start("bench", what, "--rows", 1024, "--json")
    while not caught(process) >> (number - 1) & 1:
        time.sleep(0.001)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == expected, err
    assert out == "" and err == "error: stopped\n"


def test_a_bare_file_is_whole_or_not_there(mxfp4, large, tmp_path):
    out = tmp_path / "out.safetensors"
    command = ["quantize", large / "model.safetensors", out, "--threads", 1]
    status, _, err = disturb(mxfp4, out, command, lambda process: process.send_signal(signal.SIGINT))
    assert status == 130, err
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("verb, more", [("inspect", []), ("verify", []), ("verify", ["--against", "IN"]), ("diff", ["IN"]), ("diff", ["OTHER", "--values"]), ("report", ["-o", "OUT"])])  # fmt: skip
def test_a_closed_pipe_ends_quietly(mxfp4, tiny, tiny_mxfp4, tmp_path, verb, more, options):
    more = [{"IN": tiny_mxfp4, "OTHER": tiny, "OUT": tmp_path / "page.html"}.get(word, word) for word in more]
    read, write = os.pipe()
    os.close(read)
    process = mxfp4.start(verb, tiny_mxfp4, *more, *options, stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 141 and err == ""
    assert names_in(tmp_path) == (["page.html"] if verb == "report" else [])


def test_a_job_whose_reader_goes_away_still_writes_its_output(mxfp4, tiny, tmp_path):
    read, write = os.pipe()
    os.close(read)
    process = mxfp4.start("quantize", tiny, tmp_path / "out", stdout=write)
    os.close(write)
    process.communicate(timeout=60)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_result_that_cannot_be_printed_is_an_error(mxfp4, tiny, options):
    with open("/dev/full", "w") as full:
        process = mxfp4.start("inspect", tiny, *options, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3 and "standard output" in err


def test_memory_stays_below_its_bound(mxfp4, large, tmp_path):
    if mxfp4.sanitizers:
        pytest.skip("a sanitizer's own memory counts as the program's")
    bound = 64 << 20
    process = mxfp4.start("quantize", large, tmp_path / "out", "--max-memory", bound, "--threads", 2, "--json", stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            lines = open(f"/proc/{process.pid}/status").read().splitlines()
        except OSError:
            break
        values = dict(line.split(":", 1) for line in lines)
        peak = max(peak, int(values.get("RssAnon", "0 kB").split()[0]) << 10)
        time.sleep(0.002)
    process.communicate()
    assert process.returncode == 0
    assert 0 < peak <= bound


@pytest.mark.parametrize("megabytes", [1, 6])
def test_running_out_of_memory_is_said(mxfp4, tiny, tmp_path, megabytes):
    """1 MB is too little for the plan, 6 MB for the stack of a thread."""

    if "address" in mxfp4.sanitizers:
        pytest.skip("AddressSanitizer does not start under a bound on memory")

    def limit():
        resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))

    process = mxfp4.start("quantize", tiny, tmp_path / "out", "--threads", 1, "--json", preexec_fn=limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert json.loads(out)["error"]["code"] == "out_of_memory"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("descriptors", [4, 5, 6])
def test_running_out_of_descriptors_leaves_nothing(mxfp4, tiny, tmp_path, descriptors):
    if "address" in mxfp4.sanitizers:
        pytest.skip("UndefinedBehaviorSanitizer looks at memory through descriptors of its own")

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = mxfp4.start("quantize", tiny, tmp_path / "out", "--threads", 1, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 3), err
    assert process.returncode == 0 or "Too many open files" in err
    assert [p.name for p in tmp_path.iterdir()] == (["out"] if process.returncode == 0 else [])


def test_a_full_disk_leaves_nothing(mxfp4, large, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    process = mxfp4.start("quantize", large, tmp_path / "out", "--json", preexec_fn=limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert '"io"' in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["quantize", "dequantize"])
def test_an_input_that_is_cut_while_it_is_read_is_an_error(mxfp4, large, tmp_path, verb):
    """Without care that is a SIGBUS, or a model whose end is zeros."""
    model = tmp_path / "in"
    if verb == "quantize":
        shutil.copytree(large, model)
    else:
        mxfp4("quantize", large, model)
    source = model / "model.safetensors"
    whole = source.read_bytes()
    for keep in (0, 1 << 20):
        command = [verb, model, tmp_path / "out", "--threads", 1]
        status, _, err = disturb(mxfp4, tmp_path / "out", command, lambda _: os.truncate(source, keep), lambda: source.write_bytes(whole))
        assert status == 3, err
        assert "model.safetensors" in err and f"it had {len(whole)} bytes and has {keep} now" in err
        assert names_in(tmp_path) == ["in"]
