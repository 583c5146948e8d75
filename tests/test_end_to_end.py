"""The program that measures whole runs works, on a model so small that its figures mean nothing."""

import json
import subprocess

import pytest


@pytest.mark.parametrize("what, field", [("rate", "percent_of_cat"), ("memory", "peak_anonymous_mib"), ("sync", "cost_percent")])
def test_whole_runs_can_be_measured(root, tool, tmp_path, what, field):
    if what == "sync" and b"__asan_" in tool.read_bytes():
        pytest.skip("AddressSanitizer must be the first library that is loaded")
    command = [root / "bench/end_to_end.py", what, "--dir", tmp_path, "--tool", tool, "--like", "tiny", "--layers", "2", "--runs", "1"]
    result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert isinstance(result[field], float)
    assert not (tmp_path / "out").exists()
