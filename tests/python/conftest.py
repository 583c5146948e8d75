"""What the tests of the Python package share. They run against the wheel that ./go test has built and installed."""

import sys
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mxfp4


@pytest.fixture(scope="session")
def wheel(root: Path) -> Path:
    """The wheel that ./go test has built."""
    wheels = list((root / "build/wheel").glob("mxfp4-*.whl"))
    if len(wheels) != 1:
        pytest.fail(f"build/wheel holds {len(wheels)} wheels, not 1: run ./go test")
    return wheels[0]


@pytest.fixture(scope="session", autouse=True)
def package_under_test(wheel: Path):
    """That what is imported is what was built, and not an installation of yesterday."""
    installed = Path(mxfp4.__file__)
    assert "site-packages" in installed.parts
    assert installed.stat().st_mtime >= wheel.stat().st_mtime, "the wheel is newer than what is installed"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)
