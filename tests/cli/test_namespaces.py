"""Ranks in network namespaces of their own, which only a slow link connects: as on two hosts."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import plain_environment

# What makes a link slow, best first: a delay as well, or only a rate where the kernel has no netem.
SLOW = (("netem", "delay", "10ms", "rate", "20mbit"), ("tbf", "rate", "20mbit", "burst", "10k", "latency", "100ms"))


def ip(*words: str) -> str | None:
    """None, or why it was refused."""
    ran = subprocess.run(["ip", *words], capture_output=True, text=True)
    return None if ran.returncode == 0 else f"ip {' '.join(words)}: {ran.stderr.strip()}"


class Hosts:
    """Two namespaces; the second is reached as mpirun reaches hosts, by a command in the place of ssh."""

    def __init__(self, tool: Path, tmp_path: Path):
        self.tool, self.name = tool, f"mxfp4-{os.getpid()}"
        self.agent, self.log = tmp_path / "agent", tmp_path / "log"
        self.agent.write_text(f'#!/bin/sh\nshift\nexec ip netns exec {self.name}-2 sh -c "$*"\n')
        self.agent.chmod(0o755)
        one, two = f"{self.name}-1", f"{self.name}-2"
        steps = [("netns", "add", one), ("netns", "add", two), ("-n", one, "link", "set", "lo", "up"), ("-n", two, "link", "set", "lo", "up"),
                 ("link", "add", "mxfp4-1", "netns", one, "type", "veth", "peer", "name", "mxfp4-2", "netns", two)]  # fmt: skip
        for number, name in enumerate((one, two), 1):
            steps += [("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", f"mxfp4-{number}"),
                      ("-n", name, "link", "set", f"mxfp4-{number}", "up")]  # fmt: skip
        self.refused = next(filter(None, (ip(*step) for step in steps)), None)

    def slow_down(self) -> str | None:
        for how in SLOW:
            refused = None
            for number in (1, 2):
                command = ["ip", "netns", "exec", f"{self.name}-{number}", "tc", "qdisc", "add", "dev", f"mxfp4-{number}", "root"]
                ran = subprocess.run([*command, *how], capture_output=True, text=True)
                refused = refused or (ran.returncode and ran.stderr.strip())
            if not refused:
                print(f"a slow link by tc {' '.join(how)}")
                return None
        return f"tc cannot slow a link down: {refused}"

    def cut(self):
        ip("-n", f"{self.name}-1", "link", "set", "mxfp4-1", "down")

    def start(self, *arguments, env=None) -> subprocess.Popen:
        mpirun = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "--mca", "plm_rsh_agent", self.agent, "--mca", "btl", "tcp,self"]
        settings = [word for name, value in (env or {}).items() for word in ("-x", f"{name}={value}")]
        command = ["ip", "netns", "exec", f"{self.name}-1", *mpirun, "--host", "10.77.0.1:1,10.77.0.2:1", "-n", "2", *settings, self.tool]
        environment = {**plain_environment(), "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            return subprocess.Popen([*map(str, [*command, *arguments])], env=environment, stdout=log, stderr=log)

    def received(self) -> int:
        path = "/sys/class/net/mxfp4-1/statistics/rx_bytes"
        return int(subprocess.check_output(["ip", "netns", "exec", f"{self.name}-1", "cat", path]))

    def close(self):
        """What is left of mpirun on a host that is cut off waits for the other one."""
        for number in (1, 2):
            name = f"{self.name}-{number}"
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            for process in left:
                os.kill(int(process), signal.SIGKILL)
            ip("netns", "del", name)


@pytest.fixture
def hosts(tool, tmp_path):
    if not list(tool.parent.glob("libmxfp4_mpi-*.so")):
        pytest.skip("the tool was built without MPI")
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("network namespaces need root, and ip and tc (iproute2)")
    hosts = Hosts(tool, tmp_path)
    try:
        if hosts.refused:
            pytest.skip(f"this machine allows no network namespaces: {hosts.refused}")
        yield hosts
    finally:
        hosts.close()


def content(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir()}


def test_ranks_on_two_hosts_with_a_slow_link_write_the_bytes_of_one(hosts, mxfp4, tiny, tmp_path):
    refused = hosts.slow_down()
    if refused:
        pytest.skip(refused)
    process = hosts.start("quantize", tiny, tmp_path / "out", "--max-shard", "50K", "--quiet")
    assert process.wait(timeout=60) == 0, hosts.log.read_text()
    assert hosts.received() > 1000  # the other rank's words
    mxfp4("quantize", tiny, tmp_path / "alone", "--max-shard", "50K")
    assert content(tmp_path / "out") == content(tmp_path / "alone")


def test_a_host_that_is_cut_off_ends_all_ranks_in_time(hosts, mxfp4, tiny, crash, tmp_path):
    run = ("quantize", tiny, tmp_path / "out", "--max-shard", "50K", "--threads", 1)
    process = hosts.start(*run, "--timeout", 2, env={"LD_PRELOAD": crash, "CRASH_SLOW": 100_000})
    journal, end = tmp_path / "out.mxfp4-partial/mxfp4-resume.json", time.monotonic() + 20
    while not journal.exists() and time.monotonic() < end:
        time.sleep(0.05)
    hosts.cut()
    begin = time.monotonic()
    while ranks_of(tmp_path) and time.monotonic() - begin < 30:
        time.sleep(0.1)
    assert not ranks_of(tmp_path)
    assert "rank 0 has waited 2 s for rank 1: it has stopped, hangs or is out of reach" in hosts.log.read_text()
    assert not (tmp_path / "out").exists()
    process.kill()  # mpirun itself goes on waiting for the other host
    process.wait()


def ranks_of(directory: Path) -> list[str]:
    """The numbers of processes of the tool that write there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/mxfp4") and any(word.startswith(bytes(directory)) for word in words):
            found.append(path.parent.name)
    return found
