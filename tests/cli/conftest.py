"""What the tests of the command line share: the tool as a function, small models to work on."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from checkpoints import Model, write_safetensors


@dataclass
class Result:
    """How a call of the tool ended."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Tool:
    """The program under test, run by MXFP4_EMULATOR if that is set. Calls fail the test unless they end with `status`."""

    def __init__(self, path: Path):
        self.path = path
        self.command = [*os.environ.get("MXFP4_EMULATOR", "").split(), path]

    def start(self, *arguments, env=None, **options) -> subprocess.Popen:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen([*self.command, *map(str, arguments)], env={**plain_environment(), **(env or {})}, **options)

    def __call__(self, *arguments, status=0, env=None, **options) -> Result:
        process = self.start(*arguments, env=env, **options)
        out, err = process.communicate(timeout=300)
        assert process.returncode == status, f"{arguments}: status {process.returncode}, not {status}\n{out}{err}"
        return Result(process.returncode, out, err)

    def json(self, *arguments, **options):
        """The one object that --json prints."""
        return self(*arguments, "--json", **options).json

    @cached_property
    def sanitizers(self) -> set[str]:
        """Those of address and thread that the tool was built with."""
        program = self.path.read_bytes()
        return {name for name, mark in {"address": b"__asan_", "thread": b"__tsan_"}.items() if mark in program}


def plain_environment():
    """The environment without what changes the tool's output."""
    drop = ("NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE", "MXFP4_ISA", "MXFP4_DEVICE")
    return {**{k: v for k, v in os.environ.items() if k not in drop}, "LANG": "C", "TERM": "xterm"}


@pytest.fixture(scope="session")
def mxfp4(tool) -> Tool:
    return Tool(tool)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Checkpoints written by transformers and compressed-tensors."""
    path = Path(__file__).parent.parent / "data/models"
    if not path.is_dir():
        pytest.fail(f"{path} is missing")
    return path


@pytest.fixture(scope="session")
def tiny(mxfp4, tmp_path_factory) -> Path:
    """A gpt-oss model in BF16. Not to be written to."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    mxfp4("synth", path, "--like", "tiny")
    return path


@pytest.fixture(scope="session")
def tiny_mxfp4(mxfp4, tmp_path_factory) -> Path:
    """A gpt-oss model in MXFP4. Not to be written to."""
    path = tmp_path_factory.mktemp("models") / "tiny-mxfp4"
    mxfp4("synth", path, "--like", "tiny", "--dtype", "mxfp4", "--seed", 3)
    return path


@pytest.fixture(scope="session")
def crash(mxfp4, tmp_path_factory) -> Path:
    """A library that kills the process at a call that changes files."""
    if mxfp4.sanitizers:
        pytest.skip("a sanitizer must be the first library that is loaded")
    path = tmp_path_factory.mktemp("crash") / "crash.so"
    source = Path(__file__).parent / "crash.cpp"
    subprocess.run(["g++", "-std=c++20", "-shared", "-fPIC", "-O1", "-Wall", source, "-o", path, "-ldl"], check=True)
    return path


@pytest.fixture
def bare(tmp_path):
    """Writes a bare file of named arrays."""

    def write(tensors, name="in.safetensors", metadata=None) -> Path:
        write_safetensors(tmp_path / name, tensors, metadata)
        return tmp_path / name

    return write


@pytest.fixture
def llama(golden, tmp_path) -> Path:
    """A small Llama in BF16, to change at will."""
    shutil.copytree(golden / "tiny-llama/bf16", tmp_path / "llama")
    return tmp_path / "llama"


@pytest.fixture(scope="session")
def load():
    return Model
