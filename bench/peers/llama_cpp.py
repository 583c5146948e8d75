#!/usr/bin/env python3
"""Times MXFP4 weights x f32 activations here and in llama.cpp's ggml on the same CPU, shapes and threads, in turns.

    bench/peers/llama_cpp.py [--shapes 4096x4096,5760x2880] [--tokens 1,4,16,64,512] [--threads 1,2] [--turns 3]

Needs a built tool (./go build), cmake, ninja and pip. The source of ggml comes with the source package of
llama-cpp-python from PyPI and is built for this processor, CPU backend only, below build/peers. ggml rounds activations
to 8-bit integers in blocks of 32, as `--activation int8` does; its fastest path repacks the weights, as our layer packs
them. Every measurement reads other weights each time, more than the caches hold. Each turn runs all programs; the limits
are those that `mxfp4 bench` measured in the same turn. The table shows medians of turns and is Markdown;
"disturbed" are rows where our tool warned: their shares are too low, and their ratio is rough, since other programs
interrupt long calls and spare short ones.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build/peers"
VERSION = "0.3.36"
PACKAGE = f"llama_cpp_python-{VERSION}"


def run(*command) -> str:
    """What a command prints. Threads that wait sleep: on a shared machine they would spin away their time."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def build_ggml() -> Path:
    """ggml and the program that times it, built once."""
    program, driver = BUILD / "ggml_linear", ROOT / "bench/peers/ggml_linear.cpp"
    source = BUILD / PACKAGE / "vendor/llama.cpp/ggml"
    BUILD.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        run(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", BUILD,
            f"llama-cpp-python=={VERSION}")
        with tarfile.open(BUILD / f"{PACKAGE}.tar.gz") as archive:
            archive.extractall(BUILD, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(BUILD)
        (source / "ggml.pc.in").touch()  # its CMakeLists.txt wants this file, which the package leaves out
    if not (BUILD / "ggml/src/libggml.a").exists():
        run("cmake", "-S", source, "-B", BUILD / "ggml", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=ON", "-DGGML_LLAMAFILE=ON")
        run("cmake", "--build", BUILD / "ggml")
    if not program.exists() or program.stat().st_mtime < driver.stat().st_mtime:
        libraries = [BUILD / f"ggml/src/lib{name}.a" for name in ("ggml", "ggml-cpu", "ggml-base")]
        run("g++", "-std=c++20", "-O2", f"-I{source}/include", driver, *libraries, "-fopenmp", "-ldl", "-o", program)
    return program


def time_ggml(program: Path, shape, tokens: int, threads: int, copies: int, repack: bool) -> dict | None:
    words = run(program, *shape, tokens, threads, copies, int(repack)).split()
    return {"seconds": float(words[0]), "relative_error": float(words[1])} if words else None


def time_ours(tool: Path, shape, tokens: int, threads: int, activation: str) -> tuple[dict, dict, list]:
    report = json.loads(run(tool, "bench", "linear", "--rows", shape[0], "--cols", shape[1], "--tokens", tokens,
                            "--threads", threads, "--activation", activation, "--json"))
    return report["results"][0], report["limits"], report["warnings"]


def turn(tool: Path, program: Path, shape, tokens: int, threads: int) -> dict[str, dict]:
    """One run of every program, each with its share of the limits that were measured beside it."""
    int8, limits, int8_warnings = time_ours(tool, shape, tokens, threads, "int8")
    copies = int8["weight_copies"]
    runs = {"int8": int8}
    runs["ggml repacked"] = time_ggml(program, shape, tokens, threads, copies, True)
    runs["ggml"] = time_ggml(program, shape, tokens, threads, copies, False)
    runs["exact"], _, exact_warnings = time_ours(tool, shape, tokens, threads, "exact")
    operations = 2 * shape[0] * shape[1] * tokens
    roofline = max(int8["weight_bytes"] / limits["read bandwidth"], operations / limits["int8 dot product"]) / 1e9
    for name in ("ggml repacked", "ggml"):
        if runs[name]:
            runs[name]["percent_of_limit"] = 100 * roofline / runs[name]["seconds"]
    for one in filter(None, runs.values()):
        one["gb_per_s"] = int8["weight_bytes"] / one["seconds"] / 1e9
        one["gop_per_s"] = operations / one["seconds"] / 1e9
        one["percent_of_read"] = 100 * one["gb_per_s"] / limits["read bandwidth"]
    runs["warnings"] = int8_warnings + exact_warnings
    return runs


NAMES = ("int8", "exact", "ggml repacked", "ggml")


def row(shape, threads: int, tokens: int, turns: list[dict]) -> str:
    def median(name: str, field: str) -> float:
        return statistics.median(t[name][field] for t in turns)

    def cell(name: str) -> str:
        if any(t[name] is None for t in turns):
            return "-"
        rate = f"{median(name, 'gb_per_s'):.1f} GB/s" if tokens < 16 else f"{median(name, 'gop_per_s'):.0f} Gop/s"
        return f"{rate}, {median(name, 'percent_of_limit'):.0f} %, {median(name, 'percent_of_read'):.0f} %"

    peers = [name for name in NAMES[2:] if all(t[name] for t in turns)]
    ratio = statistics.median(min(t[p]["seconds"] for p in peers) / t["int8"]["seconds"] for t in turns)
    disturbed = " (disturbed)" if any(t["warnings"] for t in turns) else ""
    cells = [f"{shape[0]}x{shape[1]}", threads, tokens, *map(cell, NAMES), f"{ratio:.2f}{disturbed}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, default=ROOT / "build/bin/mxfp4")
    parser.add_argument("--shapes", default="4096x4096,5760x2880")
    parser.add_argument("--tokens", default="1,4,16,64,512")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes.split(",")]
    program = build_ggml()
    print("Rate, share of the roofline, share of the read bandwidth; the last column: how many times faster our int8 is "
          "than the better of ggml's two.\n", flush=True)
    print(f"| shape | threads | tokens | {' | '.join(NAMES)} | ratio |\n|---|" + "--:|" * (len(NAMES) + 3), flush=True)
    errors = {}
    for shape in shapes:
        for threads in map(int, options.threads.split(",")):
            for tokens in map(int, options.tokens.split(",")):
                turns = [turn(options.tool, program, shape, tokens, threads) for _ in range(options.turns)]
                print(row(shape, threads, tokens, turns), flush=True)
                errors = {name: turns[0][name]["relative_error"] for name in NAMES if turns[0][name]}
    print("\nError of the last row, rms against the sum of magnitudes: "
          + ", ".join(f"{name} {error:.1g}" for name, error in errors.items()))


if __name__ == "__main__":
    main()
