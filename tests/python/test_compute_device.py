"""Devices beside the processor, by argument and by variable."""

import json
import os
import subprocess

import numpy as np
import pytest

import mxfp4


@pytest.fixture(scope="module")
def device(tool) -> str:
    """The best device of this machine."""
    info = json.loads(subprocess.run([tool, "info", "--json"], capture_output=True, check=True).stdout)
    best = [device["device"] for device in info["devices"] if device["best"]]
    if not best:
        pytest.skip(f"no device: {info['why_no_devices'] or 'this build has no backend for devices'}")
    return best[0]


def near(y: np.ndarray, wanted: np.ndarray) -> bool:
    """The same in f32, but not the same bits: a device adds up in another order."""
    return np.linalg.norm(y - wanted) < 1e-5 * np.linalg.norm(wanted) and y.tobytes() != wanted.tobytes()


def test_quantize_and_dequantize_have_the_same_bytes(device, rng):
    x = rng.standard_normal((40, 100), np.float32)
    here, there = mxfp4.quantize(x), mxfp4.quantize(x, device=device)
    assert (here.codes.tobytes(), here.scales.tobytes()) == (there.codes.tobytes(), there.scales.tobytes())
    assert np.array_equal(mxfp4.dequantize(here), mxfp4.dequantize(here, device=device))


def test_layers_compute_there(device, rng):
    x = rng.standard_normal((20, 256), np.float32)
    weight = mxfp4.quantize(rng.standard_normal((300, 256), np.float32))
    assert near(mxfp4.Linear(weight, device=device)(x), mxfp4.Linear(weight)(x))
    stacks = [mxfp4.quantize(rng.standard_normal(shape, np.float32) / 16) for shape in ((4, 192, 256), (4, 256, 96))]
    routes = rng.integers(0, 4, (20, 2), np.int32), rng.random((20, 2), np.float32)
    assert near(mxfp4.Experts(*stacks, device=device)(x, *routes), mxfp4.Experts(*stacks)(x, *routes))


def test_the_argument_goes_before_the_variable(device, monkeypatch, rng):
    x = rng.standard_normal((20, 256), np.float32)
    weight = mxfp4.quantize(rng.standard_normal((300, 256), np.float32))
    here = mxfp4.Linear(weight, device="cpu")(x)
    monkeypatch.setitem(os.environ, "MXFP4_DEVICE", device)
    assert near(mxfp4.Linear(weight)(x), here)
    assert np.array_equal(mxfp4.Linear(weight, device="cpu")(x), here)


@pytest.mark.parametrize("make", [
    lambda device: mxfp4.quantize(np.ones((2, 32), np.float32), device=device),
    lambda device: mxfp4.Linear(mxfp4.quantize(np.ones((2, 32), np.float32)), device=device),
])  # fmt: skip
def test_a_device_that_is_none_is_refused(make):
    with pytest.raises(ValueError, match="'gpu' is no device"):
        make("gpu")
    with pytest.raises(TypeError, match="device is 3, not a string"):
        make(3)
    with pytest.raises(ValueError, match="^vulkan"):
        make("vulkan:77")
