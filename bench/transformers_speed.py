#!/usr/bin/env python3
"""gpt-oss in transformers on a CPU: mxfp4.transformers against transformers' own expansion to BF16.

    bench/transformers_speed.py [--layers 2] [--threads 2] [--activation exact|int8] [--rounds 3] [--dir /tmp] [--json]

Makes a model of gpt-oss-20b's shape with a few layers and loads it in turns in processes of their own, which measure
seconds to load, resident memory after loading and at its peak, tokens per second of decoding (batch 1), and of a
prefill of 512 tokens. Needs the package installed, torch and transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DECODED, PREFILL = 16, 512


def measure(which: str, path: str, threads: int, activation: str, rounds: int) -> dict[str, float]:
    """In a process of its own."""
    import resource

    import torch
    import transformers

    torch.set_num_threads(threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before, begin = resident(), time.perf_counter()
    if which == "mxfp4":
        import mxfp4.transformers

        model = mxfp4.transformers.from_pretrained(path, activation=activation)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(path)
    loaded = time.perf_counter() - begin
    after = resident()
    ids = torch.randint(0, 1000, (1, PREFILL), generator=torch.Generator().manual_seed(1))
    prefills, decodes = [], []
    with torch.no_grad():
        for _ in range(rounds):
            begin = time.perf_counter()
            out = model(ids, use_cache=True, logits_to_keep=1)
            prefills.append(PREFILL / (time.perf_counter() - begin))
            cache, token = out.past_key_values, out.logits.argmax(-1)
            model(token, past_key_values=cache, use_cache=True)
            begin = time.perf_counter()
            for _ in range(DECODED):
                token = model(token, past_key_values=cache, use_cache=True).logits.argmax(-1)
            decodes.append(DECODED / (time.perf_counter() - begin))
    return {
        "load_seconds": loaded,
        "resident_gb": (after - before) / 1e9,
        "peak_gb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1e9,
        "prefill_tokens_per_s": sorted(prefills)[rounds // 2],
        "decode_tokens_per_s": sorted(decodes)[rounds // 2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--activation", default="exact", choices=["exact", "int8", "mxfp8"])
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (default: 3)")
    parser.add_argument("--dir", default=tempfile.gettempdir())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure, options.threads, options.activation, options.rounds)))
        return
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        path = f"{directory}/model"
        make = ["synth", path, "--like", "gpt-oss-20b", "--layers", str(options.layers), "--dtype", "mxfp4", "--quiet"]
        subprocess.run([sys.executable, "-m", "mxfp4", *make], check=True)
        size = sum(file.stat().st_size for file in Path(path).glob("*.safetensors")) / 1e9
        results = {}
        for which in ("mxfp4", "transformers"):
            command = [sys.executable, __file__, "--threads", str(options.threads), "--activation", options.activation, "--rounds", str(options.rounds)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
            done = subprocess.run([*command, "--measure", which, path], stdout=subprocess.PIPE, check=True, env=environment)
            results[which] = json.loads(done.stdout)
    if options.json:
        print(json.dumps({"checkpoint_gb": size, **results}))
        return
    print(f"{options.layers} layers, a checkpoint of {size:.2f} GB, {options.threads} threads, {options.activation}")
    print(f"{'':24}{'mxfp4':>10}{'transformers':>14}{'ratio':>8}")
    for name, ours in results["mxfp4"].items():
        theirs = results["transformers"][name]
        print(f"{name.replace('_', ' '):24}{ours:10.2f}{theirs:14.2f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
