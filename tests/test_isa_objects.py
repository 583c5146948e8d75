"""Code for a wide instruction set stays in its own objects.

An inline function that is compiled in such a file and not inlined becomes a weak symbol, and the linker may choose it
for everybody, also on machines that lack the instructions. Unoptimised builds show most of them.
"""

import json
import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest


def weak_functions(object_file: Path) -> list[str]:
    """The functions in an object that the linker may take for the same function of another object."""
    symbols = subprocess.run(["nm", "-C", "--defined-only", object_file], capture_output=True, text=True, check=True)
    return [line for line in symbols.stdout.splitlines() if line.split()[1] in "Ww"]


def compile_isa_files(build_tree: Path, out: Path, level: str) -> list[Path]:
    """Compiles kernel/cpu/{isa,linear,limits}_*.cpp as the build tree does, at another level of optimisation."""
    commands = []
    for entry in json.loads((build_tree / "compile_commands.json").read_text()):
        source = Path(entry["file"])
        if not any(source.match(f"mxfp4/kernel/cpu/{kind}_*.cpp") for kind in ("isa", "linear", "limits")):
            continue
        command = shlex.split(entry["command"])
        command[command.index("-o") + 1] = str(out / f"{source.stem}.o")
        commands.append(([*command, level, "-w"], entry["directory"]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda command: subprocess.run(command[0], cwd=command[1], check=True), commands))
    return sorted(out.glob("*.o"))


@pytest.mark.parametrize("level", ["-O0", "-Og", "-O3"])
def test_objects_of_an_instruction_set_have_no_weak_functions(build_tree: Path, tmp_path: Path, level: str):
    objects = compile_isa_files(build_tree, tmp_path, level)
    assert objects
    assert {path.name: weak_functions(path) for path in objects} == {path.name: [] for path in objects}


def test_a_weak_function_is_found(tmp_path: Path):
    source = tmp_path / "a.cpp"
    source.write_text("inline int shared(int x) { return x; }\nint mine(int x) { return shared(x); }\n")
    subprocess.run(["g++", "-O0", "-c", source, "-o", tmp_path / "a.o"], check=True)
    assert [line.split(maxsplit=2)[2] for line in weak_functions(tmp_path / "a.o")] == ["shared(int)"]
