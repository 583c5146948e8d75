"""Computing on a device: chosen by option or variable, the same bytes, and clear words where it cannot be."""

import pytest

from checkpoints import tree_bytes


@pytest.fixture(scope="module")
def device(mxfp4):
    """The best device of this machine."""
    info = mxfp4.json("info")
    best = [device["device"] for device in info["devices"] if device["best"]]
    if not best:
        pytest.skip(f"no device: {info['why_no_devices'] or 'this build has no backend for devices'}")
    return best[0]


def test_bytes_do_not_depend_on_the_device(mxfp4, tmp_path, device):
    mxfp4("synth", tmp_path / "model", "--like", "tiny")
    here = mxfp4.json("quantize", tmp_path / "model", tmp_path / "cpu")
    there = mxfp4.json("quantize", tmp_path / "model", tmp_path / "device", "--device", device)
    assert here["tensors"] == there["tensors"]
    assert tree_bytes(tmp_path / "cpu") == tree_bytes(tmp_path / "device")
    mxfp4("dequantize", tmp_path / "cpu", tmp_path / "cpu-bf16")
    mxfp4("dequantize", tmp_path / "cpu", tmp_path / "device-bf16", env={"MXFP4_DEVICE": "vulkan"})
    assert tree_bytes(tmp_path / "cpu-bf16") == tree_bytes(tmp_path / "device-bf16")


@pytest.mark.parametrize("what, options", [
    ("quantize", ["--rows", 64, "--cols", 96]), ("dequantize", ["--rows", 64, "--cols", 96]),
    ("linear", ["--rows", 80, "--cols", 96, "--tokens", 3]), ("experts", ["--like", "tiny", "--tokens", 12]),
])  # fmt: skip
def test_bench_measures_a_device(mxfp4, device, what, options):
    result = mxfp4("bench", what, *options, "--device", device)
    assert f"on {device}" in result.out
    assert "the limits are those of the processor's threads" in result.err
    report = mxfp4.json("bench", what, *options, "--device", device)["results"][0]
    assert report["device"] == device
    assert report.get("relative_error_norm", 0) < 1e-5


def test_info_lists_devices_and_says_which_is_used(mxfp4, device):
    assert mxfp4.json("info")["device"] == "cpu"
    assert mxfp4.json("info", env={"MXFP4_DEVICE": device})["device"] == device
    assert f"{device}  " in mxfp4("info").out
    assert any("vulkan" in line and "(in use)" in line for line in mxfp4("info", env={"MXFP4_DEVICE": "vulkan"}).out.splitlines())


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(mxfp4, tmp_path, device):
    mxfp4("synth", tmp_path / "model", "--like", "tiny")
    error = mxfp4.json("quantize", tmp_path / "model", tmp_path / "out", "--device", "vulkan:99", status=2)["error"]
    assert error["message"].startswith("vulkan:99: there are ")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_name_that_is_no_device_is_refused(mxfp4, tmp_path):
    assert "'gpu' is no device" in mxfp4("quantize", "a", "b", "--device", "gpu", status=2, cwd=tmp_path).err
    assert "MXFP4_DEVICE: 'gpu' is no device" in mxfp4("info", env={"MXFP4_DEVICE": "gpu"}, status=2).err


@pytest.fixture(params=["no loader", "no driver"])
def without_vulkan(request, tmp_path, device):
    """The environment of a process to which a machine without Vulkan's loader, or its drivers, is shown."""
    if not device.startswith("vulkan"):
        pytest.skip(f"the device is {device}")
    if request.param == "no driver":
        nowhere = str(tmp_path / "nowhere.json")
        return {"VK_DRIVER_FILES": nowhere, "VK_ICD_FILENAMES": nowhere}, "vulkan: no "
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "libvulkan.so.1").touch()  # found first, and no library
    return {"LD_LIBRARY_PATH": str(tmp_path / "libraries")}, "vulkan: no loader: "


def test_without_vulkan_the_processor_computes_and_info_says_why(mxfp4, tmp_path, without_vulkan):
    env, why = without_vulkan
    info = mxfp4.json("info", env=env)
    assert info["device"] == "cpu"
    assert not [device for device in info["devices"] if device["device"].startswith("vulkan")]
    reasons = [reason for reason in info["why_no_devices"] if reason.startswith(why)]
    assert len(reasons) == 1
    assert f"none of {reasons[0]}" in mxfp4("info", env=env).out
    mxfp4("synth", tmp_path / "model", "--like", "tiny")
    mxfp4("quantize", tmp_path / "model", tmp_path / "with")
    mxfp4("quantize", tmp_path / "model", tmp_path / "without", env=env)
    assert tree_bytes(tmp_path / "with") == tree_bytes(tmp_path / "without")
    refused = mxfp4.json("quantize", tmp_path / "model", tmp_path / "out", "--device", "vulkan", env=env, status=3)
    assert refused["error"]["message"].startswith(why)
    assert not (tmp_path / "out").exists()
