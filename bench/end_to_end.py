#!/usr/bin/env python3
"""Measures whole runs of the tool on a synthetic gpt-oss model: rate, memory, and what syncing and --resume cost.

    bench/end_to_end.py rate   --dir /dev/shm/bench --layers 2     against `cat` of the same files in the same run
    bench/end_to_end.py memory --dir /var/tmp/bench --layers 3     peaks under --max-memory 512M
    bench/end_to_end.py convert --dir /var/tmp/bench --layers 4   between conventions, against cp and sync of the same files
    bench/end_to_end.py sync   --dir /var/tmp/bench --layers 1     against the same run without syncs and journal

DIR is made if need be; the model in it is made once and kept, everything else is deleted. One JSON object on stdout.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_SYNC = r"""
extern "C" int fsync(int) { return 0; }
"""


def bytes_in(directory: Path) -> int:
    return sum(p.stat().st_size for p in directory.rglob("*") if p.is_file())


def sync(directory: Path) -> None:
    subprocess.run(["sync", "-f", directory], check=True)


def peaks_of(process: subprocess.Popen) -> dict[str, int]:
    """Peak of anonymous and of resident memory while a process runs, in bytes, looked at every 5 ms."""
    peaks = {"RssAnon": 0, "VmRSS": 0}
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        for line in lines:
            name, _, value = line.partition(":")
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]) << 10)
        time.sleep(0.005)
    return peaks


class Bench:
    def __init__(self, options):
        self.options = options
        self.model = options.dir / f"{options.like}-{options.layers}"
        self.out = options.dir / "out"
        options.dir.mkdir(parents=True, exist_ok=True)
        if not self.model.is_dir() and options.what != "convert":
            self.run("synth", self.model, "--like", options.like, "--layers", options.layers)
        self.bytes = bytes_in(self.model) if self.model.is_dir() else 0

    def run(self, *arguments, **kwargs) -> float:
        begin = time.monotonic()
        subprocess.run([self.options.tool, *map(str, arguments), "--quiet"], check=True, **kwargs)
        return time.monotonic() - begin

    def quantize(self, *arguments, **kwargs) -> float:
        shutil.rmtree(self.out, ignore_errors=True)
        sync(self.options.dir)
        options = ["--threads", self.options.threads, *arguments]
        return self.run("quantize", self.model, self.out, *options, **kwargs)

    def clean(self):
        shutil.rmtree(self.out, ignore_errors=True)

    def rate(self):
        """Both read from the page cache, so a first run warms it."""
        files = sorted(self.model.glob("*.safetensors"))
        copy = self.options.dir / "copy"
        cat, quantize, dequantize = [], [], []
        self.quantize()
        for _ in range(self.options.runs):
            quantize.append(self.quantize())
            begin = time.monotonic()
            with open(copy, "wb") as out:
                subprocess.run(["cat", *files], stdout=out, check=True)
            cat.append(time.monotonic() - begin)
            copy.unlink()
        rates = {name: self.bytes / statistics.median(times) / 1e9 for name, times in (("quantize", quantize), ("cat", cat))}
        return {"gb_per_s": rates, "percent_of_cat": 100 * rates["quantize"] / rates["cat"]}

    def memory(self):
        self.clean()
        command = [self.options.tool, "quantize", self.model, self.out, "--max-memory", "512M", "--quiet", "--threads", self.options.threads]
        begin = time.monotonic()
        process = subprocess.Popen(list(map(str, command)))
        peaks = peaks_of(process)
        assert process.wait() == 0
        return {"seconds": time.monotonic() - begin, "peak_anonymous_mib": peaks["RssAnon"] / 2**20, "peak_resident_mib": peaks["VmRSS"] / 2**20}

    def convert(self):
        """Experts of gpt-oss to each convention and back, from the page cache, against cp and sync in the same run."""
        source = self.options.dir / f"{self.options.like}-{self.options.layers}-experts"
        if not source.is_dir():
            self.run("synth", source, "--like", self.options.like, "--layers", self.options.layers, "--dtype", "mxfp4")
        size = bytes_in(source)
        copy = self.options.dir / "copy"
        times = {"cp": []}
        formats = self.options.formats.split(",")

        def timed(name, *command):
            shutil.rmtree(copy, ignore_errors=True)
            sync(self.options.dir)
            begin = time.monotonic()
            subprocess.run(list(map(str, command)), check=True)
            if name == "cp":
                sync(self.options.dir)
            times.setdefault(name, []).append(time.monotonic() - begin)

        for _ in range(self.options.runs):
            timed("cp", "cp", "-r", "--reflink=never", source, copy)
            for name in formats:
                for way in ([], ["--no-verify"]):
                    timed(" ".join([name, *way]), self.options.tool, "convert", source, copy, "--format", name, "--quiet", "--threads", self.options.threads, *way)
        shutil.rmtree(copy, ignore_errors=True)
        rates = {name: size / statistics.median(values) / 1e9 for name, values in times.items()}
        return {"converted_gb": size / 1e9, "gb_per_s": rates, "percent_of_cp": {n: 100 * r / rates["cp"] for n, r in rates.items() if n != "cp"}}

    def sync(self):
        """Without syncs the data are synced once at the end, so that both runs end with a model on the disk."""
        library = self.options.dir / "no_sync.so"
        subprocess.run(["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", library], input=NO_SYNC.encode(), check=True)
        without = {**os.environ, "LD_PRELOAD": str(library)}
        times = {"with": [], "without": []}
        for _ in range(self.options.runs):
            for name, env in (("with", None), ("without", without)):
                begin = time.monotonic()
                seconds = self.quantize("--max-shard", self.options.max_shard, env=env)
                begin = time.monotonic()
                sync(self.options.dir)
                times[name].append(seconds + time.monotonic() - begin)
        seconds = {name: statistics.median(values) for name, values in times.items()}
        return {"seconds": seconds, "all_seconds": times, "cost_percent": 100 * (seconds["with"] / seconds["without"] - 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "memory", "convert", "sync"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--tool", type=Path, default=ROOT / "build/bin/mxfp4")
    parser.add_argument("--like", default="gpt-oss-20b")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--max-shard", default="500M")
    parser.add_argument("--formats", default="native,mlx,compressed-tensors,openai")
    parser.add_argument("--runs", type=int, default=3)
    bench = Bench(parser.parse_args())
    result = getattr(bench, bench.options.what)()
    bench.clean()
    print(json.dumps({"model_gb": bench.bytes / 1e9, "threads": bench.options.threads, **result}, indent=2))


if __name__ == "__main__":
    main()
