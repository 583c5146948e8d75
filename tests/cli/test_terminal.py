"""What people see, on a terminal and elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import numpy as np
import pytest

from conftest import plain_environment

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_terminal(tool, *arguments, columns=80, env=None, status=0):
    """Everything that the tool shows on a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = []

    def read():
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                return
            if not data:
                return
            shown.append(data)

    reader = threading.Thread(target=read)
    process = subprocess.Popen([tool.path, *map(str, arguments)], stdout=slave, stderr=slave, stdin=slave, env={**plain_environment(), **(env or {})})
    os.close(slave)
    reader.start()
    assert process.wait(timeout=300) == status
    reader.join()
    os.close(master)
    return b"".join(shown).decode().replace("\r\n", "\n")


def widest(text):
    return max(len(line) for line in ESCAPE.sub("", text).replace("\r", "\n").split("\n"))


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("language", ["C", "en_US.UTF-8"])
def test_everything_fits_the_terminal(mxfp4, tiny, tmp_path, columns, language):
    env = {"LANG": language}
    everything = ""
    for arguments in (["quantize", tiny, tmp_path / "q", "--dry-run"], ["quantize", tiny, tmp_path / "q"],
                      ["inspect", tmp_path / "q", "--scales"], ["quantize", "--help"], ["info"]):  # fmt: skip
        shown = on_terminal(mxfp4, *arguments, columns=columns, env=env)
        shown = shown.replace(str(tiny), "IN").replace(str(tmp_path), "OUT")  # paths are never cut
        assert widest(shown) <= columns, shown
        everything += shown
    assert everything.isascii() == (language == "C")


def test_colours_are_for_terminals_that_want_them(mxfp4, tiny_mxfp4):
    assert ESCAPE.search(on_terminal(mxfp4, "inspect", tiny_mxfp4))
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert not ESCAPE.search(on_terminal(mxfp4, "inspect", tiny_mxfp4, env=env))
    assert ESCAPE.search(on_terminal(mxfp4, "inspect", tiny_mxfp4, env={"NO_COLOR": ""}))
    assert not ESCAPE.search(mxfp4("inspect", tiny_mxfp4).out)


def test_colours_change_no_character(mxfp4, tiny_mxfp4):
    plain = on_terminal(mxfp4, "inspect", tiny_mxfp4, "--scales", env={"NO_COLOR": "1"})
    assert ESCAPE.sub("", on_terminal(mxfp4, "inspect", tiny_mxfp4, "--scales")) == plain


def test_names_are_cut_only_on_a_terminal(mxfp4, bare, tmp_path):
    name = "a.very." * 20 + "weight"
    source = bare({name: np.zeros((1, 32), np.float32)})
    assert name in mxfp4("inspect", source).out
    assert name not in on_terminal(mxfp4, "inspect", source)


def test_a_bar_moves_on_a_terminal_and_goes_away(mxfp4, tmp_path):
    size = ("--hidden-size", 1024, "--intermediate-size", 1024, "--experts", 16, "--threads", 1)
    shown = on_terminal(mxfp4, "synth", tmp_path / "m", "--like", "tiny", *size)
    assert re.search(r"\r *\d+ %.*#-*.*[MG]B.*left", shown), shown
    final = shown.rsplit("\r", 1)[1]
    assert "%" not in final and "with random weights" in final
    assert "%" not in on_terminal(mxfp4, "quantize", tmp_path / "m", tmp_path / "q", "--quiet")


def test_a_summary_tells_what_counts(mxfp4, tiny, tmp_path):
    result = mxfp4("quantize", tiny, tmp_path / "out")
    assert result.err == ""
    for words in ("6 of 54 quantised", "4.25 bits per weight", "dB (median)", "lossless", "saturated", "largest error",
                  "scale bytes", "kept as they are", "model.layers.{0..2}.mlp.router.weight"):  # fmt: skip
        assert words in result.out, result.out


def test_a_lossless_run_shows_100_percent(mxfp4, tiny_mxfp4, tmp_path):
    mxfp4("dequantize", tiny_mxfp4, tmp_path / "bf16")
    out = mxfp4("quantize", tmp_path / "bf16", tmp_path / "out").out
    assert re.search(r"lossless +(\S+) of \1 blocks \(100 %\)", out), out
    assert re.search(r"SQNR +lossless\n", out) and "largest error" not in out


def test_a_plan_shows_sizes_and_bits(mxfp4, tiny, tmp_path):
    out = mxfp4("quantize", tiny, tmp_path / "out", "--dry-run").out
    line = next(line for line in out.splitlines() if "gate_up_proj" in line)
    assert line.split()[1:] == ["3", "[6,", "192,", "64]", "optimal", "442", "kB", "118", "kB", "4.25"]
    assert "needed" in out and "free" in out
    assert not (tmp_path / "out").exists()


def test_completion_knows_verbs_and_options(mxfp4, tmp_path):
    script = tmp_path / "completion"
    script.write_text(mxfp4("completion", "bash").out)

    def complete(*words):
        code = f'source {script}; COMP_WORDS=({" ".join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; _mxfp4; printf "%s\\n" "${{COMPREPLY[@]}}"'
        return set(subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split())

    assert complete("mxfp4", "") >= {"quantize", "inspect", "synth"}
    assert complete("mxfp4", "deq") == {"dequantize"}
    assert complete("mxfp4", "quantize", "--max") == {"--max-memory", "--max-shard"}
    assert complete("mxfp4", "inspect", "--") >= {"--scales", "--tensors", "--json", "--quiet", "--help"}
    assert complete("mxfp4", "inspect", "mod") == set()


def test_a_run_that_quantises_nothing_says_so(mxfp4, bare, tmp_path):
    source = bare({"norm": np.ones(8, np.float32)})
    result = mxfp4("quantize", source, tmp_path / "out.safetensors")
    assert "0 of 1 quantised\n" in result.out and "dB" not in result.out and "\n\n\n" not in result.out
    assert result.err.startswith("warning: ")
    assert "bits_per_weight" not in mxfp4.json("quantize", source, tmp_path / "again.safetensors")["totals"]
