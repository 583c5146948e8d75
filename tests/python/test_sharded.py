"""mxfp4.transformers.shard_experts under torchrun."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

MODEL = Path(__file__).parent.parent / "data/models/tiny-gpt-oss"


@pytest.fixture(scope="module")
def said() -> list[dict]:
    """By rank, of three."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    script = Path(__file__).parent / "ranks.py"
    ran = subprocess.run([*torchrun, script, MODEL], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("by", ["experts", "channels"])
def test_every_number_of_ranks_generates_the_same_tokens(by: str, said):
    assert [words["rank"] for words in said] == [0, 1, 2]
    golden = said[0]["transformers"]
    assert len(golden) > 8
    assert all(words[f"3 {by}"] == golden for words in said)
    assert said[0][f"2 {by}"] == said[1][f"2 {by}"] == said[2][f"1 {by}"] == golden


def test_each_rank_has_its_part(said):
    assert [words["experts held"] for words in said] == [[2, 96]] * 3
    assert [words["channels held"] for words in said] == [[6, 32]] * 3


def test_what_cannot_be_cut_is_refused_with_the_numbers(said):
    assert said[0]["narrow experts"] == "expert parallel: 2 experts are too few for 3 ranks"
    assert said[0]["narrow channels"] == "tensor parallel: 64 channels are 2 times 32, too few for 3 ranks"
    assert said[0]["by"] == "by: 'layers' is neither 'experts' nor 'channels'"


def test_a_part_is_neither_saved_nor_trained_nor_cut_again(said):
    assert said[1]["saved"] == "experts: a rank has only a part of them; save the model before its experts are sharded"
    assert said[1]["trained"] == "sharded experts have no gradient; use torch.no_grad()"
    assert said[1]["twice"] == "the model's experts are sharded already"
