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


def isa_commands(build_tree: Path) -> list[tuple[list[str], Path]]:
    """How the build tree compiles kernel/cpu/{isa,linear,limits}_*.cpp, and where."""
    commands = []
    for entry in json.loads((build_tree / "compile_commands.json").read_text()):
        source = Path(entry["file"])
        if any(source.match(f"mxfp4/kernel/cpu/{kind}_*.cpp") for kind in ("isa", "linear", "limits")):
            commands.append((shlex.split(entry["command"]), Path(entry["directory"])))
    return commands


def output_of(command: list[str]) -> str:
    return command[command.index("-o") + 1]


def compile_isa_files(build_tree: Path, out: Path, level: str) -> list[Path]:
    """The same at another level of optimisation."""

    def compile_one(command: list[str], directory: Path) -> Path:
        target = out / Path(output_of(command)).name
        other = [str(target) if part == output_of(command) else part for part in command]
        subprocess.run([*other, level, "-w"], cwd=directory, check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda command: compile_one(*command), isa_commands(build_tree)))


@pytest.mark.parametrize("level", ["as built", "-O0", "-Og"])
def test_objects_of_an_instruction_set_have_no_weak_functions(build_tree: Path, tmp_path: Path, level: str):
    if level == "as built":
        objects = [directory / output_of(command) for command, directory in isa_commands(build_tree)]
    else:
        objects = compile_isa_files(build_tree, tmp_path, level)
    assert objects
    assert {path.name: weak_functions(path) for path in objects} == {path.name: [] for path in objects}


def test_a_weak_function_is_found(tmp_path: Path):
    source = tmp_path / "a.cpp"
    source.write_text("inline int shared(int x) { return x; }\nint mine(int x) { return shared(x); }\n")
    subprocess.run(["g++", "-O0", "-c", source, "-o", tmp_path / "a.o"], check=True)
    assert [line.split(maxsplit=2)[2] for line in weak_functions(tmp_path / "a.o")] == ["shared(int)"]
