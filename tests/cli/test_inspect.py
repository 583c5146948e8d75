"""inspect reads headers and tells what stands there."""

import json
import struct
import time

import numpy as np
import pytest

from checkpoints import Model


def test_lists_every_tensor_as_it_is_stored(mxfp4, tiny_mxfp4):
    report, model = mxfp4.json("inspect", tiny_mxfp4), Model(tiny_mxfp4)
    assert report["container"] == "safetensors"
    assert report["convention"] == "gpt-oss"
    names = {np.uint8: "U8"}
    found = {t["name"]: (t["dtype"], tuple(t["shape"]), t["bytes"], t["file"]) for t in report["tensors"]}
    assert found == {
        name: (names.get(t.dtype.type, "BF16"), t.shape, t.nbytes, "model.safetensors") for name, t in model.tensors.items()
    }
    totals = report["totals"]
    assert totals["tensors"] == len(model.tensors)
    assert totals["bytes"] == sum(t.nbytes for t in model.tensors.values())
    assert set(totals["by_dtype"]) == {"BF16", "U8"}
    for field in ("tensors", "bytes"):
        assert sum(entry[field] for entry in totals["by_dtype"].values()) == totals[field]


def test_layers_stand_in_the_order_of_their_numbers(mxfp4, bare):
    source = bare({f"l.{i}.w": np.zeros(1, np.float32) for i in (10, 9, 1, 0, 2)})
    assert [t["name"] for t in mxfp4.json("inspect", source)["tensors"]] == [f"l.{i}.w" for i in (0, 1, 2, 9, 10)]


def test_people_see_layers_together(mxfp4, tiny_mxfp4):
    out = mxfp4("inspect", tiny_mxfp4).out
    assert "model.layers.{0..2}\n" in out
    assert sum("gate_up_proj_blocks" in line for line in out.splitlines()) == 1
    assert "\x1b" not in out


def test_shards_are_named(mxfp4, tiny, tmp_path):
    mxfp4("quantize", tiny, tmp_path / "out", "--max-shard", "100K")
    report = mxfp4.json("inspect", tmp_path / "out")
    files = {t["file"] for t in report["tensors"]}
    assert files == {p.name for p in (tmp_path / "out").glob("*.safetensors")} and len(files) > 1


@pytest.mark.parametrize("pattern, count", [("lm_head.weight", 1), ("model.layers.1", 19), ("*_scales", 6), (r"re:.*\.sinks", 3),
                                            ("model.layers.0.mlp.experts.down_proj", 2)])  # fmt: skip
def test_patterns_choose(mxfp4, tiny_mxfp4, pattern, count):
    report = mxfp4.json("inspect", tiny_mxfp4, "--tensors", pattern)
    assert len(report["tensors"]) == report["totals"]["tensors"] == count


def test_a_pattern_that_names_nothing_is_an_error(mxfp4, tiny):
    error = mxfp4("inspect", tiny, "--tensors", "lm_head", "--tensors", "lm_tail", "--json", status=2).json["error"]
    assert "lm_tail" in error["message"]


def test_scales_are_counted_over_what_is_listed(mxfp4, tiny_mxfp4):
    model = Model(tiny_mxfp4)
    name = "model.layers.0.mlp.experts.gate_up_proj_scales"
    counts = {str(b): int(n) for b, n in zip(*np.unique(model[name], return_counts=True))}
    assert mxfp4.json("inspect", tiny_mxfp4, "--scales", "--tensors", name)["scales"] == counts
    out = mxfp4("inspect", tiny_mxfp4, "--scales").out
    assert "2^-7" in out and "#" in out
    assert "scales" not in mxfp4.json("inspect", tiny_mxfp4)
    assert mxfp4.json("inspect", tiny_mxfp4, "--scales", "--tensors", "lm_head")["scales"] == {}


def test_metadata_is_shown(mxfp4, bare):
    source = bare({"w": np.zeros(1, np.float32)}, metadata={"who": "me", "tricky": "\x1b[2Ja\nb"})
    assert mxfp4.json("inspect", source)["metadata"]["in.safetensors"] == {"who": "me", "tricky": "\x1b[2Ja\nb"}
    assert "who: me" in (out := mxfp4("inspect", source).out) and "\x1b" not in out


def test_every_dtype_can_be_listed(mxfp4, tmp_path):
    bits = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
            "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
            "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}  # fmt: skip
    header, offset = {}, 0
    for dtype, size in bits.items():
        header[dtype] = {"dtype": dtype, "shape": [2, 32], "data_offsets": [offset, offset + 8 * size]}
        offset += 8 * size
    text = json.dumps(header).encode()
    (tmp_path / "all.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    found = mxfp4.json("inspect", tmp_path / "all.safetensors")
    assert {t["dtype"]: t["bytes"] for t in found["tensors"]} == {dtype: 8 * size for dtype, size in bits.items()}


def sparse_model(path, layers, bytes_per_tensor):
    """A checkpoint of which only the headers take room on the disk."""
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "llama", "hidden_size": 1024}')
    weight_map = {}
    for shard in range(4):
        header, offset = {}, 0
        for layer in range(shard, layers, 4):
            for name in ("q", "k", "v", "o", "gate", "up", "down"):
                name = f"model.layers.{layer}.{name}_proj.weight"
                header[name] = {"dtype": "BF16", "shape": [bytes_per_tensor // 2048, 1024], "data_offsets": [offset, offset + bytes_per_tensor]}
                offset += bytes_per_tensor
                weight_map[name] = f"model-{shard + 1:05}-of-00004.safetensors"
        text = json.dumps(header).encode()
        with open(path / f"model-{shard + 1:05}-of-00004.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + offset)
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_ten_gigabytes_take_less_than_a_second(mxfp4, tmp_path):
    sparse_model(tmp_path / "large", layers=96, bytes_per_tensor=16 << 20)
    start = time.monotonic()
    report = mxfp4.json("inspect", tmp_path / "large")
    assert time.monotonic() - start < 1
    assert report["totals"]["bytes"] > 10e9
    assert "{0..95}" in mxfp4("inspect", tmp_path / "large").out


def test_a_quantisation_that_is_not_read_is_listed_all_the_same(mxfp4, bare, tmp_path):
    source = bare({"a.weight": np.zeros((4, 16), np.uint8), "a.weight.absmax": np.zeros(4, np.float32)})
    report = mxfp4.json("inspect", source)
    assert report["convention"] == "bitsandbytes" and len(report["tensors"]) == 2
    assert "not read" in mxfp4("inspect", source).out
    for verb in ("quantize", "dequantize"):
        assert mxfp4(verb, source, tmp_path / "out.safetensors", "--json", status=3).json["error"]["code"] == "unsupported"
