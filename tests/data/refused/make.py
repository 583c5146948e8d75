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


def u32(value) -> bytes:
    return struct.pack("<I", value)


def u64(value) -> bytes:
    return struct.pack("<Q", value)


def string(value: str) -> bytes:
    return u64(len(value.encode())) + value.encode()


def described(name="w", dims=(4,), kind=0, offset=0) -> bytes:
    return string(name) + u32(len(dims)) + b"".join(map(u64, dims)) + u32(kind) + u64(offset)


def gguf(name, message, metadata=(), tensors=(), data=bytes(64), pairs=None, count=None):
    """A file of keys with their encoded values, and of described tensors."""
    content = b"GGUF" + u32(3) + u64(len(tensors) if count is None else count) + u64(len(metadata) if pairs is None else pairs)
    content += b"".join(string(key) + value for key, value in metadata) + b"".join(tensors)
    (HERE / f"{name}.gguf").write_bytes(content + bytes(-len(content) % 32) + data)
    CASES[f"{name}.gguf"] = message


def ggufs():
    one, big = u32(4) + u32(1), 2**60
    (HERE / "gguf-is-none.gguf").write_bytes(b"GGML" + bytes(60))
    CASES["gguf-is-none.gguf"] = "does not begin with 'GGUF'"
    (HERE / "gguf-ends-early.gguf").write_bytes(b"GGUF" + u32(3) + bytes(7))
    CASES["gguf-ends-early.gguf"] = "the number of tensors takes 8 bytes, but the file ends after 7"
    gguf("gguf-too-many-tensors", "the number of tensors is 1152921504606846976", count=big)
    gguf("gguf-too-many-metadata", "the number of metadata is 1152921504606846976", pairs=big)
    gguf("gguf-key-too-long", "the key of metadata of 70000 bytes", [("k" * 70000, one)])
    gguf("gguf-key-twice", "metadata 'k' stands twice", [("k", one), ("k", one)])
    gguf("gguf-text-beyond-file", "k takes 1000 bytes, but the file ends", [("k", u32(8) + u64(1000))])
    gguf("gguf-list-beyond-file", "k is 1000, but", [("k", u32(9) + u32(4) + u64(1000))])
    gguf("gguf-truth-is-two", "'k' is 2, neither true nor false", [("k", u32(7) + b"\2")])
    gguf("gguf-alignment-of-24", "'general.alignment' is 24", [("general.alignment", u32(4) + u32(24))])
    gguf("gguf-tensor-twice", "tensor 't' stands twice", tensors=[described("t"), described("t", offset=32)])
    gguf("gguf-tensor-of-five-dimensions", "tensor 'w' has 5 dimensions", tensors=[described(dims=[1] * 5)])
    gguf("gguf-dimension-too-large", "a dimension of 18446744073709551615", tensors=[described(dims=[2**64 - 1])])
    gguf("gguf-elements-overflow", "is too large to be true", tensors=[described(dims=[2**40, 2**40])])
    gguf("gguf-rows-of-no-whole-blocks", "rows of 33 elements are no whole blocks of MXFP4", tensors=[described(dims=[33], kind=39)])
    gguf("gguf-offset-not-aligned", "begins at byte 4 of the data, which is not aligned to 32", tensors=[described(offset=4)])
    gguf("gguf-data-beyond-file", "offset 64 + 16 bytes exceeds the 64 bytes of data", tensors=[described(offset=64)])
    gguf("gguf-tensors-overlap", "tensors 'w' and 'v' overlap at byte 32", tensors=[described(dims=[9]), described("v", offset=32)])
    family = [("general.architecture", u32(8) + string("gpt-oss"))]
    gguf("gguf-size-is-a-text", "'gpt-oss.block_count' is 'x', not a size", [*family, ("gpt-oss.block_count", u32(8) + string("x"))], [described()])
    gguf("gguf-weight-twice", "weight 'lm_head.weight' is stored twice", family, [described("output.weight"), described("lm_head.weight", offset=32)])
    gguf("gguf-part-without-number", "is one of 2 parts, but not called", [("split.count", u32(4) + u32(2))], [described()])
    gguf("gguf-parts-00001-of-00002", "00002-of-00002.gguf: a part of the model is missing", [("split.count", u32(4) + u32(2)), ("split.no", u32(4) + u32(0))], [described()])


def blob(has_bias=b"\0", code_dtype=0, code_bytes=64, code_dims=(2, 32), scale_dims=(2, 2), tail=b"") -> bytes:
    def tensor(dtype, dims, size):
        return u32(size) + u32(dtype) + u32(len(dims)) + b"".join(map(u32, dims)) + bytes(size)

    return u32(2 << 8) + b"\6" + has_bias + tensor(code_dtype, code_dims, code_bytes) + tensor(0, scale_dims, 4) + tail


def uqffs():
    one = {"uqff.version.major": ("U32", [], 4), "uqff.version.minor": ("U32", [], 4), "uqff.version.patch": ("U32", [], 4)}
    layer = {"a.weight": [2, 16], "a.weight.scales": [2, 1], "a.weight.format": []}

    def uqff(name, message, tensors, file="q-0.uqff"):
        # 1.2.0, and format 6, wherever these stand
        header, data = {}, b""
        for key, spec in tensors.items():
            dtype, shape, size = spec if isinstance(spec, tuple) else ("U8", spec, 1)
            for n in shape:
                size *= n
            value = {"uqff.version.major": u32(1), "uqff.version.minor": u32(2), "a.weight.format": b"\6"}.get(key, b"")
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
            data += value[:size] + bytes(size - len(value[:size]))
        model(name, message, {file: packed(json.dumps(header), data)})

    uqff("uqff-without-version", "no file says 'uqff.version.major'", layer)
    uqff("uqff-with-half-a-version", "no file says 'uqff.version.patch'", {**dict(list(one.items())[:2]), **layer})
    uqff("uqff-version-in-bytes", "'uqff.version.major' is U8", {**one, "uqff.version.major": [], **layer})
    uqff("uqff-format-is-a-list", "'a.weight.format' is U8 of shape [2]", {**one, **layer, "a.weight.format": [2]})
    uqff("uqff-without-format", "'a.weight.scales' has no 'a.weight.format' beside it", {**one, **{k: v for k, v in layer.items() if "format" not in k}})
    uqff("uqff-without-scales", "'a.weight.format' has no 'a.weight.scales' beside it", {**one, **{k: v for k, v in layer.items() if "scales" not in k}})
    uqff("uqff-without-first-shard", "shard q-0.uqff is missing", {**one, **layer}, "q-1.uqff")

    def blobs(name, message, content, config=None):
        header = {"0": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
        model(name, message, {"q-0.uqff": packed(json.dumps(header), content), **({"config.json": config} if config else {})})

    blobs("uqff-blob-ends-early", "scales takes 4 bytes, but the blob ends after 3", blob()[:-1])
    blobs("uqff-blob-goes-on", "1 bytes follow the layer", blob(tail=b"x"))
    blobs("uqff-blob-mark-of-bias", "the mark of a bias is 2", blob(has_bias=b"\2"))
    blobs("uqff-blob-dtype-unknown", "codes have dtype 14", blob(code_dtype=14))
    blobs("uqff-blob-dtype-of-codes", "codes and scales have dtype F8_E4M3", blob(code_dtype=9))
    blobs("uqff-blob-too-many-dimensions", "codes have 9 dimensions", blob(code_dims=[1] * 9))
    blobs("uqff-blob-bytes-against-shape", "codes of dtype U8 and shape [2, 32] have 63 bytes", blob(code_bytes=63))
    blobs("uqff-blob-shapes", "codes of shape [32, 2] do not fit scales", blob(code_dims=(32, 2)))
    config = {"model_type": "gpt_oss", "hidden_size": 32, "intermediate_size": 32, "num_local_experts": 2}
    blobs("uqff-blob-against-config", "layer '0' of shape [2, 64] is neither", blob(), config)


if __name__ == "__main__":
    for path in HERE.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix in (".safetensors", ".gguf"):
            path.unlink()
    files()
    models()
    ggufs()
    uqffs()
    (HERE / "cases.json").write_text(json.dumps(CASES, indent=2) + "\n")
