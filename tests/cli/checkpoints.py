"""Checkpoints read and written without the tool's code."""

import json
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import safe_open

DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
    "U32": np.uint32, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}  # fmt: skip
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class Codes(np.ndarray):
    """Bytes of an F4 tensor: two elements each."""


def read_safetensors(path) -> dict[str, np.ndarray]:
    """Every tensor of a file. The safetensors package must find the same names and shapes."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "F4":
            *rows, columns = entry["shape"]
            tensors[name] = np.frombuffer(data[begin:end], np.uint8).reshape(*rows, columns // 2).view(Codes)
        else:
            tensors[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    with safe_open(path, framework="np") as other:
        assert set(other.keys()) == set(tensors)
        for name, tensor in tensors.items():
            assert tuple(other.get_slice(name).get_shape()) == tuple(header[name]["shape"])
    return tensors


def metadata_of(path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        return file.metadata() or {}


def write_safetensors(path, tensors, metadata=None):
    """Writes arrays as they come, without the safetensors package: it knows no BF16 arrays."""
    header = {"__metadata__": metadata} if metadata is not None else {}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": NAMES[tensor.dtype], "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }  # fmt: skip
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())


class Model:
    """A model directory, read whole. With an index, exactly its files count and it must be right about every name."""

    def __init__(self, path):
        self.path = Path(path)
        self.files = sorted(p.name for p in self.path.iterdir())
        config = self.path / "config.json"
        self.config = json.loads(config.read_text()) if config.exists() else {}
        shards = sorted(self.path.glob("*.safetensors"))
        self.tensors = {}
        index = self.path / "model.safetensors.index.json"
        weight_map = {}
        for shard in shards:
            for name, tensor in read_safetensors(shard).items():
                assert name not in self.tensors, f"{name} stands twice"
                self.tensors[name] = tensor
                weight_map[name] = shard.name
        if index.exists():
            content = json.loads(index.read_text())
            assert content["weight_map"] == weight_map
            assert content["metadata"]["total_size"] == sum(tensor.nbytes for tensor in self.tensors.values())
        else:
            assert [shard.name for shard in shards] == ["model.safetensors"]

    def __getitem__(self, name):
        return self.tensors[name]


def same_bytes(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def tree_bytes(path) -> dict[str, bytes]:
    """Every file below a directory, or a file alone."""
    path = Path(path)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {str(p.relative_to(path.parent if path.is_file() else path)): p.read_bytes() for p in files}
