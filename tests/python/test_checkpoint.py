"""open() and save()."""

import gc
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from checkpoints import metadata_of, read_safetensors, write_safetensors

import mxfp4


@pytest.fixture
def models(root: Path) -> Path:
    return root / "tests/data/models"


def read_model(directory: Path) -> dict[str, np.ndarray]:
    """The tensors of all its files."""
    return {name: value for file in directory.glob("*.safetensors") for name, value in read_safetensors(file).items()}


@pytest.mark.parametrize("name", ["tiny-gpt-oss/hf-mxfp4", "tiny-gpt-oss/openai"])
def test_quantised_experts_are_tensors_over_the_file(name: str, models: Path):
    model, stored = mxfp4.open(models / name), read_model(models / name)
    assert model.convention in ("gpt-oss", "openai")
    tensors = {name: value for name, value in model.items() if isinstance(value, mxfp4.Tensor)}
    assert len(tensors) > 0 and len(tensors) < len(model)
    for name, t in tensors.items():
        codes = next(value for key, value in stored.items() if key in (f"{name}_blocks", f"{name}.blocks"))
        assert t.shape == (*codes.shape[:2], codes.shape[2] * 32)
        np.testing.assert_array_equal(t.codes.ravel(), codes.ravel())
        assert not t.codes.flags.writeable and not t.codes.flags.owndata
        assert t.dequantize().shape == t.shape


def test_dense_weights_are_arrays_over_the_file(models: Path):
    path = models / "tiny-llama/bf16"
    model, stored = mxfp4.open(path), read_safetensors(path / "model.safetensors")
    assert set(model) == set(stored) and len(model) == len(stored)
    for name, array in model.items():
        assert array.dtype == stored[name].dtype and not array.flags.writeable and not array.flags.owndata
        np.testing.assert_array_equal(array, stored[name])


def test_dense_experts_of_gpt_oss_are_shown_as_linear_layers_mean_them(models: Path):
    dense, quantised = mxfp4.open(models / "tiny-gpt-oss/bf16"), mxfp4.open(models / "tiny-gpt-oss/hf-mxfp4")
    for name, t in quantised.items():
        if isinstance(t, mxfp4.Tensor):
            assert dense[name].shape == t.shape
            assert mxfp4.error_stats(dense[name], t).sqnr_db > 15


def test_arrays_outlive_the_checkpoint(models: Path):
    model = mxfp4.open(models / "tiny-gpt-oss/hf-mxfp4")
    name = "model.layers.0.mlp.experts.down_proj"
    t, values = model[name], model[name].dequantize()
    del model
    gc.collect()
    np.testing.assert_array_equal(t.dequantize(), values)


def test_it_is_a_mapping(models: Path):
    model = mxfp4.open(models / "tiny-llama/compressed-tensors")
    assert list(model)[0] in model and "nothing" not in model and 3 not in model
    with pytest.raises(KeyError, match="nothing"):
        model["nothing"]
    assert model.config["model_type"] == "llama"
    assert model.path == str(models / "tiny-llama/compressed-tensors")
    assert repr(model) == f"<mxfp4.Checkpoint {model.path!r}: 29 weights, compressed-tensors>"


def test_errors_are_those_of_python(tmp_path: Path, root: Path):
    with pytest.raises(OSError, match="nowhere"):
        mxfp4.open(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="hole"):
        mxfp4.open(root / "tests/data/refused/hole.safetensors")
    with pytest.raises(ValueError, match="neither 'numpy' nor 'torch'"):
        mxfp4.open(tmp_path, framework="jax")


def everything(rng) -> dict:
    """A tensor of each dtype that files have, of odd shapes and strides."""
    arrays = {
        f"dense.{dtype}": (rng.standard_normal((3, 5)) * 4).astype(dtype)
        for dtype in "bool u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8 c8".split()
    }
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz"):
        arrays[f"dense.{name}"] = np.abs(rng.standard_normal((2, 3, 4))).astype(getattr(ml_dtypes, name))
    arrays["strided"] = rng.standard_normal((8, 6, 4)).astype(np.float16).transpose(2, 0, 1)[:, ::-2]
    arrays["scalar"], arrays["empty"] = np.float32(1.5), np.zeros((0, 4), np.float32)
    return arrays


def assert_same(a, b):
    assert type(a) is type(b) and a.shape == b.shape
    if isinstance(a, mxfp4.Tensor):
        np.testing.assert_array_equal(a.codes, b.codes)
        np.testing.assert_array_equal(a.scales, b.scales)
    else:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_every_dtype_comes_back(tmp_path: Path, rng):
    tensors = everything(rng)
    tensors["w"] = mxfp4.quantize(rng.standard_normal((2, 64)).astype(np.float32))
    tensors["layer.weight"] = mxfp4.quantize(rng.standard_normal((3, 2, 64)).astype(np.float32))
    assert mxfp4.save(tmp_path / "x.safetensors", tensors) == ["x.safetensors"]
    again = mxfp4.open(tmp_path / "x.safetensors")
    assert set(again) == set(tensors)
    for name, value in tensors.items():
        assert_same(again[name], np.asarray(value) if name == "scalar" else value)


@pytest.mark.parametrize("convention", ["gpt-oss", "openai", "linear", "compressed-tensors"])
def test_a_convention_is_what_its_readers_find(convention: str, tmp_path: Path, rng):
    t = mxfp4.quantize(rng.standard_normal((6, 64)).astype(np.float32))
    path = tmp_path / "x.safetensors"
    name = "layer" if convention in ("gpt-oss", "openai") else "layer.weight"
    mxfp4.save(path, {name: t}, convention=convention)
    assert list(mxfp4.open(path)) == [name]
    codes, scales = {
        "gpt-oss": ("layer_blocks", "layer_scales"),
        "openai": ("layer.blocks", "layer.scales"),
        "linear": ("layer.blocks", "layer.scales"),
        "compressed-tensors": ("layer.weight_packed", "layer.weight_scale"),
    }[convention]
    stored = read_safetensors(path)
    assert set(stored) == {codes, scales}
    assert stored[codes].shape == ((6, 2, 16) if convention in ("gpt-oss", "openai") else (6, 32))
    np.testing.assert_array_equal(stored[codes].ravel(), t.codes.ravel())
    np.testing.assert_array_equal(stored[scales], t.scales)


@pytest.mark.parametrize("name", ["tiny-gpt-oss/hf-mxfp4", "tiny-llama/compressed-tensors"])
def test_a_model_that_is_saved_again_is_the_same_model(name: str, models: Path, tmp_path: Path):
    model = mxfp4.open(models / name)
    files = mxfp4.save(tmp_path / "again", dict(model), convention=model.convention, config=model.config)
    assert set(files) == {"model.safetensors", "config.json"}
    again = mxfp4.open(tmp_path / "again")
    assert list(again) == list(model) and again.convention == model.convention
    for key, value in model.items():
        assert_same(again[key], value)
    stored, before = read_model(tmp_path / "again"), read_model(models / name)
    assert {key: value.tobytes() for key, value in stored.items()} == {
        key: value.tobytes() for key, value in before.items()
    }


def test_the_config_of_a_directory_says_what_is_quantised(models: Path, tmp_path: Path):
    dense = mxfp4.open(models / "tiny-llama/bf16")
    tensors = {
        name: mxfp4.quantize(value) if name.endswith("up_proj.weight") else value for name, value in dense.items()
    }
    mxfp4.save(tmp_path / "out", tensors, convention="compressed-tensors", config=dense.config)
    config = json.loads((tmp_path / "out/config.json").read_text())
    quantisation = config.pop("quantization_config")
    assert config == dense.config
    assert "lm_head" in quantisation["ignore"] and "model.layers.0.mlp.down_proj" in quantisation["ignore"]
    assert not any("up_proj" in module for module in quantisation["ignore"])
    assert isinstance(mxfp4.open(tmp_path / "out")["model.layers.0.mlp.up_proj.weight"], mxfp4.Tensor)


def test_a_directory_needs_no_config(tmp_path: Path):
    t = mxfp4.quantize(np.ones((2, 4, 32), np.float32))
    for convention in ("gpt-oss", "openai", "linear", "mlx", "native"):
        name = "model.layers.0.mlp.experts.down_proj"
        mxfp4.save(tmp_path / convention, {name: t}, convention=convention)
        assert_same(mxfp4.open(tmp_path / convention)[name], t)


def test_the_order_in_which_tensors_are_given_does_not_matter(tmp_path: Path, rng):
    tensors = {f"t{i}": rng.standard_normal((2, 32)).astype(np.float32) for i in range(12)}
    mxfp4.save(tmp_path / "a.safetensors", tensors)
    mxfp4.save(tmp_path / "b.safetensors", dict(reversed(tensors.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert metadata_of(tmp_path / "a.safetensors") == {"format": "pt"}


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("w", mxfp4.quantize(np.zeros((2, 33), np.float32)), "'w': K = 33 is not a multiple of 32"),
        ("w", mxfp4.quantize(np.zeros((2, 32), np.float32), block_size=16), "'w': blocks of 16"),
        ("w", mxfp4.quantize(np.zeros((32, 2), np.float32), axis=0), "'w': quantised along axis 0"),
        ("w", np.zeros(3, "M8[s]"), r"'w' is datetime64\[s\], which safetensors does not hold"),
        ("w", np.zeros(3, ">f4"), "'w' is float32 in foreign byte order"),
        ("__metadata__", np.zeros(3), "__metadata__"),
    ],
)
def test_what_a_file_cannot_hold_is_named_and_nothing_is_left(name, value, message, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        mxfp4.save(tmp_path / "x.safetensors", {name: value})
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_other_packages_are_saved_too(tmp_path: Path):
    class Foreign:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    mxfp4.save(tmp_path / "x.safetensors", {"w": Foreign()})
    np.testing.assert_array_equal(mxfp4.open(tmp_path / "x.safetensors")["w"], Foreign.array)


def test_what_makes_no_sense_is_refused(tmp_path: Path):
    with pytest.raises(TypeError, match="save: 3 is no name"):
        mxfp4.save(tmp_path / "x.safetensors", {3: np.ones(3)})
    with pytest.raises(ValueError, match="x.safetensors: a file holds no config; a directory does"):
        mxfp4.save(tmp_path / "x.safetensors", {"w": np.ones(3)}, config={"model_type": "llama"})
    with pytest.raises(OSError, match="no\udcff.*: cannot open"):  # a name that is no UTF-8
        mxfp4.open(tmp_path / "no\udcff")
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_is_replaced_only_if_asked_for(tmp_path: Path, rng):
    path, t = tmp_path / "x.safetensors", mxfp4.quantize(np.ones((2, 3, 32), np.float32))
    mxfp4.save(path, {"w": t})
    with pytest.raises(ValueError, match="exists already"):
        mxfp4.save(path, {"w": t})
    with pytest.raises(ValueError, match="no convention 'best'; there are gpt-oss"):
        mxfp4.save(path, {}, convention="best", overwrite=True)
    with pytest.raises(ValueError, match="'w': compressed-tensors holds matrices only"):
        mxfp4.save(path, {"w": t}, convention="compressed-tensors", overwrite=True)
    with pytest.raises(ValueError, match="'w.weight': would be read as 'w', as gpt-oss names weights; linear keeps every name"):
        mxfp4.save(path, {"w.weight": t}, convention="gpt-oss", overwrite=True)
    mxfp4.save(path, {"v": t}, overwrite=True)
    assert list(mxfp4.open(path)) == ["v"]


def write_f4(path: Path, **tensors) -> None:
    """A file of F4, F6 and F8_E8M0, which safetensors' numpy writer does not know: name -> (dtype, shape, bytes)."""
    header, data = {}, b""
    for name, (dtype, shape, value) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_f4_beside_its_scales_is_one_tensor(tmp_path: Path):
    codes, scales = np.arange(64, dtype=np.uint8).reshape(2, 32), np.array([[126, 127], [128, 255]], np.uint8)
    write_f4(tmp_path / "x.safetensors", **{"w.weight": ("F4", [2, 64], codes), "w.weight_scale": ("F8_E8M0", [2, 2], scales)})
    model = mxfp4.open(tmp_path / "x.safetensors")
    assert list(model) == ["w.weight"] and model.convention == "native"
    np.testing.assert_array_equal(model["w.weight"].codes, codes)
    np.testing.assert_array_equal(model["w.weight"].scales, scales)
    mxfp4.save(tmp_path / "y.safetensors", dict(model), convention="native")
    header = (tmp_path / "y.safetensors").read_bytes()
    assert b'"w.weight":{"dtype":"F4","shape":[2,64]' in header and b'"w.weight_scale":{"dtype":"F8_E8M0","shape":[2,2]' in header
    np.testing.assert_array_equal(mxfp4.open(tmp_path / "y.safetensors")["w.weight"].codes, codes)


def test_elements_that_share_a_byte_and_have_no_scales_are_bytes(tmp_path: Path):
    data, path = np.arange(24, dtype=np.uint8), tmp_path / "x.safetensors"
    write_f4(path, w=("F4", [3, 16], data), odd=("F4", [16, 3], data), six=("F6_E2M3", [4, 8], data))
    model = mxfp4.open(path)
    np.testing.assert_array_equal(model["w"], data.reshape(3, 8))
    np.testing.assert_array_equal(model["odd"], data)
    np.testing.assert_array_equal(model["six"], data)


@pytest.mark.parametrize("file", ["mxfp4", "llama-quantize"])
def test_a_gguf_file_holds_the_same_tensors(file: str, models: Path):
    gguf = mxfp4.open(models / f"tiny-gpt-oss/gguf/{file}.gguf")
    assert gguf.convention == "gguf" and gguf.config["model_type"] == "gpt_oss"
    for name, t in mxfp4.open(models / "tiny-gpt-oss/hf-mxfp4").items():
        if not isinstance(t, mxfp4.Tensor) or ("layers.2" in name and file == "llama-quantize"):  # another expert there
            continue
        rows = {"down": slice(None)} if name.endswith("down_proj") else {"gate": slice(0, None, 2), "up": slice(1, None, 2)}
        for part, of_t in rows.items():
            again = gguf[f"{name.rpartition('.')[0]}.{part}_proj"]
            np.testing.assert_array_equal(again.dequantize(), t.dequantize()[:, of_t])  # llama-quantize writes no -0
            if file == "mxfp4":
                np.testing.assert_array_equal(again.codes, t.codes[:, of_t])
                np.testing.assert_array_equal(again.scales, t.scales[:, of_t])


def test_weights_in_another_quantisation_come_as_their_values(models: Path):
    """llama.cpp's Q8_0, which is the nearest of 8 bits, and DeepSeek's FP8 in tiles with their scales."""
    dense = mxfp4.open(models / "tiny-gpt-oss/bf16")["model.layers.0.self_attn.q_proj.weight"].astype(np.float32)
    q8 = mxfp4.open(models / "tiny-gpt-oss/gguf/llama-quantize.gguf")["model.layers.0.self_attn.q_proj.weight"]
    assert q8.dtype == np.float32 and q8.flags.writeable
    assert 0 < np.abs(q8 - dense).max() < np.abs(dense).max() / 100
    path = models / "tiny-deepseek-v4/deepseek-v4"
    model, stored = mxfp4.open(path), read_model(path)
    name = next(name for name, value in stored.items() if value.dtype.name == "float8_e4m3fn")
    tiles = stored[f"{name.removesuffix('weight')}scale"].astype(np.float32).repeat(128, 0).repeat(128, 1)
    shown = model[next(other for other in model if name in (other, other.removeprefix("model.")))]
    rows, columns = shown.shape
    np.testing.assert_array_equal(shown, stored[name].astype(np.float32) * tiles[:rows, :columns])


def test_bfloat16_needs_ml_dtypes_and_says_so(tmp_path: Path, monkeypatch):
    write_safetensors(tmp_path / "x.safetensors", {"w": np.ones(3, ml_dtypes.bfloat16)})
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    monkeypatch.setattr(np, "dtype", lambda name: (_ for _ in ()).throw(TypeError(name)))
    with pytest.raises(ModuleNotFoundError, match="'w' is bfloat16, which numpy knows with the package ml_dtypes only"):
        mxfp4.open(tmp_path / "x.safetensors")["w"]
