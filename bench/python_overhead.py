#!/usr/bin/env python3
"""Measures what a call from Python costs beyond the work: medians of many calls on arrays too small to matter.

    .venv/bin/python bench/python_overhead.py     after ./go test, which builds and installs the package

One JSON object on stdout: microseconds a call, and milliseconds that `import mxfp4` adds to numpy's own import.
"""

import json
import statistics
import subprocess
import sys
import timeit

import numpy as np

import mxfp4

CALLS, REPEATS = 2000, 25
IMPORT = "import time, numpy; begin = time.perf_counter(); import mxfp4; print(time.perf_counter() - begin)"


def microseconds(call) -> float:
    call()
    return round(statistics.median(timeit.repeat(call, number=CALLS, repeat=REPEATS)) / CALLS * 1e6, 2)


def import_milliseconds() -> float:
    times = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(11)]
    return round(statistics.median(times) * 1e3, 2)


def kinds(x: np.ndarray) -> dict:
    """The same values as each kind of array that is installed."""
    arrays = {"numpy float32": x, "numpy float16": x.astype(np.float16)}
    try:
        import ml_dtypes

        arrays["ml_dtypes bfloat16"] = x.astype(ml_dtypes.bfloat16)
    except ModuleNotFoundError:
        pass
    try:
        import torch

        arrays["torch float32"] = torch.from_numpy(x)
        arrays["torch bfloat16"] = torch.from_numpy(x).bfloat16()
    except ModuleNotFoundError:
        pass
    return arrays


def main():
    x = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
    t, out = mxfp4.quantize(x), np.empty_like(x)
    layer = mxfp4.Linear(t)
    result = {f"quantize, {kind}": microseconds(lambda a=a: mxfp4.quantize(a)) for kind, a in kinds(x).items()}
    result["quantize, one thread"] = microseconds(lambda: mxfp4.quantize(x, threads=1))
    result["dequantize"] = microseconds(t.dequantize)
    result["dequantize, out"] = microseconds(lambda: t.dequantize(out=out))
    result["error_stats"] = microseconds(lambda: mxfp4.error_stats(x, t))
    result |= {f"Linear, {kind}": microseconds(lambda a=a: layer(a)) for kind, a in kinds(x).items()}
    info = mxfp4.info()
    machine = {key: info[key] for key in ("version", "machine", "isa", "threads")}
    print(json.dumps({**machine, "import_ms": import_milliseconds(), "call_us": result}, indent=2))


if __name__ == "__main__":
    main()
