"""Several ranks under mpirun share a checkpoint's work: the bytes of one process, and one end for all."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import Result, plain_environment

SHARDS = ("--max-shard", "50K")


class Ranks:
    """The tool under mpirun."""

    def __init__(self, command: Path, tool: Path):
        self.command, self.tool = command, tool

    def start(self, ranks: int, *arguments, on: dict[int, dict] | None = None) -> subprocess.Popen:
        """`on`: the environment of single ranks, in which {rank} stands for a rank's number in the arguments."""
        settings = [f"[ $OMPI_COMM_WORLD_RANK != {rank} ] || export {' '.join(f'{k}={v}' for k, v in env.items())}"
                    for rank, env in (on or {}).items()]  # fmt: skip
        words = [str(a).replace("{rank}", "${OMPI_COMM_WORLD_RANK}") for a in (self.tool, *arguments)]
        script = "\n".join([*settings, 'exec "' + '" "'.join(words) + '"'])
        command = [self.command, str(ranks), "sh", "-c", script]
        return subprocess.Popen(command, env={**plain_environment(), "TERM": "dumb"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, ranks: int, *arguments, status=0, on=None, within=60) -> Result:
        begin = time.monotonic()
        process = self.start(ranks, *arguments, on=on)
        try:
            out, err = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"{ranks} ranks, {arguments}: not over after {time.monotonic() - begin:.0f} s\n{process.communicate()}")
        assert process.returncode == status, f"{ranks} ranks, {arguments}: status {process.returncode}\n{out}{err}"
        return Result(process.returncode, out, err)


@pytest.fixture(scope="module")
def ranks(root, tool) -> Ranks:
    if not list(tool.parent.glob("libmxfp4_mpi-*.so")):
        pytest.skip("the tool was built without MPI")
    return Ranks(root / "tests/mpirun.sh", tool)


def content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def model(mxfp4, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ranks") / "model"
    mxfp4("synth", path, "--like", "tiny", "--layers", 3, "--experts", 4, "--max-shard", "100K")
    return path


@pytest.fixture(scope="module")
def whole(mxfp4, model, tmp_path_factory) -> Path:
    """What one process makes of it."""
    path = tmp_path_factory.mktemp("whole") / "out"
    mxfp4("quantize", model, path, *SHARDS)
    assert len(list(path.glob("model-*.safetensors"))) > 4
    return path


def without_times(text: str) -> dict:
    report = json.loads(text)
    for name in ("seconds", "peak_memory_bytes", "disk_free"):
        report["totals"].pop(name, None)
    return report


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_quantize_writes_the_bytes_and_says_the_words_of_one_process(mxfp4, ranks, model, whole, tmp_path, count):
    out = tmp_path / "out"
    said = ranks(count, "quantize", model, out, *SHARDS, "--json")
    assert content(out) == content(whole)
    alone = mxfp4("quantize", model, tmp_path / "alone", *SHARDS, "--json").out
    assert without_times(said.out) == without_times(alone)
    assert said.err == ""


@pytest.mark.parametrize("verb", [("dequantize",), ("convert", "--format", "mlx")])
def test_other_jobs_write_the_bytes_of_one_process(mxfp4, ranks, whole, tmp_path, verb):
    name, *options = verb
    mxfp4(name, whole, tmp_path / "alone", *options, *SHARDS)
    ranks(3, name, whole, tmp_path / "out", *options, *SHARDS)
    assert content(tmp_path / "out") == content(tmp_path / "alone")


def test_verify_finds_what_one_process_finds(mxfp4, ranks, model, whole, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(whole, bad)
    for path in bad.glob("*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-2:] = b"\xff\xff"
        path.write_bytes(data)
    arguments = ("verify", bad, "--against", model, "--min-sqnr", 19.03, "--json")
    assert ranks(3, *arguments, status=1).out == mxfp4(*arguments, status=1).out
    assert ranks(2, "verify", whole).out.splitlines()[-1].startswith("no problem")


def test_more_ranks_than_files_are_told_of_it(ranks, whole, model, tmp_path, mxfp4):
    said = ranks(3, "quantize", model, tmp_path / "out")
    assert "warning: 2 of 3 ranks have nothing to write: a file is made by one rank, and there is 1 to make" in said.err
    mxfp4("quantize", model, tmp_path / "alone")
    assert content(tmp_path / "out") == content(tmp_path / "alone")


def test_a_bare_file_is_made_by_one_rank(mxfp4, ranks, model, tmp_path):
    shutil.copy(next(model.glob("model-00001*")), tmp_path / "in.safetensors")
    ranks(2, "quantize", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    mxfp4("quantize", tmp_path / "in.safetensors", tmp_path / "alone.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "alone.safetensors").read_bytes()


def test_what_all_ranks_refuse_is_said_once(ranks, model, tmp_path):
    said = ranks(3, "quantize", tmp_path / "gone", tmp_path / "out", status=3)
    assert said.err.count("error:") == 1
    assert f"error: {tmp_path}/gone: cannot open: No such file or directory\n" in said.err
    assert "error: IN is required" in ranks(2, "quantize", status=2).err


def test_what_one_rank_refuses_ends_all(ranks, model, tmp_path):
    (tmp_path / "in-0").symlink_to(model)
    said = ranks(3, "quantize", tmp_path / "in-{rank}", tmp_path / "out", status=3)
    assert f"error: rank 1: {tmp_path}/in-1: cannot open: No such file or directory\n" in said.err
    assert said.err.count("error:") == 1
    assert not list(tmp_path.glob("out*"))


def test_ranks_that_were_asked_for_different_things_are_refused(ranks, model, tmp_path):
    said = ranks(2, "quantize", model, tmp_path / "out-{rank}", status=2)
    assert "error: rank 1 was asked for something else than rank 0: " in said.err
    assert f"OUT: {tmp_path}/out-1, not OUT: {tmp_path}/out-0\n" in said.err
    assert not list(tmp_path.iterdir())
    said = ranks(2, "quantize", model, tmp_path / "out", "--max-shard", "5{rank}K", status=2)
    assert "--max-shard: 52224, not --max-shard: 51200" in said.err


def test_a_verb_that_cannot_be_shared_is_refused(ranks):
    said = ranks(2, "info", status=2)
    assert "error: info is nothing for 2 ranks; what they can share is: quantize, dequantize, convert, verify, bench" in said.err


def test_help_and_version_are_said_once(ranks):
    assert ranks(2, "--version").out.count("mxfp4 ") == 1
    assert ranks(2, "quantize", "--help").out.count("--timeout") == 1


def failing(crash, at, **how):
    return {"LD_PRELOAD": crash, "CRASH_AT": at, **how}


@pytest.mark.parametrize("rank, call", [(0, 60), (1, 40)])
def test_a_full_disk_on_one_rank_ends_all_and_any_number_goes_on(ranks, mxfp4, model, whole, crash, tmp_path, rank, call):
    out = tmp_path / "out"
    run = ("quantize", model, out, *SHARDS, "--threads", 1)
    said = ranks(2, *run, status=3, on={rank: failing(crash, call, CRASH_ERRNO=errno.ENOSPC)})
    assert f"error: rank {rank}: {out}.mxfp4-partial" in said.err and "No space left on device" in said.err
    assert "--resume goes on from there" in said.err
    kept = {p.name: p.stat().st_ino for p in Path(f"{out}.mxfp4-partial").glob("*.safetensors")}
    assert kept
    ranks(3, *run, "--resume")
    assert content(out) == content(whole)
    assert {p.name: p.stat().st_ino for p in out.glob("*.safetensors") if p.name in kept} == kept


def test_a_rank_that_is_killed_ends_all(ranks, mxfp4, model, whole, crash, tmp_path):
    out = tmp_path / "out"
    run = ("quantize", model, out, *SHARDS, "--threads", 1)
    said = ranks(3, *run, status=128 + signal.SIGKILL, on={2: failing(crash, 40)}, within=20)
    assert "rank 2" in said.err and "signal 9" in said.err
    assert not out.exists()
    mxfp4(*run, "--resume")
    assert content(out) == content(whole)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_stopped_ends_all_in_time(ranks, mxfp4, model, whole, crash, tmp_path, rank):
    out = tmp_path / "out"
    run = ("quantize", model, out, *SHARDS, "--threads", 1)
    stop = {rank: failing(crash, 40, CRASH_SIGNAL=int(signal.SIGSTOP))}
    said = ranks(2, *run, "--timeout", 1, status=3, on=stop, within=20)
    assert f"error: rank {1 - rank} has waited 1 s for rank {rank}: it has stopped, hangs or is out of reach" in said.err
    ranks(2, *run, "--resume")
    assert content(out) == content(whole)


def test_a_rank_that_answers_and_does_nothing_ends_all_in_time(ranks, model, crash, tmp_path):
    run = ("quantize", model, tmp_path / "out", *SHARDS, "--threads", 1)
    said = ranks(2, *run, "--timeout", 1, status=3, on={1: failing(crash, 40, CRASH_HANG=1)}, within=20)
    assert "error: rank 1 has got no further for 1 s" in said.err


def test_ranks_that_were_all_suspended_go_on(ranks, model, whole, crash, tmp_path):
    out = tmp_path / "out"
    slow = {"LD_PRELOAD": crash, "CRASH_SLOW": 50_000}
    process = ranks.start(2, "quantize", model, out, *SHARDS, "--threads", 1, "--timeout", 2, on={0: slow, 1: slow})
    end = time.monotonic() + 20
    while not Path(f"{out}.mxfp4-partial").exists() and time.monotonic() < end:
        time.sleep(0.01)
    children = [int(pid) for task in Path(f"/proc/{process.pid}/task").iterdir() for pid in (task / "children").read_text().split()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)
    for pid in children:
        os.kill(pid, signal.SIGCONT)
    said = process.communicate(timeout=30)
    assert len(children) == 2 and process.returncode == 0, said
    assert content(out) == content(whole)


def test_an_interrupt_ends_all_and_leaves_what_can_be_resumed(ranks, mxfp4, model, whole, crash, tmp_path):
    out, journal = tmp_path / "out", tmp_path / "out.mxfp4-partial/mxfp4-resume.json"
    run = ("quantize", model, out, *SHARDS, "--threads", 1)
    slow = {"LD_PRELOAD": crash, "CRASH_SLOW": 50_000}  # mpirun passes an interrupt on as SIGTERM, after a second
    process = ranks.start(2, *run, on={0: slow, 1: slow})
    end = time.monotonic() + 20
    while not (journal.exists() and b"crc32c" in journal.read_bytes()) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)
    assert process.returncode != 0 and not out.exists() and journal.exists(), said
    assert "stopped; " in said[1] and "--resume goes on from there" in said[1]
    mxfp4(*run, "--resume")
    assert content(out) == content(whole)


def pid_of_rank(process: subprocess.Popen, rank: int) -> int:
    """Of the tool, once it has begun."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                try:
                    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                    program = Path(f"/proc/{pid}/exe").readlink().name
                except OSError:
                    continue
                if f"OMPI_COMM_WORLD_RANK={rank}".encode() in environment and program == "mxfp4":
                    return pid
        time.sleep(0.01)
    pytest.fail(f"rank {rank} does not begin")


@pytest.mark.parametrize("share", ["experts", "channels"])
def test_bench_shows_where_each_rank_spends_its_time(ranks, share):
    report = json.loads(ranks(2, "bench", "experts", "--like", "tiny", "--share", share, "--json").out)
    assert (report["ranks"], report["share"]) == (2, share)
    assert [row["experts"] for row in report["rows"]] == ([3, 3] if share == "experts" else [6, 6])
    for row in report["rows"]:
        parts = row["compute_seconds"] + row["exchange_seconds"] + row["wait_seconds"]
        assert 0 < row["compute_seconds"] <= row["seconds"] and parts < 3 * row["seconds"]
    assert report["received_bytes"] == 64 * 4 * (4 / 2 if share == "experts" else 1)


@pytest.mark.parametrize(
    "arguments, refusal",
    [
        (("bench", "linear"), "bench linear is nothing for 3 ranks; bench experts is"),
        (("bench", "experts", "--rows", 5), "bench experts: --rows is for quantize"),
        (("bench", "experts", "--no-pack"), "bench experts: --no-pack is for one rank"),
        (("bench", "experts", "--like", "tiny", "--share", "channels", "--tokens", "x"), "--tokens"),
        (("bench", "experts", "--like", "tiny", "--threads", 0), "--threads"),
    ],
)
def test_what_bench_refuses_is_said_once(ranks, arguments, refusal):
    said = ranks(3, *arguments, status=2)
    assert said.err.count("error:") == 1 and f"error: {refusal}" in said.err and said.out == ""


def test_bench_refuses_more_ranks_than_there_are_parts_once(ranks):
    said = ranks(4, "bench", "experts", "--like", "tiny", "--share", "channels", status=2)
    assert said.err.count("error:") == 1
    assert "error: tensor parallel: 96 channels are 3 times 32, too few for 4 ranks\n" in said.err


def test_bench_compares_what_its_ranks_were_asked_for(ranks):
    said = ranks(2, "bench", "experts", "--like", "tiny", "--tokens", "1{rank}", "--json", status=2)
    different = "rank 1 was asked for something else than rank 0: --tokens: 11, not --tokens: 10"
    assert f"error: {different}\n" in said.err and said.err.count("error:") == 1
    assert json.loads(said.out)["error"] == {"code": "invalid_argument", "message": different}
    said = ranks(2, "bench", "{rank}", status=2)
    assert said.err.count("error:") == 1


def test_a_rank_that_is_told_to_stop_is_named(ranks):
    process = ranks.start(2, "bench", "experts", "--like", "gpt-oss-20b", "--tokens", 256)
    rank_1 = pid_of_rank(process, 1)
    time.sleep(0.5)
    os.kill(rank_1, signal.SIGTERM)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "error: rank 1: stopped\n" in err and err.count("error:") == 1


def test_ranks_of_another_mpi_are_refused(ranks, mxfp4, whole):
    """As many processes as that would each do all of the work, and write one output."""
    for setting in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        said = subprocess.run([ranks.tool, "inspect", whole, "--json"], env={**plain_environment(), setting: "2"},
                              capture_output=True, text=True)  # fmt: skip
        assert said.returncode == 3
        assert json.loads(said.stdout)["error"]["code"] == "unsupported"
        assert f"error: {setting}=2 says that this is one of several ranks, but MPI has found no other" in said.stderr


def test_a_tool_without_mpi_refuses_to_be_one_of_several(static_prefix, mxfp4, whole, tmp_path):
    shutil.copy(static_prefix / "bin/mxfp4", tmp_path)
    refused = subprocess.run([tmp_path / "mxfp4", "inspect", whole], env={**os.environ, "PMI_SIZE": "2"},
                             capture_output=True, text=True)  # fmt: skip
    assert refused.returncode == 3
    assert refused.stderr.startswith("error: PMI_SIZE=2 says that this is one of several ranks, but this is a build without MPI")
    alone = subprocess.run([tmp_path / "mxfp4", "inspect", whole], env={**os.environ, "PMI_SIZE": "1"})
    assert alone.returncode == 0
