"""Programs in examples/ run, and docs/python.md shows what they print."""

import re
import sys
from pathlib import Path

import pytest
from shell import run

ROOT = Path(__file__).resolve().parents[2]


def rows(text: str) -> dict[str, list[float]]:
    """Of the table of embeddings: presets -> numbers."""
    found = re.findall(r"^\| (`.*`) \| (.*) \|$", text, re.MULTILINE)
    return {presets: [float(number) for number in numbers.split(" | ")] for presets, numbers in found}


def test_embeddings_of_a_real_model_in_mxfp4_are_what_the_page_says(real_model):
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    printed = rows(run(sys.executable, ROOT / "examples/embeddings.py"))
    section = (ROOT / "docs/python.md").read_text().partition("examples/embeddings.py")[2].partition("\n## ")[0]
    shown = rows(section)
    assert len(printed) > 5 and printed.keys() == shown.keys()
    for presets, numbers in printed.items():
        assert numbers == pytest.approx(shown[presets], abs=3e-4), presets
