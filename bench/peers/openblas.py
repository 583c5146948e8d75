#!/usr/bin/env python3
"""Times `exact` MXFP4 x f32 against OpenBLAS's sgemm on the weights expanded to f32, in turns.

    bench/peers/openblas.py [--shapes 4096x4096] [--tokens 512] [--threads 1,2] [--turns 5]

Needs a built tool (./go build) and numpy, whose wheels bring OpenBLAS. Both get the same shapes and threads; the table
shows medians of turns and is Markdown.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The best of several calls after one to warm up, printed in seconds; the matrix is far larger than the caches.
SGEMM = """
import sys, time
import numpy as np
rows, cols, tokens = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
w, x = rng.standard_normal((rows, cols), np.float32), rng.standard_normal((tokens, cols), np.float32)
x @ w.T
times = []
for _ in range(7):
    begin = time.perf_counter()
    x @ w.T
    times.append(time.perf_counter() - begin)
print(sorted(times)[3])
"""


def run(command, threads: int) -> str:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def turn(tool: Path, shape, tokens: int, threads: int) -> tuple[float, float, float]:
    """Gflop/s of both, and the peak of FMA in the same turn."""
    report = json.loads(run([tool, "bench", "linear", "--rows", shape[0], "--cols", shape[1], "--tokens", tokens,
                             "--threads", threads, "--activation", "exact", "--json"], threads))
    seconds = float(run([sys.executable, "-c", SGEMM, *shape, tokens], threads))
    operations = 2e-9 * shape[0] * shape[1] * tokens
    return operations / report["results"][0]["seconds"], operations / seconds, report["limits"]["f32 FMA"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, default=ROOT / "build/bin/mxfp4")
    parser.add_argument("--shapes", default="4096x4096")
    parser.add_argument("--tokens", default="512")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print("| shape | threads | tokens | mxfp4, exact | OpenBLAS, f32 | ratio |\n|---|--:|--:|--:|--:|--:|")
    for shape in (tuple(map(int, s.split("x"))) for s in options.shapes.split(",")):
        for threads in map(int, options.threads.split(",")):
            for tokens in map(int, options.tokens.split(",")):
                turns = [turn(options.tool, shape, tokens, threads) for _ in range(options.turns)]
                ours, theirs, peak = (statistics.median(column) for column in zip(*turns))
                print(f"| {shape[0]}x{shape[1]} | {threads} | {tokens} | {ours:.0f} Gflop/s, {100 * ours / peak:.0f} % of FMA "
                      f"| {theirs:.0f}, {100 * theirs / peak:.0f} % | {ours / theirs:.1f} |", flush=True)


if __name__ == "__main__":
    main()
