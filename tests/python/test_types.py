"""The types that the package declares: strict mypy on it and on a caller, and the extension's stub against the extension."""

import ast
import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mxfp4
from mxfp4 import _core

CACHE = Path(__file__).resolve().parents[2] / "build/mypy"
CALLER = """
import mxfp4
import numpy as np
from typing import assert_type

w = np.ones((2, 64), np.float32)
t = mxfp4.quantize(w, axis=-1, scale="even", importance=[1.0] * 64)
assert_type(t, mxfp4.Tensor)
assert_type(t.shape, tuple[int, ...])
mxfp4.dequantize(t.codes, t.scales, dtype="bfloat16", transpose=True)
layer = mxfp4.Linear(t, np.zeros(2))
assert_type(layer(w).dtype, np.dtype[np.float32])
assert_type(mxfp4.error_stats(w, t).sqnr_db, float)
assert_type(mxfp4.Mlp.from_checkpoint("model", 0)(w).dtype, np.dtype[np.float32])
model = mxfp4.open("model")
for name, value in model.items():
    assert_type(name, str)
mxfp4.save("out", {"w": t}, convention="linear")
report = mxfp4.quantize_checkpoint("a", "b", progress=lambda done, total: print(done / total))
mxfp4.convert_checkpoint("a", "b", "mlx", verify=False)["totals"]
assert_type(mxfp4.info()["threads"], int)
"""
WRONG = """
import mxfp4
mxfp4.quantize([1.0])
mxfp4.quantize(t := mxfp4.Tensor([1], [2]), axis="last")
mxfp4.open("model", framework="jax")
mxfp4.Linear(3)
"""


def mypy(*arguments, cwd: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", CACHE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


def test_the_package_is_clean(root: Path):
    torch = importlib.util.find_spec("torch") is not None  # without it nothing is known of the classes that are derived
    assert mypy("mxfp4/python/mxfp4", *([] if torch else ["--exclude", "transformers"]), cwd=root) == (0, "")


def test_a_callers_mistakes_are_found_and_nothing_else(tmp_path: Path):
    (tmp_path / "right.py").write_text(CALLER)
    (tmp_path / "wrong.py").write_text(WRONG)
    status, said = mypy("right.py", "wrong.py", cwd=tmp_path)
    assert status == 1
    found = re.findall(r"^(\w+)\.py:(\d+): error", said, re.MULTILINE)
    assert set(found) == {("wrong", str(line)) for line in (3, 4, 5, 6)}, said


def test_the_stub_of_the_extension_has_its_names_and_arguments():
    tree = ast.parse(Path(_core.__file__).parent.joinpath("_core.pyi").read_text())
    stub, real = {}, {}

    def add(prefix, body):
        for node in body:
            if isinstance(node, ast.FunctionDef):
                stub[prefix + node.name] = [argument.arg for argument in node.args.args if argument.arg != "self"]
            elif isinstance(node, ast.ClassDef):
                add(node.name + ".", node.body)

    def look(prefix, owner):
        for name, value in vars(owner).items():
            if isinstance(value, type):
                look(f"{name}.", value)
            elif name == "__init__" or not name.startswith("_"):
                signature = (value.__doc__ or "").splitlines()[:1] if callable(value) else []
                names = re.findall(r"(\w+): ", signature[0]) if signature else []
                if names or name != "__init__":  # a class that cannot be constructed has one, too
                    real[prefix + name] = names

    add("", tree.body)
    look("", _core)
    assert stub == real


@pytest.mark.parametrize("name", ["quantize", "error_stats", "info", "open"])
def test_examples_in_docstrings_are_true(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder().find(getattr(mxfp4, name), name, globs={"mxfp4": mxfp4, "np": np})
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test)
    assert runner.failures == 0 and runner.tries > 0
