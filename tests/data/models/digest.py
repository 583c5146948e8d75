"""Writes digests.json: SHA-256 of weights in F32 as each project's own dequantiser gives them.

    digest.py GOLDEN    with GOLDEN/{tiny-llama,tiny-deepseek-v4}/expected*.safetensors
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

PREFIX = "dequantized."
HERE = Path(__file__).parent


def digest(values: np.ndarray) -> str:
    """Of F32 in little-endian order; zeros without a sign, which some dequantisers lose."""
    return hashlib.sha256((values.astype("<f4") + np.float32(0)).tobytes()).hexdigest()


def main(golden: Path):
    digests = {}
    for project in ("compressed-tensors", "quark", "modelopt", "mlx"):
        tensors = load_file(golden / f"tiny-llama/expected-{project}.safetensors")
        digests[f"tiny-llama/{project}"] = {n.removeprefix(PREFIX): digest(t) for n, t in tensors.items() if n.startswith(PREFIX)}
    experts = digests["tiny-deepseek-v4/deepseek-v4"] = {}
    for name, tensor in load_file(golden / "tiny-deepseek-v4/expected.safetensors").items():
        if not name.startswith(PREFIX):
            continue
        layer, matrix = name.removeprefix(PREFIX).rsplit(".", 1)
        for expert, values in enumerate(tensor):
            experts[f"{layer}.ffn.experts.{expert}.{matrix}.weight"] = digest(values)
    (HERE / "digests.json").write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
