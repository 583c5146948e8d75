"""What `import mxfp4` costs and brings along."""

import inspect
import json
import os
import subprocess

import pytest
from programs import python

import mxfp4

MILLISECONDS = "import time, numpy; begin = time.perf_counter(); import mxfp4; print((time.perf_counter() - begin) * 1e3)"


def test_it_adds_less_than_20_ms_to_numpys():
    assert min(float(python(MILLISECONDS)) for _ in range(7)) < 20  # the others measure what else the machine does


def test_it_imports_numpy_and_nothing_else():
    script = "import sys, mxfp4; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = set(python(script).split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "ml_dtypes", "transformers", "safetensors", "nanobind"}


@pytest.mark.parametrize("name", mxfp4.__all__)
def test_what_is_public_says_what_it_is(name: str):
    thing = getattr(mxfp4, name)
    assert thing.__doc__ and inspect.getdoc(thing).splitlines()[0].endswith((".", ":"))
    assert thing.__module__.startswith("mxfp4.")
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and callable(value):
                assert value.__doc__, f"{name}.{member}"


def test_the_version_is_the_librarys():
    assert mxfp4.__version__ == mxfp4.info()["version"]


def test_info_is_what_the_tool_says(tool):
    said = json.loads(subprocess.run([tool, "info", "--json"], capture_output=True, check=True).stdout)
    info = mxfp4.info()
    assert info["isas"] == {isa["name"]: isa["supported"] for isa in said["isas"]}
    for table in ("scale_rules", "presets", "formats"):
        assert info[table] == {entry["name"]: entry["description"] for entry in said[table]}
    for fact in ("version", "machine", "features", "threads", "isa"):
        assert info[fact] == said[fact]


def test_an_instruction_set_that_is_asked_for_and_unknown_is_an_error():
    script = """
import numpy as np, mxfp4
try:
    mxfp4.quantize(np.ones(32, np.float32))
except ValueError as error:
    print(error)
"""
    assert "MXFP4_ISA=best: unknown" in python(script, env={**os.environ, "MXFP4_ISA": "best"})
