"""The wheel in an environment of its own: what it holds, what it needs, and the command line that comes with it."""

import re
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from shell import run

import mxfp4

# What manylinux leaves to the system.
SYSTEM = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1"}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory) -> Path:
    """A new environment in which pip has installed the wheel, offline: numpy is lent from this one, with its metadata, so
    that pip finds the dependency fulfilled."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    packages = next(place.glob("lib/python*/site-packages"))
    for part in Path(np.__file__).parents[1].glob("numpy*"):
        (packages / part.name).symlink_to(part)
    run(sys.executable, "-m", "pip", "--python", place, "install", "--no-index", wheel)
    return place


def test_it_works_where_there_is_nothing_but_numpy(environment: Path, tmp_path: Path):
    script = """
import numpy as np, mxfp4
t = mxfp4.quantize(np.full((4, 64), 0.5, np.float32))
assert (t.dequantize() == 0.5).all()
assert (mxfp4.Linear(t)(np.ones(64, np.float32)) == 32).all()
mxfp4.save("x.safetensors", {"w": t})
assert mxfp4.open("x.safetensors")["w"].codes.tobytes() == t.codes.tobytes()
print(mxfp4.__file__)
"""
    done = subprocess.run([environment / "bin/python", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(environment))


@pytest.mark.parametrize("command", [["bin/mxfp4"], ["bin/python", "-m", "mxfp4"]])
def test_it_brings_the_command_line(command: list[str], environment: Path, tool: Path, tmp_path: Path):
    command = [environment / command[0], *command[1:]]
    assert run(*command, "info", "--json") == run(tool, "info", "--json")
    assert run(*command, "--help") == run(tool, "--help")
    refused = subprocess.run([*command, "quantize", "nowhere", "out"], cwd=tmp_path, capture_output=True)
    assert refused.returncode == 3


def test_the_command_line_starts_without_python(environment: Path, tmp_path: Path):
    """Also through a link, as pipx makes one: Python alone takes ten times as long as the tool."""
    (tmp_path / "mxfp4").symlink_to(environment / "bin/mxfp4")
    (package,) = environment.glob("lib/python*/site-packages/mxfp4")

    def seconds(command: Path) -> float:
        begin = time.perf_counter()
        run(command, "--version")
        return time.perf_counter() - begin

    direct, script = (min(seconds(command) for _ in range(9)) for command in (package / "bin/mxfp4", tmp_path / "mxfp4"))
    assert script < direct + 0.03


@pytest.mark.parametrize("place", ["lib/python3.11/dist-packages", "lib64/python3.11/site-packages", "."])
def test_the_command_line_finds_the_package_wherever_pip_puts_it(place: str, environment: Path, tmp_path: Path):
    (installed,) = environment.glob("lib/python*/site-packages/mxfp4")
    here = tmp_path / place.replace("3.11", f"3.{sys.version_info.minor}")
    here.mkdir(parents=True, exist_ok=True)
    (here / "mxfp4").symlink_to(installed)
    (tmp_path / "bin").mkdir()
    shutil.copy(environment / "bin/mxfp4", tmp_path / "bin")
    done = subprocess.run([tmp_path / "bin/mxfp4", "--version"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"mxfp4 {mxfp4.__version__}\n")


def test_every_library_that_it_needs_is_inside_or_part_of_linux(environment: Path):
    package = next(environment.glob("lib/python*/site-packages/mxfp4"))
    programs = [*package.glob("_core.*.so"), package / "bin/mxfp4", *package.glob("lib/*")]
    assert len(programs) > 3
    found = {}
    for program in programs[:2]:  # these have the path to the others
        for name, path in re.findall(r"^\t(lib\S+) => (\S*)", run("ldd", program), re.MULTILINE):
            found[name] = Path(path).resolve()
    assert {name for name, path in found.items() if not path.is_relative_to(package.resolve())} <= SYSTEM
    assert {path.name for path in package.glob("lib/*")} == found.keys() - SYSTEM


def test_it_holds_the_package_and_nothing_else(wheel: Path, root: Path):
    names = zipfile.ZipFile(wheel).namelist()
    package = root / "mxfp4/python/mxfp4"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sources = {str(path.relative_to(package)) for path in files}
    inside = {name.removeprefix("mxfp4/") for name in names if name.startswith("mxfp4/")}
    built = {name for name in inside if name.startswith(("_core.cpython", "lib/lib")) or name == "bin/mxfp4"}
    assert inside - built == sources and len(built) >= 3
    assert all(name.startswith(("mxfp4/", "mxfp4-0")) for name in names)
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE) == ["numpy>=1.24", 'ml_dtypes; extra == "bf16"']
    assert re.search(r"^License-Expression: Apache-2.0$", metadata, re.MULTILINE)
