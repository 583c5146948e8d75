"""What README.md shows works: its marked examples run, and the options it names exist.

An example is the fenced block after a line `<!-- test: NAME -->`; `sh` blocks run in an empty directory with mxfp4 on
the PATH, `cpp` and `c` blocks are compiled against the installed library and run, `c` by the text's own line `cc example.c ...`;
the argument of `cpp` is a small gpt-oss.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = re.compile(r"^<!-- test: ([\w ]+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text() if (ROOT / "README.md").is_file() else ""


def examples(text: str, language: str) -> dict[str, str]:
    return {name: body for name, kind, body in EXAMPLE.findall(text) if kind == language}


def commands(text: str) -> list[str]:
    """The `mxfp4 VERB ...` lines of every fenced block, continuation lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.removeprefix("$ ").startswith("mxfp4 ")]


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def options_in_prose(text: str) -> set[str]:
    """Options of mxfp4 in `code` outside the fenced blocks: alone, or after a verb."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    codes = re.findall(r"`((?:--|mxfp4 )[^`]+)`", prose)
    return options(" ".join(codes))


@pytest.fixture(scope="session")
def help_of(tool: Path):
    def text(*verb: str) -> str:
        return subprocess.run([tool, *verb, "--help"], capture_output=True, text=True, check=True).stdout

    return text


@pytest.mark.parametrize("script", examples(README, "sh").values(), ids=examples(README, "sh").keys())
def test_the_command_line_example_runs(script: str, tool: Path, tmp_path: Path):
    path = f"{tool.parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)


@pytest.mark.parametrize("source", examples(README, "cpp").values(), ids=examples(README, "cpp").keys())
def test_the_cpp_example_runs(source: str, static_prefix: Path, tmp_path: Path):
    (tmp_path / "example.cpp").write_text(source)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(example LANGUAGES CXX)\nfind_package(mxfp4 REQUIRED)\n"
        "add_executable(example example.cpp)\ntarget_link_libraries(example PRIVATE mxfp4::mxfp4)\n"
    )
    for command in (
        ["cmake", "-S", ".", "-B", ".", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={static_prefix}"],
        ["cmake", "--build", "."],
        ["./example", str(ROOT / "tests/data/models/tiny-gpt-oss/hf-mxfp4")],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)


@pytest.mark.parametrize("source", examples(README, "c").values(), ids=examples(README, "c").keys())
def test_the_c_example_runs(source: str, static_prefix: Path, tmp_path: Path):
    (tmp_path / "example.c").write_text(source)
    command = re.search(r"^cc example.c .*$", README, re.MULTILINE)[0].replace("PREFIX", str(static_prefix))
    subprocess.run(["bash", "-euc", f"{command} -std=c99 -pedantic -Wall -Wextra -Werror"], cwd=tmp_path, check=True)
    subprocess.run(["./example"], cwd=tmp_path, check=True)


def test_there_is_an_example_of_each_kind():
    assert examples(README, "sh") and examples(README, "cpp") and examples(README, "c")


@pytest.mark.parametrize("command", commands(README))
def test_the_help_of_a_verb_names_the_options_that_its_command_uses(command: str, help_of):
    verb = command.split()[1]
    assert options(command) <= options(help_of(verb)), command


def test_every_option_named_in_the_text_exists(help_of):
    verbs = {command.split()[1] for command in commands(README)}
    known = options(help_of()).union(*(options(help_of(verb)) for verb in verbs))
    assert options_in_prose(README) <= known


def test_the_reader_of_the_readme_reads():
    text = "Use `--a-b`.\n<!-- test: one -->\n```sh\nmxfp4 quantize \\\n  in --force out\n```\n```cpp\nint x;\n```\n"
    assert examples(text, "sh") == {"one": "mxfp4 quantize \\\n  in --force out\n"}
    assert examples(text, "cpp") == {}
    assert options(commands(text)[0]) == {"--force"}
    assert options_in_prose(text) == {"--a-b"}
    assert options_in_prose("`cmake --build x`, `mxfp4 info --json`") == {"--json"}
