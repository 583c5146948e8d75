"""The examples in Python of README.md and docs/python.md run."""

import re
import sys
from pathlib import Path

import pytest
from shell import run
from test_readme import README, ROOT, examples

PAGES = {"README.md": README, "docs/python.md": (ROOT / "docs/python.md").read_text()}
EXAMPLES = {f"{page}: {name}": code for page, text in PAGES.items() for name, code in examples(text, "python").items()}
WITH_TORCH = re.findall(r"^<!-- test with torch: \w+ -->\n```python\n(.*?)^```$", PAGES["docs/python.md"], re.MULTILINE | re.DOTALL)


def test_there_are_examples_on_each_page():
    assert {name.partition(":")[0] for name in EXAMPLES} == set(PAGES) and len(EXAMPLES) >= 3 and WITH_TORCH


@pytest.mark.parametrize("code", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_example_runs(code: str, tmp_path: Path):
    run("env", "-C", tmp_path, sys.executable, "-c", code)


@pytest.mark.parametrize("code", WITH_TORCH)
def test_an_example_with_torch_runs(code: str, tmp_path: Path):
    pytest.importorskip("torch", reason="torch is not installed")
    if "from_pretrained" in code:
        pytest.importorskip("transformers", reason="transformers is not installed")
    run("env", "-C", tmp_path, sys.executable, "-c", code)


def test_every_block_of_python_is_marked_as_a_test():
    for page, text in PAGES.items():
        marked = len(examples(text, "python")) + len(re.findall(r"^<!-- test with torch", text, re.MULTILINE))
        assert text.count("```python") == marked, page
