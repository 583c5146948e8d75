#!/usr/bin/env python3
"""What several hosts would give for the experts of gpt-oss-120b: computed from rank costs and a stated network.

    bench/scaling.py [--tool build/bin/mxfp4] [--threads 1] [--activation exact] [--shares READ PEAK] [--gigabits 25]
                     [--latency-us 30] [--message-us 2] [--check] [--json]

An expert with n routes takes a host max(a, b n) seconds. Measured by `mxfp4 bench experts --like gpt-oss-120b`: a is a
quarter of the time of 1 token, b a 1024th of that of 256 tokens. On a machine that others use as well such times say
little, while its limits can still be measured: --shares takes the percentages of them that an idle machine has reached
(docs/performance.md), of the read bandwidth with one token and of the peak with many, and only the limits are measured.

For 1 to 64 hosts, each as fast as that, routes are drawn at random, and a layer takes

    experts    the rank with the most to do; every rank then receives 4 T k H (R - 1) / R bytes in R - 1 messages
    channels   all of them, a rank's share of 90 blocks of channels; then 8 T H (R - 1) / R bytes, in two steps, or
               4 T H (R - 1) in one where all that is sent to a rank is no more than 256 KB

An exchange costs the latency for each step, message-us for each message, and its bytes at the network's rate. Attention,
routers and the output head, which every host computes, are not in it. --check runs two ranks under mpirun on this
machine and shows what was computed for their own work beside what was measured.
"""

import argparse
import json
import random
import statistics
import subprocess
from pathlib import Path

LAYERS, EXPERTS, TOP_K, HIDDEN, BLOCKS = 36, 128, 4, 2880, 90
HOSTS = (1, 2, 4, 8, 16, 32, 64)
DRAWS = 200


def bench(tool: Path, tokens: int, threads: int, activation: str, ranks: int = 0, like: str = "gpt-oss-120b") -> dict:
    words = [tool, "bench", "experts", "--like", like, "--tokens", tokens, "--threads", threads]
    if ranks:
        words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", ranks, *words]
    return json.loads(subprocess.check_output(list(map(str, [*words, "--activation", activation, "--json"]))))


def draw(tokens: int, chance: random.Random) -> list[int]:
    """The routes of every expert."""
    routes = [0] * EXPERTS
    for _ in range(tokens):
        for expert in chance.sample(range(EXPERTS), TOP_K):
            routes[expert] += 1
    return routes


def work_of(routes: list[int], a: float, b: float) -> float:
    return sum(max(a, b * count) for count in routes if count)


def slowest_rank(routes: list[int], ranks: int, a: float, b: float) -> float:
    """With even ranges of experts."""
    bounds = [r * (EXPERTS // ranks) + min(r, EXPERTS % ranks) for r in range(ranks + 1)]
    return max(work_of(routes[begin:end], a, b) for begin, end in zip(bounds, bounds[1:]))


def layer_seconds(tokens: int, ranks: int, a: float, b: float, network: tuple[float, float, float]) -> dict[str, float]:
    rate, latency, message = network
    chance = random.Random(tokens * 1000 + ranks)
    drawn = [draw(tokens, chance) for _ in range(DRAWS if tokens < 64 else DRAWS // 10)]
    others = (ranks - 1) / ranks
    by_experts = statistics.mean(slowest_rank(routes, ranks, a, b) for routes in drawn)
    share = -(-BLOCKS // ranks) / BLOCKS
    by_channels = statistics.mean(work_of(routes, a, b) for routes in drawn) * share
    if ranks > 1:
        bytes_each = 4 * tokens * HIDDEN
        by_experts += latency + message * (ranks - 1) + bytes_each * TOP_K * others / rate
        small = bytes_each * ranks <= 256 << 10  # everybody then sends all to all
        by_channels += latency + message * (ranks - 1) + bytes_each * (ranks - 1) / rate if small else (
            2 * (latency + message * (ranks - 1) + bytes_each * others / rate))  # fmt: skip
    return {"experts": by_experts, "channels": by_channels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, default=Path(__file__).parent.parent / "build/bin/mxfp4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--activation", default="exact")
    parser.add_argument("--shares", type=float, nargs=2, metavar=("READ", "PEAK"))
    parser.add_argument("--gigabits", type=float, default=25)
    parser.add_argument("--latency-us", type=float, default=30)
    parser.add_argument("--message-us", type=float, default=2)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    network = options.gigabits * 1e9 / 8, options.latency_us * 1e-6, options.message_us * 1e-6

    measured = {}
    for tokens in (1, 256) if options.shares is None else (1,):
        like = "gpt-oss-120b" if options.shares is None else "tiny"
        report = bench(options.tool, tokens, options.threads, options.activation, like=like)
        result = report["results"][0]
        measured[tokens] = {"seconds": result["seconds"], "percent_of_limit": result["percent_of_limit"],
                            "limit": result["limit"]["name"], "limits": report["limits"], "warnings": report["warnings"]}  # fmt: skip
    if options.shares is None:
        a, b = measured[1]["seconds"] / TOP_K, measured[256]["seconds"] / (256 * TOP_K)
    else:
        limits, (read, peak) = measured[1]["limits"], options.shares
        a = 3 * HIDDEN * HIDDEN * 17 / 32 / (limits["read bandwidth"] * 1e9 * read / 100)
        b = 6 * HIDDEN * HIDDEN / (limits["f32 FMA" if options.activation == "exact" else "int8 dot product"] * 1e9 * peak / 100)
    table = {tokens: {hosts: layer_seconds(tokens, hosts, a, b, network) for hosts in HOSTS} for tokens in (1, 32, 512)}
    checked = {}
    if options.check:
        for tokens in (1, 256):
            rows = bench(options.tool, tokens, options.threads, options.activation, ranks=2)["rows"]
            chance = random.Random(1)
            computed = statistics.mean(slowest_rank(draw(tokens, chance), 2, a, b) for _ in range(DRAWS // 10))
            checked[tokens] = {"computed": computed, "measured": max(row["compute_seconds"] for row in rows)}
    if options.json:
        print(json.dumps({"measured": measured, "a": a, "b": b, "hosts": table, "check": checked}))
        return
    for tokens, run in measured.items():
        limits = ", ".join(f"{name} {run['limits'][name]:.1f}" for name in ("read bandwidth", "int8 dot product", "f32 FMA"))
        took = "" if options.shares else f"{run['seconds'] * 1e3:.2f} ms a layer, {run['percent_of_limit']:.0f} % of {run['limit']}; "
        print(f"{tokens} tokens: {took}limits: {limits}")
    print(f"a = {a * 1e6:.0f} us, b = {b * 1e6:.0f} us")
    for tokens, run in checked.items():
        print(f"2 ranks here, {tokens} tokens: {run['computed'] * 1e3:.2f} ms computed, {run['measured'] * 1e3:.2f} ms measured")
    for tokens, rows in table.items():
        print(f"\n| {tokens} tokens, ms for {LAYERS} layers | " + " | ".join(f"{hosts} hosts" for hosts in HOSTS) + " |")
        print("|---|" + "--:|" * len(HOSTS))
        for share in ("experts", "channels"):
            cells = [f"{rows[hosts][share] * LAYERS * 1e3:.1f} ({rows[1][share] / rows[hosts][share]:.1f})" for hosts in HOSTS]
            print(f"| by {share} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
