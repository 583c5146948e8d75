"""The library as other projects meet it: installed, static or shared, or as a part of their own build."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structure
from shell import configure_and_build, run

# 4 and 63 times 1/4: s0 / 2 is best for the first block, and the second is lossless.
CONSUMER_SAYS = "scale byte 126\nscale byte 123\n3 0.25 0.25\ninvalid_argument\n"

RUST_SAYS = """\
scale byte 126
scale byte 123
3 0.25 0.25
1 of 2 blocks are lossless, noise 1
[19.25, 19.25]
6 experts, true
layer 3 has no router
invalid_argument: mxfp4_linear_forward: x has 508 bytes, but must have at least 512
invalid_argument: quantize: element [0, 0] is NaN
invalid_argument: mxfp4_quantize: no preset 'best'
on another thread: ''
"""


@pytest.mark.parametrize("kind", ["static", "shared"])
def test_a_consumer_builds_against_the_package(kind: str, root: Path, tmp_path: Path, request):
    prefix = request.getfixturevalue(f"{kind}_prefix")
    configure_and_build(root / "tests/consumer", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    assert run(tmp_path / "consumer") == CONSUMER_SAYS
    assert ("libmxfp4.so" in run("ldd", tmp_path / "consumer")) == (kind == "shared")


@pytest.mark.parametrize("kind", ["static", "shared"])
def test_a_consumer_in_c_builds_against_the_package(kind: str, root: Path, tmp_path: Path, request):
    prefix = request.getfixturevalue(f"{kind}_prefix")
    configure_and_build(root / "tests/consumer/c", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    assert run(tmp_path / "consumer") == CONSUMER_SAYS
    assert ("libmxfp4.so" in run("ldd", tmp_path / "consumer")) == (kind == "shared")


def test_a_c_project_that_cannot_enable_cxx_is_told(static_prefix: Path, tmp_path: Path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(p LANGUAGES C)\n"
        "function(find)\n  find_package(mxfp4)\nendfunction()\nfind()\n"
    )
    said = run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={static_prefix}")
    assert "enable_language(CXX) first" in said


@pytest.mark.parametrize("kind", ["static", "shared"])
def test_rust_links_the_library(kind: str, root: Path, tmp_path: Path, request):
    rustc = shutil.which("rustc")
    if rustc is None:
        pytest.skip("rustc is not installed")
    prefix = request.getfixturevalue(f"{kind}_prefix")
    libraries = ["mxfp4"] + (["fmt", "re2", "gomp", "stdc++"] if kind == "static" else [])
    links = [part for library in libraries for part in ("-l", library)]
    source = root / "tests/consumer/main.rs"
    run(rustc, "--edition", "2021", "-D", "warnings", source, "-L", prefix / "lib", *links, "-o", tmp_path / "rust")
    said = run("env", f"LD_LIBRARY_PATH={prefix}/lib", tmp_path / "rust", root / "tests/data/models/tiny-gpt-oss/hf-mxfp4")
    assert said == RUST_SAYS


def test_a_consumer_builds_with_the_sources_inside(root: Path):
    # With the flags of the release build and as deep in the tree, so that the compiler cache has all objects.
    tree = root / "build/consumer"
    shutil.rmtree(tree, ignore_errors=True)
    configure_and_build(root / "tests/consumer", tree, f"-DMXFP4_SOURCE={root}", "-DMXFP4_WERROR=ON")
    assert run(tree / "consumer") == CONSUMER_SAYS
    assert not list(tree.rglob("*_test"))


def test_the_installed_tool_runs(static_prefix: Path, shared_prefix: Path):
    shared = run("env", f"LD_LIBRARY_PATH={shared_prefix}/lib", shared_prefix / "bin/mxfp4", "info")
    assert shared == run(static_prefix / "bin/mxfp4", "info")


@pytest.mark.parametrize("kind", ["static", "shared"])
def test_nothing_of_the_build_leaks_into_the_package(kind: str, root: Path, request):
    prefix = request.getfixturevalue(f"{kind}_prefix")
    for path in prefix.rglob("*.cmake"):
        text = path.read_text()
        for word in (str(root), "-Werror", "-Wall", "ffp-contract", "mxfp4_flags", "nlohmann"):
            assert word not in text, path.name


def test_another_minor_version_is_refused(static_prefix: Path, tmp_path: Path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(p LANGUAGES CXX)\nfind_package(mxfp4 0.2)\n"
        "message(STATUS found=${mxfp4_FOUND})\n"
    )
    assert "found=0" in run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={static_prefix}")


def test_exactly_the_public_headers_are_installed(root: Path, static_prefix: Path):
    installed = {path.relative_to(static_prefix / "include") for path in static_prefix.rglob("*.h")}
    assert installed == {path.relative_to(root) for path in structure.public_headers(root)}


def test_every_installed_header_compiles_on_its_own(static_prefix: Path, tmp_path: Path):
    include = static_prefix / "include"
    strictly = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]

    def compile_alone(header: Path, *compiler: str) -> str:
        source = tmp_path / f"{header.parent.name}-{header.stem}.cpp"
        source.write_text(f'#include "{header.relative_to(include)}"\n')
        return run(*compiler, *strictly, "-I", include, source)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = sorted(include.rglob("*.h"))
        assert set(pool.map(lambda header: compile_alone(header, "g++", "-std=c++20"), headers)) == {""}
    assert compile_alone(include / "mxfp4/capi/mxfp4.h", "gcc", "-std=c99", "-x", "c") == ""
