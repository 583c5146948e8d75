"""Codes and scales of every convention, read from the descriptions in docs/formats.md and without the tool's code."""

import re

import numpy as np

from checkpoints import Model

EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(gate|up|down)_proj\.(weight|bias)$")
OPENAI = {
    "embedding.weight": "model.embed_tokens.weight", "norm.scale": "model.norm.weight", "unembedding.weight": "lm_head.weight",
    "attn.norm.scale": "input_layernorm.weight", "attn.out.weight": "self_attn.o_proj.weight", "attn.out.bias": "self_attn.o_proj.bias",
    "attn.sinks": "self_attn.sinks", "mlp.norm.scale": "post_attention_layernorm.weight", "mlp.gate.weight": "mlp.router.weight",
    "mlp.gate.bias": "mlp.router.bias", "mlp.mlp1_weight": "mlp.experts.gate_up_proj", "mlp.mlp2_weight": "mlp.experts.down_proj",
    "mlp.mlp1_bias": "mlp.experts.gate_up_proj_bias", "mlp.mlp2_bias": "mlp.experts.down_proj_bias",
}  # fmt: skip
SUFFIXES = {
    "gpt-oss": ("_blocks", "_scales"), "openai": (".blocks", ".scales"), "linear": (".blocks", ".scales"),
    "compressed-tensors": (".weight_packed", ".weight_scale"), "quark": (".weight", ".weight_scale"),
    "modelopt": (".weight", ".weight_scale"), "mlx": (".weight", ".scales"), "deepseek-v4": (".weight", ".scale"),
    "native": (".weight", ".weight_scale"),
}  # fmt: skip
DEEPSEEK = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


def pair(codes, scales):
    """One block per row of the last dimension but one: scale byte, then 16 bytes of codes."""
    scales = np.ascontiguousarray(scales).view(np.uint8)
    codes = np.ascontiguousarray(codes).view(np.ndarray).view(np.uint8).reshape(*scales.shape, 16)
    return np.concatenate([scales[..., None], codes], axis=-1)


def stored(model: Model, convention: str) -> dict[str, np.ndarray]:
    """Quantised weights as blocks [..., N, K/32, 17], all others as they are, by the names of dense weights."""
    codes_end, scales_end = SUFFIXES[convention]
    found = {}
    for name, tensor in model.tensors.items():
        module = name.removesuffix(codes_end)
        if name.endswith(codes_end) and module + scales_end in model.tensors and (scales := model[module + scales_end]).dtype.itemsize == 1:
            if convention == "deepseek-v4" and ".experts." not in name:
                continue  # FP8
            stacked = scales.ndim == 3
            bare = convention in ("gpt-oss", "openai") or stacked
            found[module if bare else module + ".weight"] = pair(tensor, scales)
        elif not (name.endswith(scales_end) and name.removesuffix(scales_end) + codes_end in model.tensors):
            if tensor.ndim == 2 and re.search(r"\.experts\.\w+_proj\.bias$", name):
                name = name.removesuffix(".bias") + "_bias"
            found[name] = tensor
    return found


def pieces(path, convention: str, gpt_oss=True) -> dict[str, np.ndarray]:
    """A model's weights with experts one by one and gate and up apart, under transformers' names."""
    found = {}
    for name, tensor in stored(Model(path), convention).items():
        if convention == "openai":
            name = openai_name(name)
        if convention == "deepseek-v4":
            name = re.sub(r"(\.experts\.\d+)\.(w\d)\.", lambda m: f"{m[1]}.{DEEPSEEK[m[2]]}.", name)
        name = name.replace(".switch_mlp.", ".experts.")
        if ".qkv_proj." in name:
            hidden = Model(path).config["num_attention_heads"] * Model(path).config["head_dim"]
            parts = np.split(tensor, [hidden, (tensor.shape[0] + hidden) // 2])
            found.update({name.replace("qkv", part): rows for part, rows in zip("qkv", parts, strict=True)})
        elif match := re.fullmatch(r"(.*\.experts)\.(gate_up|gate|up|down)_proj(_bias)?", name):
            prefix, part, kind = match[1], match[2], "bias" if match[3] else "weight"
            for expert, rows in enumerate(tensor):
                if part == "gate_up":
                    half = len(rows) // 2
                    gate, up = (rows[0::2], rows[1::2]) if gpt_oss else (rows[:half], rows[half:])
                    found[f"{prefix}.{expert}.gate_proj.{kind}"] = gate
                    found[f"{prefix}.{expert}.up_proj.{kind}"] = up
                else:
                    found[f"{prefix}.{expert}.{part}_proj.{kind}"] = rows
        else:
            found[name] = tensor
    return found


def openai_name(name: str) -> str:
    layer = re.match(r"block\.(\d+)\.(.*)", name)
    rest = layer[2] if layer else name
    rest = rest.replace("attn.qkv.", "self_attn.qkv_proj.") if "qkv" in rest else OPENAI[rest]
    return f"model.layers.{layer[1]}.{rest}" if layer else rest
