"""One .safetensors file in, one out."""

import ml_dtypes
import numpy as np
import pytest

import reference
from checkpoints import metadata_of, read_safetensors, same_bytes, tree_bytes

RNG = np.random.default_rng(7)


def normal(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(3, 32), (5, 96), (2, 3, 64), (2, 3, 4, 32), (1, 4096)])
def test_any_float_matrix_becomes_linear(mxfp4, bare, tmp_path, dtype, shape):
    x = normal(*shape, dtype=dtype)
    mxfp4("quantize", bare({"layer.weight": x, "table": x}), tmp_path / "out.safetensors")
    out = read_safetensors(tmp_path / "out.safetensors")
    codes, scales = reference.quantize(x)
    assert set(out) == {"layer.blocks", "layer.scales", "table.blocks", "table.scales"}
    for name in ("layer", "table"):
        assert same_bytes(out[name + ".blocks"], codes.reshape(*shape[:-1], shape[-1] // 2))
        assert same_bytes(out[name + ".scales"], scales)


def test_expanding_gives_the_names_and_values_back(mxfp4, bare, tmp_path):
    x = normal(4, 64)
    mxfp4("quantize", bare({"a.weight": x}), tmp_path / "q.safetensors")
    mxfp4("dequantize", tmp_path / "q.safetensors", tmp_path / "back.safetensors", "--dtype", "f32")
    back = read_safetensors(tmp_path / "back.safetensors")
    assert set(back) == {"a.weight"}
    assert same_bytes(back["a.weight"], reference.dequantize(*reference.quantize(x), np.float32))


def test_what_cannot_be_quantised_is_kept_with_the_reason(mxfp4, bare, tmp_path):
    tensors = {
        "fine": normal(2, 32), "vector": normal(32), "scalar": normal(), "k33": normal(2, 33), "k16": normal(4, 16),
        "ints": np.arange(64, dtype=np.int32).reshape(2, 32), "f64": normal(2, 32, dtype=np.float64),
        "flags": np.zeros((2, 32), np.bool_), "no_columns": np.zeros((2, 0), np.float32),
    }  # fmt: skip
    report = mxfp4.json("quantize", bare(tensors), tmp_path / "out.safetensors")
    out = read_safetensors(tmp_path / "out.safetensors")
    reasons = {t["name"]: t["reason"] for t in report["tensors"] if t["action"] == "kept"}
    assert reasons.keys() == tensors.keys() - {"fine"}
    assert all(same_bytes(out[name], tensors[name]) for name in reasons)
    assert reasons["no_columns"] == "K = 0: no elements"
    for name, words in {"vector": "1-D", "k33": "33", "k16": "16", "ints": "I32", "f64": "F64"}.items():
        assert words in reasons[name], reasons


@pytest.mark.parametrize("tensors", [
    {}, {"none": np.zeros((0, 32), np.float32)}, {"none": np.zeros((32, 0), np.float32)},
    {"none": np.zeros((0,), np.int8), "w": np.ones((1, 32), np.float32)},
])  # fmt: skip
def test_files_with_little_or_nothing_in_them_pass_through(mxfp4, bare, tmp_path, tensors):
    mxfp4("quantize", bare(tensors), tmp_path / "out.safetensors")
    out = read_safetensors(tmp_path / "out.safetensors")
    assert {n for n in out if not n.endswith((".blocks", ".scales"))} <= tensors.keys()
    assert mxfp4.json("inspect", tmp_path / "out.safetensors")["totals"]["tensors"] == len(out)


def test_names_may_be_anything(mxfp4, bare, tmp_path):
    names = ["ü.weight", "weight", 'quote"\\back', "a b", "new\nline", "\x1b[31mred", ".weight", "..", "a/b"]
    tensors = {name: normal(1, 32) for name in names}
    source = bare(tensors)
    mxfp4("quantize", source, tmp_path / "q.safetensors")
    listed = mxfp4("inspect", tmp_path / "q.safetensors").out
    assert "\x1b" not in listed
    mxfp4("dequantize", tmp_path / "q.safetensors", tmp_path / "back.safetensors")
    assert len(read_safetensors(tmp_path / "back.safetensors")) == len(names)


def test_names_that_would_clash_in_the_output_are_refused(mxfp4, bare, tmp_path):
    source = bare({"w": normal(1, 32), "w.weight": normal(1, 32)})
    assert "w.blocks" in mxfp4("quantize", source, tmp_path / "out.safetensors", status=2).err
    assert list(tmp_path.iterdir()) == [source]


def test_the_files_own_notes_are_kept(mxfp4, bare, tmp_path):
    source = bare({"w": normal(1, 32)}, metadata={"format": "pt", "who": "me"})
    mxfp4("quantize", source, tmp_path / "out.safetensors")
    assert metadata_of(tmp_path / "out.safetensors").items() >= {"format": "pt", "who": "me"}.items()


def test_tensors_need_not_be_aligned(mxfp4, bare, tmp_path):
    x = normal(4, 64)
    source = bare({"odd": np.ones(3, np.uint8), "w": x})
    mxfp4("quantize", source, tmp_path / "out.safetensors")
    assert same_bytes(read_safetensors(tmp_path / "out.safetensors")["w.scales"], reference.quantize(x)[1])


def test_stacked_experts_of_unknown_orientation_are_kept(mxfp4, bare, tmp_path):
    x = normal(2, 64, 32, dtype=ml_dtypes.bfloat16)
    source = bare({"model.layers.0.mlp.experts.gate_up_proj": x})
    report = mxfp4.json("quantize", source, tmp_path / "kept.safetensors")
    assert report["totals"]["quantized"] == 0
    assert "--format gpt-oss" in report["tensors"][0]["reason"]
    mxfp4("quantize", source, tmp_path / "out.safetensors", "--format", "gpt-oss")
    out = read_safetensors(tmp_path / "out.safetensors")
    codes, scales = reference.quantize(x.swapaxes(1, 2))
    assert same_bytes(out["model.layers.0.mlp.experts.gate_up_proj_blocks"], codes)
    assert same_bytes(out["model.layers.0.mlp.experts.gate_up_proj_scales"], scales)


def poisoned(value):
    x = normal(3, 64)
    x[1, 40] = value
    return x


@pytest.mark.parametrize("value, word", [(np.nan, "NaN"), (np.inf, "Inf"), (-np.inf, "-Inf")])
def test_what_is_not_finite_is_refused_with_its_place(mxfp4, bare, tmp_path, value, word):
    source = bare({"good": normal(1, 32), "bad": poisoned(value)})
    error = mxfp4("quantize", source, tmp_path / "out.safetensors", "--json", status=3).json["error"]
    assert "'bad'" in error["message"] and "[1, 40]" in error["message"] and word in error["message"]
    assert list(tmp_path.iterdir()) == [source]


def test_what_is_not_finite_may_become_a_nan_block(mxfp4, bare, tmp_path):
    mxfp4("quantize", bare({"w": poisoned(np.inf)}), tmp_path / "out.safetensors", "--nonfinite", "nan_block")
    out = read_safetensors(tmp_path / "out.safetensors")
    assert out["w.scales"][1, 1] == 255
    assert (out["w.blocks"][1, 16:] == 0x77).all()
    assert (np.delete(out["w.scales"].ravel(), 3) < 255).all()


def test_what_is_not_finite_may_be_saturated(mxfp4, bare, tmp_path):
    x = poisoned(-np.inf)
    mxfp4("quantize", bare({"w": x}), tmp_path / "out.safetensors", "--nonfinite", "saturate")
    out = read_safetensors(tmp_path / "out.safetensors")
    finite = np.where(np.isfinite(x), x, 0)
    codes, scales = reference.quantize(finite)
    codes = codes.reshape(3, 32)
    codes[1, 20] = codes[1, 20] & 0xF0 | 15  # element 40: -6
    assert same_bytes(out["w.scales"], scales)
    assert same_bytes(out["w.blocks"], codes)


def test_a_preset_decides_about_what_is_not_finite_only_if_asked(mxfp4, bare, tmp_path):
    source = bare({"w": poisoned(np.nan)})
    mxfp4("quantize", source, tmp_path / "out.safetensors", "--preset", "ocp", status=3)
    mxfp4("quantize", source, tmp_path / "out.safetensors", "--preset", "ocp", "--nonfinite", "preset")
    assert read_safetensors(tmp_path / "out.safetensors")["w.scales"][1, 1] == 255


def test_subnormal_and_huge_blocks_are_quantised_exactly(mxfp4, bare, tmp_path):
    exponents = np.arange(-149, 128)[:, None]
    with np.errstate(over="ignore", under="ignore"):
        x = (RNG.uniform(-1, 1, (len(exponents), 32)) * np.ldexp(1.0, exponents)).astype(np.float32)
    for rule in ("optimal", "floor", "even", "rceil"):
        mxfp4("quantize", bare({"w": x}), tmp_path / f"{rule}.safetensors", "--scale", rule)
        out = read_safetensors(tmp_path / f"{rule}.safetensors")
        codes, scales = reference.quantize(x, rule)
        assert same_bytes(out["w.scales"], scales)
        assert same_bytes(out["w.blocks"], codes.reshape(len(x), 16))


def test_instruction_sets_do_not_change_a_byte(mxfp4, bare, tmp_path):
    supported = [entry["name"] for entry in mxfp4.json("info")["isas"] if entry["supported"]]
    assert "scalar" in supported
    source = bare({"w": np.concatenate([normal(64, 96), poisoned(1e-40).repeat(2, 1)[:, :96]])})
    for rule in ("optimal", "rceil"):
        mxfp4("quantize", source, tmp_path / "any.safetensors", "--scale", rule, "--overwrite")
        for isa in supported:
            forced = mxfp4.json("quantize", source, tmp_path / "forced.safetensors", "--scale", rule, "--overwrite", env={"MXFP4_ISA": isa})
            assert (tmp_path / "any.safetensors").read_bytes() == (tmp_path / "forced.safetensors").read_bytes()
            assert forced["totals"]["quantized"] == 1


def test_a_directory_and_its_only_file_need_not_agree(mxfp4, tiny, tmp_path):
    """The same bytes of codes, whichever way the model is given; a bare file has no config to ask."""
    mxfp4("quantize", tiny / "model.safetensors", tmp_path / "out.safetensors", "--format", "gpt-oss", "--include", "*.experts.*_proj")
    mxfp4("quantize", tiny, tmp_path / "out", "--no-card")
    name = "model.layers.1.mlp.experts.down_proj_blocks"
    alone = read_safetensors(tmp_path / "out.safetensors")
    assert same_bytes(alone[name], read_safetensors(tmp_path / "out/model.safetensors")[name])
    assert set(tree_bytes(tmp_path)) >= {"out.safetensors"}
