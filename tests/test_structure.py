"""The tree keeps its layout, and the checks that say so can fail."""

import shutil
from pathlib import Path

import pytest
import structure


@pytest.mark.parametrize("check", structure.CHECKS, ids=lambda check: check.__name__)
def test_the_tree_keeps_the_rule(check, root: Path):
    assert list(check(root)) == []


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """A small tree without a fault."""
    for name in ("LICENSE", "tests/include_rules.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    for folder in ("base", "codec", "quantize", "kernel", "kernel/cpu", "kernel/reference", "cli"):
        (tmp_path / "mxfp4" / folder).mkdir(parents=True)
    write(tmp_path, "base/error.h", "// What errors are.\n")
    assert [problem for check in structure.CHECKS for problem in check(tmp_path)] == []
    return tmp_path


def write(tree: Path, name: str, text: str) -> None:
    (tree / "mxfp4" / name).write_text(text)


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("base/a.cpp", '#include "mxfp4/codec/e2m1.h"\n', 'base includes "mxfp4/codec/e2m1.h"'),
        ("quantize/a.cpp", '#include "mxfp4/container/gguf.h"\n', 'quantize includes "mxfp4/container/gguf.h"'),
        ("kernel/cpu/a.cpp", '#include "mxfp4/kernel/reference/a.h"\n', "kernel/cpu includes"),
        ("kernel/a.cpp", '# include "mxfp4/kernel/cpu/a.h"\n', "kernel includes"),
        ("base/a.cpp", '#include "error.h"\n', '"error.h" is not written from the root'),
        ("base/a.cpp", '#include "mxfp4/base/test_files.h"\n', "which is for tests"),
        ("codec/a.h", "// A header.\n#include <vector>\n", "codec includes <vector>"),
    ],
)
def test_a_forbidden_include_is_found(tree: Path, name: str, text: str, problem: str):
    write(tree, name, text)
    assert [problem in found for found in structure.includes(tree)] == [True]


def test_a_folder_without_a_rule_is_found(tree: Path):
    (tree / "mxfp4/attic").mkdir()
    write(tree, "attic/a.cpp", "")
    assert list(structure.includes(tree)) == ["mxfp4/attic/a.cpp: its folder has no line in include_rules.txt"]


def test_tests_may_include_anything(tree: Path):
    write(tree, "base/a_test.cpp", '#include "mxfp4/cli/main.h"\n')
    assert list(structure.includes(tree)) == []


@pytest.mark.parametrize("line", ["#include <fmt/format.h>", '#include "mxfp4/base/fail_internal.h"'])
def test_a_public_header_with_a_private_dependency_is_found(tree: Path, line: str):
    write(tree, "base/a.h", f"// A header.\n{line}\n")
    assert len(list(structure.public_headers_stand_alone(tree))) == 1


def test_a_tool_that_looks_inside_the_library_is_found(tree: Path):
    text = '#include <fmt/format.h>\n#include "mxfp4/base/error.h"\n#include "mxfp4/base/fail_internal.h"\n'
    write(tree, "cli/main.cpp", text)
    assert len(list(structure.cli_is_a_caller(tree))) == 1


@pytest.mark.parametrize("text", ["#pragma once\n", "//\n#pragma once\n"])
def test_a_header_that_does_not_say_what_it_is_is_found(tree: Path, text: str):
    write(tree, "base/a.h", text)
    assert list(structure.headers_say_what_they_are(tree)) == ["mxfp4/base/a.h: does not begin with a comment"]


def test_a_long_file_is_found(tree: Path):
    write(tree, "base/a.cpp", "\n" * 601)
    assert "mxfp4/base/a.cpp: 601 lines, more than 600" in structure.files_are_short(tree)


def test_a_long_median_is_found(tree: Path):
    for name in ("a", "b", "c"):
        write(tree, f"base/{name}.cpp", "\n" * 200)
    assert list(structure.files_are_short(tree)) == ["the median file has 200 lines, not below 200"]


@pytest.mark.parametrize("text", ["int a;\t\n", "\tint a;\n", "int a; \n", "int a;", "int a;\n\n"])
def test_stray_whitespace_is_found(tree: Path, text: str):
    write(tree, "base/a.cpp", text)
    assert list(structure.whitespace(tree)) != []


def test_another_license_is_found(tree: Path):
    (tree / "LICENSE").write_text("Do as you like.\n")
    assert len(list(structure.license_is_apache_2(tree))) == 1
