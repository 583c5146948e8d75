#!/usr/bin/env python3
"""Makes this folder: a file or a model directory for every rule of the readers, wrong in that one way, and cases.json
with a part of the message that refuses it. Run it here after a change; needs no package."""

import json
import shutil
import struct
from pathlib import Path

HERE = Path(__file__).parent
CASES = {}
DATA = bytes(range(64))
TENSOR = {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}


def text(**tensors) -> str:
    return json.dumps(tensors)


def packed(header, data=DATA, length=None) -> bytes:
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def file(name, message, content: bytes):
    (HERE / f"{name}.safetensors").write_bytes(content)
    CASES[f"{name}.safetensors"] = message


def tensor(name, message, data=DATA, **changes):
    entry = {k: v for k, v in {**TENSOR, **changes}.items() if v is not ...}
    file(name, message, packed(text(w=entry), data))


def model(name, message, files: dict):
    (HERE / name).mkdir()
    for path, content in files.items():
        if isinstance(content, str):
            content = content.encode()
        (HERE / name / path).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    CASES[name] = message


def shard(**tensors) -> bytes:
    """U8 tensors of the given shapes, or (dtype, shape, bytes per element)."""
    header, data = {}, b""
    for name, spec in tensors.items():
        dtype, shape, size = spec if isinstance(spec, tuple) else ("U8", spec, 1)
        for n in shape:
            size *= n
        header[name.replace("__", ".")] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += bytes(size)
    return packed(json.dumps(header), data)


def files():
    file("no-length", "7 bytes do not hold the header's length", bytes(7))
    file("length-beyond-limit", "longer than the format's limit", packed("{}", b"", 100_000_001))
    file("length-negative", "a header of 18446744073709551615 bytes", packed("{}", b"", 2**64 - 1))
    file("length-beyond-file", "exceeds the file of 10 bytes", packed("{}", b"", 3))
    file("header-empty", "the header is empty", packed(""))
    file("header-is-no-object", "the header begins with byte 0x5b", packed("[]"))
    file("header-is-no-json", "not JSON at its byte", packed('{"w": '))
    file("header-with-zero-byte", "at its byte 62: a zero byte", packed(text(w=TENSOR) + "\0"))
    file("name-twice", "tensor 'w' stands twice", packed('{"w": %s, "w": %s}' % ((json.dumps(TENSOR),) * 2)))
    file("tensor-is-no-object", "tensor 'w' is 1, not an object", packed(text(w=1)))
    file("metadata-are-no-object", "not an object of strings", packed(text(__metadata__=7, w=TENSOR)))
    file("note-is-no-string", "'a' is 1, not a string", packed(text(__metadata__={"a": 1}, w=TENSOR)))
    file("note-twice", "'a' stands twice", packed('{"__metadata__": {"a": "1", "a": "2"}, "w": %s}' % json.dumps(TENSOR)))
    file("data-without-tensor", "64 bytes of data, but no tensor", packed("{}"))
    tensor("dtype-unknown", "dtype 'Q4' is unknown", dtype="Q4")
    tensor("dtype-is-no-string", "dtype is 4, not a string", dtype=4)
    tensor("dtype-missing", "dtype is missing", dtype=...)
    tensor("shape-is-no-array", "shape is 64, not an array", shape=64)
    tensor("shape-missing", "shape is missing", shape=...)
    tensor("size-negative", "shape holds -64", shape=[-64])
    tensor("size-fraction", "shape holds 64.0", shape=[64.0])
    tensor("elements-overflow", "of shape [4294967296, 4294967296]", shape=[2**32, 2**32])
    tensor("bits-fill-no-byte", "F4 of shape [3]", dtype="F4", shape=[3])
    tensor("offsets-missing", "data_offsets is missing", data_offsets=...)
    tensor("offsets-are-no-array", 'data_offsets is a string, not an array', data_offsets="0")
    tensor("offsets-are-three", "data_offsets holds 3 numbers", data_offsets=[0, 32, 64])
    tensor("offset-negative", "data_offsets holds -1", data_offsets=[-1, 63])
    tensor("offsets-backwards", "end before they begin", data_offsets=[64, 0])
    tensor("bytes-do-not-fit-shape", "hold 64 bytes, U8 of shape [63] takes 63", shape=[63])
    tensor("data-truncated", "ends at byte 64 of the data, but the file has 63", data=DATA[:63])
    tensor("data-behind-the-last", "the last tensor ends at byte 64 of the data, but the file has 65", data=DATA + b"x")
    second = {**TENSOR, "data_offsets": [65, 129]}
    file("hole", "byte 64 belongs to no tensor", packed(text(w=TENSOR, v=second), bytes(129)))
    second = {**TENSOR, "data_offsets": [63, 127]}
    file("overlap", "tensor 'w' ends at byte 64", packed(text(w=TENSOR, v=second), bytes(127)))


def models():
    one, index = shard(w=[64]), "model.safetensors.index.json"
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    model("index-is-no-json", "unexpected end of input", {index: "{", names[0]: one})
    model("index-with-zero-byte", "a zero byte at byte 2", {index: "{}\0", names[0]: one})
    model("index-too-deep", "nested deeper than 100", {index: '{"weight_map": ' + "[" * 101 + "]" * 101 + "}", names[0]: one})
    model("index-without-map", "has no object 'weight_map'", {index: {"weight_map": 1}, names[0]: one})
    model("index-names-no-file", "the name of its file is no string", {index: {"weight_map": {"w": 1}}, names[0]: one})
    model("index-leads-outside", "'../w.safetensors' is not a file inside", {index: {"weight_map": {"w": "../w.safetensors"}}})
    model("index-with-absolute-path", "'/w.safetensors' is not a file inside", {index: {"weight_map": {"w": "/w.safetensors"}}})
    model("shard-missing", f"shard {names[1]} is missing", {index: {"weight_map": {"w": names[0], "v": names[1]}}, names[0]: one})
    model("shard-missing-without-index", "2 shards, but only 1 of them", {names[0]: one})
    model("index-lies", "says that tensor 'v' is in", {index: {"weight_map": {"w": names[0], "v": names[1]}}, names[0]: shard(v=[1]), names[1]: shard(w=[1])})
    model("index-forgets", "holds tensor 'v', which", {index: {"weight_map": {"w": names[0]}}, names[0]: shard(w=[1], v=[1])})
    model("tensor-in-two-shards", "tensor 'w' stands in", {names[0]: one, names[1]: one})
    model("no-tensor", "holds no tensor at all", {"model.safetensors": packed("{}", b"")})
    model("config-empty", "config.json: is empty", {"config.json": "", "model.safetensors": one})
    model("config-is-no-object", "is not a JSON object", {"config.json": "[]", "model.safetensors": one})
    model("config-with-wrong-type", "'hidden_size' is", {"config.json": {"hidden_size": "64"}, "model.safetensors": one})
    codes, gpt = "model__layers__0__mlp__experts__down_proj", {"model_type": "gpt_oss"}
    model("scales-missing", "their scales", {"model.safetensors": shard(**{codes + "_blocks": [2, 32, 1, 16]}), "config.json": gpt})
    model("codes-missing", "their codes", {"model.safetensors": shard(**{codes + "_scales": [2, 32, 1]}), "config.json": gpt})
    pair = {codes + "_blocks": [2, 32, 1, 16], codes + "_scales": [2, 31, 1]}
    model("scales-of-another-shape", "does not fit that of its scales", {"model.safetensors": shard(**pair), "config.json": gpt})
    pair = {codes + "_blocks": ("F32", [2, 32, 1, 16], 4), codes + "_scales": [2, 32, 1]}
    model("codes-of-another-dtype", "stores codes as U8", {"model.safetensors": shard(**pair), "config.json": gpt})
    pair = {codes + "_blocks": [2, 32, 1, 16], codes + "_scales": ("F32", [2, 32, 1], 4)}
    model("scales-of-another-dtype", "stores scales as U8", {"model.safetensors": shard(**pair), "config.json": gpt})
    pair = {codes + "_blocks": [2, 32, 1, 16], codes + "_scales": [2, 32, 1]}
    two = {**pair, "z__weight_packed": [4, 16], "z__weight_scale": [4, 1]}
    model("two-conventions", "is stored as gpt-oss, but", {"model.safetensors": shard(**two), "config.json": gpt})
    words = {"a__weight": ("U32", [4, 4], 4), "a__scales": [4, 1]}
    model("words-without-scales", "scales 'b.scales' are missing", {"model.safetensors": shard(**words, b__weight=("U32", [4, 4], 4)), "config.json": {}})
    model("scales-without-words", "codes 'b.weight' are missing", {"model.safetensors": shard(**words, b__scales=[4, 1]), "config.json": {}})
    sizes = {**gpt, "num_local_experts": 3, "hidden_size": 32, "intermediate_size": 32}
    model("experts-against-config", "which does not fit config.json: 3 experts", {"model.safetensors": shard(**pair), "config.json": sizes})


if __name__ == "__main__":
    for path in HERE.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix == ".safetensors":
            path.unlink()
    files()
    models()
    (HERE / "cases.json").write_text(json.dumps(CASES, indent=2) + "\n")
