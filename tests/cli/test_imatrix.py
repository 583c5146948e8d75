"""--imatrix: the scale that loses least where it matters, whichever file says what matters."""

import struct

import numpy as np
import pytest
from checkpoints import Model, read_safetensors, write_safetensors

VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def best_bytes(x, w):
    """Of every block of 32, by trying all 255 bytes; x [N, K], w [K] or [N, K]."""
    blocks = np.abs(x.astype(np.float64)).reshape(-1, 32)
    weights = np.broadcast_to(w, x.shape).astype(np.float64).reshape(-1, 32)
    # The scale of `floor` wins a draw, and so do the ones near it.
    floor = np.floor(np.log2(blocks.max(1))).astype(int) - 2 + 127
    best, least = floor.copy(), None
    for distance in range(0, 60):
        for byte in {0: [floor]}.get(distance, [floor + distance, floor - distance]):
            scale = 2.0 ** (byte - 127)[:, None]
            error = ((np.abs(blocks[:, :, None] - VALUES * scale[:, :, None]).min(2)) ** 2 * weights).sum(1)
            if least is None:
                least = error
            better = error < least * (1 - 1e-12)
            best, least = np.where(better, byte, best), np.where(better, error, least)
    return best.reshape(x.shape[0], -1)


def old_format(entries):
    """llama.cpp's .dat: sums over the calls, and how many of these there were."""
    text = struct.pack("<i", len(entries))
    for name, values in entries.items():
        values = np.asarray(values, np.float32).ravel() * 4
        text += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 4, len(values)) + values.tobytes()
    return text + struct.pack("<ii", 2, 4) + b"wiki"


@pytest.fixture
def weight():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((6, 64)).astype(np.float32)
    x[:, 5] *= 20  # a channel that is large and hardly used
    w = rng.integers(1, 50, 64).astype(np.float32)
    w[5] = 0
    return x, w


def write_imatrix(path, name, values):
    values = np.atleast_2d(values)
    if path.suffix == ".dat":
        path.write_bytes(old_format({name: values}))
    elif path.suffix == ".safetensors":
        write_safetensors(path, {name: values})
    else:
        gguf = pytest.importorskip("gguf")
        writer = gguf.GGUFWriter(path, "")
        writer.add_type("imatrix")
        writer.add_tensor(name + ".in_sum2", np.ascontiguousarray(values * 3))
        writer.add_tensor(name + ".counts", np.full((len(values), 1), 3, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


@pytest.mark.parametrize("suffix", [".dat", ".gguf", ".safetensors"])
@pytest.mark.parametrize("entry", ["model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj", "blk.0.ffn_up.weight"])
def test_the_scales_are_the_best_under_the_weights(mxfp4, bare, tmp_path, weight, suffix, entry):
    x, w = weight
    source = bare({"model.layers.0.mlp.up_proj.weight": x})
    imatrix = write_imatrix(tmp_path / f"imatrix{suffix}", entry, w)
    report = mxfp4.json("quantize", source, tmp_path / "out.safetensors", "--imatrix", imatrix)
    assert report["tensors"][0]["importance"] is True
    scales = read_safetensors(tmp_path / "out.safetensors")["model.layers.0.mlp.up_proj.scales"]
    assert (scales == best_bytes(x, w)).all()
    mxfp4("quantize", source, tmp_path / "plain.safetensors")
    plain = read_safetensors(tmp_path / "plain.safetensors")["model.layers.0.mlp.up_proj.scales"]
    assert (scales != plain).any()


@pytest.mark.parametrize("format", ["gpt-oss", "compressed-tensors"])
def test_every_expert_has_its_own_weights(mxfp4, tiny, tmp_path, format):
    before = Model(tiny)
    experts = before["model.layers.1.mlp.experts.gate_up_proj"].astype(np.float32).swapaxes(1, 2)  # [E, N, K]
    rng = np.random.default_rng(4)
    w = rng.integers(0, 9, (experts.shape[0], experts.shape[2])).astype(np.float32)
    imatrix = write_imatrix(tmp_path / "imatrix.dat", "blk.1.ffn_gate_exps.weight", w)
    for threads in (1, 3):
        out = tmp_path / f"out{threads}"
        report = mxfp4.json("quantize", tiny, out, "--imatrix", imatrix, "--format", format, "--threads", threads)
        weighted = [t["name"] for t in report["tensors"] if t.get("importance")]
        assert weighted == ["model.layers.1.mlp.experts.gate_up_proj"]
        after = Model(out)
        for e in range(experts.shape[0]):
            expected = best_bytes(experts[e], w[e])
            if format == "gpt-oss":
                scales = after["model.layers.1.mlp.experts.gate_up_proj_scales"][e]
            else:
                gate, up = (after[f"model.layers.1.mlp.experts.{e}.{n}_proj.weight_scale"] for n in ("gate", "up"))
                scales = np.stack([gate, up], 1).reshape(expected.shape)
            assert (scales == expected).all()
    assert "by importance" in (out / "README.md").read_text()


def test_what_cannot_be_meant_is_refused(mxfp4, bare, tmp_path, weight):
    x, w = weight
    source, out = bare({"a.weight": x}), tmp_path / "out.safetensors"
    other = write_imatrix(tmp_path / "other.dat", "b.weight", w)
    assert "for none of the tensors" in mxfp4("quantize", source, out, "--imatrix", other, status=2).err
    good = write_imatrix(tmp_path / "good.dat", "a.weight", w)
    assert "for none of the tensors" in mxfp4("quantize", source, out, "--imatrix", good, "--scale", "floor", status=2).err
    short = write_imatrix(tmp_path / "short.dat", "a.weight", w[:63])
    assert "'a.weight' has 63 values" in mxfp4("quantize", source, out, "--imatrix", short, status=2).err
    good.write_bytes(good.read_bytes()[:100])
    assert "the file ends after" in mxfp4("quantize", source, out, "--imatrix", good, status=3).err
    negative = write_imatrix(tmp_path / "negative.dat", "a.weight", -w - 1)
    assert "finite and not negative" in mxfp4("quantize", source, out, "--imatrix", negative, status=3).err
    assert not out.exists()
