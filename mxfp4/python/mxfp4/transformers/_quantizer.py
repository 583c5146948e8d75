"""How transformers loads and saves MXFP4 checkpoints with this package: a quantiser in its public registry."""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import transformers
from torch import nn
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightRenaming
from transformers.quantizers import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import get_module_from_name, should_convert_module

import mxfp4
from mxfp4._layer import checked_activation
from mxfp4.transformers._experts import PROJECTIONS, QuantizedExperts

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD = "mxfp4-cpu"


@register_quantization_config(METHOD)
class Mxfp4Config(transformers.Mxfp4Config):  # type: ignore[misc]
    """transformers' own, and how to compute: `activation` and `pack` of mxfp4.Experts.

    Of the same name, too: that is how transformers tells whether a config that a caller passes fits the model's.
    """

    def __init__(
        self,
        modules_to_not_convert: list[str] | None = None,
        dequantize: bool = False,
        activation: str = "exact",
        pack: bool = True,
        **ignored: Any,
    ) -> None:
        super().__init__(modules_to_not_convert, dequantize)
        self.quant_method = METHOD
        self.activation = checked_activation(activation)
        self.pack = pack

    def get_loading_attributes(self) -> dict[str, Any]:
        return {"dequantize": self.dequantize, "activation": self.activation, "pack": self.pack}

    def to_dict(self) -> dict[str, Any]:
        """What save_pretrained writes: a config that everybody reads as MXFP4."""
        return {"quant_method": "mxfp4", "modules_to_not_convert": self.modules_to_not_convert}


class _Quantize(ConversionOps):  # type: ignore[misc]
    """[E, K, N] of a dense checkpoint becomes blocks and scales of [E, N, K] in its module."""

    def convert(
        self,
        input_dict: dict[str, Any],
        model: Any = None,
        full_layer_name: str = "",
        missing_keys: Any = None,
        **ignored: Any,
    ) -> dict[str, torch.Tensor]:
        (value,) = input_dict.values()
        value = value[0] if isinstance(value, list) else value
        module, name = get_module_from_name(model, full_layer_name)
        delattr(module, name)
        module.set_weight(name, mxfp4.quantize(value.transpose(-1, -2)))
        if missing_keys is not None:
            missing_keys.discard(full_layer_name)
        return {}


class _Dequantize(ConversionOps):  # type: ignore[misc]
    """Blocks and scales of [E, N, K] become a dense [E, K, N] of the parameter's dtype, and what is dense stays so."""

    def __init__(self, quantizer: Quantizer) -> None:
        self.hf_quantizer = quantizer

    def convert(
        self, input_dict: dict[str, Any], model: Any = None, full_layer_name: str = "", **ignored: Any
    ) -> dict[str, torch.Tensor]:
        module, name = get_module_from_name(model, full_layer_name)
        parts = {key: part[0] if isinstance(part, list) else part for key, part in input_dict.items()}
        blocks, dtype = parts[f"{name}_blocks"], getattr(module, name).dtype
        if blocks.is_floating_point():  # see _Renaming
            return {full_layer_name: blocks.to(dtype)}
        return {full_layer_name: mxfp4.dequantize(blocks, parts[f"{name}_scales"], dtype=dtype, transpose=True)}


class _LoadOnly:
    """Names of files that are not to be written again: a model is saved under the names that it has."""

    def was_used(self) -> bool:
        return False


class _Converter(_LoadOnly, WeightConverter):  # type: ignore[misc]
    """Blocks and scales, by whose names a dense parameter is known."""


class _Renaming(_LoadOnly, WeightRenaming):  # type: ignore[misc]
    """Dense experts under the name of their blocks, which transformers gives them once it has expanded a checkpoint."""


@register_quantizer(METHOD)
class Quantizer(HfQuantizer):  # type: ignore[misc]
    """Puts QuantizedExperts in the place of gpt-oss's, whose weights stay in MXFP4, in the mapped files where that is possible."""

    requires_calibration = False
    quantization_config: Mxfp4Config

    def __init__(self, quantization_config: Any, **kwargs: Any) -> None:
        if not isinstance(quantization_config, Mxfp4Config):  # transformers' own, after enable()
            given = quantization_config
            quantization_config = Mxfp4Config(given.modules_to_not_convert, given.dequantize)
        super().__init__(quantization_config, **kwargs)

    def get_weight_conversions(self) -> list[Any]:
        if not self.pre_quantized:
            return [_Renaming(f"{name}_blocks", name) for name in PROJECTIONS]
        if not self.quantization_config.dequantize:
            return []
        return [_Converter([f"{name}_blocks", f"{name}_scales"], name, [_Dequantize(self)]) for name in PROJECTIONS]

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        places = kwargs.get("device_map")
        places = places.values() if isinstance(places, dict) else [places]
        elsewhere = [str(place) for place in places if place is not None and str(place) not in ("cpu", "auto")]
        if elsewhere:
            raise ValueError(f"mxfp4.transformers computes on the CPU, but device_map says '{elsewhere[0]}'")

    def update_device_map(self, device_map: Any) -> Any:
        return {"": "cpu"} if device_map == "auto" else device_map

    def _process_model_before_weight_loading(
        self, model: nn.Module, checkpoint_files: list[str] | None = None, **kwargs: Any
    ) -> nn.Module:
        kept = self.quantization_config.modules_to_not_convert
        stored = _tensors_in(checkpoint_files)
        self._files = stored if self.pre_quantized else None
        self._mapped: list[tuple[QuantizedExperts, str]] = []
        if self.quantization_config.dequantize:
            return model
        experts = None
        for name, module in list(model.named_modules()):
            if type(module).__name__ != "GptOssExperts" or not should_convert_module(name, kept):
                continue
            with torch.device("meta"):
                experts = QuantizedExperts(
                    module.num_experts,
                    module.hidden_size,
                    module.intermediate_size,
                    alpha=module.alpha,
                    beta=1.0,
                    limit=module.limit,
                    activation=self.quantization_config.activation,
                    pack=self.quantization_config.pack,
                    dtype=module.gate_up_proj_bias.dtype,
                )
            if self.pre_quantized:
                self._leave_in_files(model, name, experts)
            else:
                _expect_no_codes(stored or {})
                _expect_dense(experts, module)
            model.set_submodule(name, experts)
        if experts is None and not self.pre_quantized:
            raise ValueError(
                f"{type(model).__name__} has no experts of gpt-oss to quantise while it is loaded; load it as it is, and "
                "call mxfp4.transformers.quantize_model()"
            )
        return model

    def _leave_in_files(self, model: Any, name: str, experts: QuantizedExperts) -> None:
        """Takes the codes and scales off the list of what transformers loads, if the files can be mapped."""
        if self._files is None:
            return
        prefix = next((p for p in ("", f"{model.base_model_prefix}.") if f"{p}{name}.down_proj_blocks" in self._files), None)
        if prefix is None:
            return
        for projection in PROJECTIONS:
            for suffix in ("blocks", "scales"):
                delattr(experts, f"{projection}_{suffix}")
        self._mapped.append((experts, f"{prefix}{name}."))
        ignored = set(model._keys_to_ignore_on_load_unexpected or ())
        model._keys_to_ignore_on_load_unexpected = ignored | {r"\.experts\.(gate_up|down)_proj_(blocks|scales)$"}

    def _process_model_after_weight_loading(self, model: nn.Module, **kwargs: Any) -> nn.Module:
        for experts, prefix in self._mapped:
            assert self._files is not None
            maps = []
            for projection in PROJECTIONS:
                for suffix in ("blocks", "scales"):
                    name = f"{projection}_{suffix}"
                    array = self._files[prefix + name].map()
                    maps.append(array)
                    experts.register_parameter(name, nn.Parameter(torch.from_numpy(array), requires_grad=False))
            experts.ready()
            if experts.pack:
                for array in maps:
                    _give_back(array)
        for name, module in model.named_modules():
            if isinstance(module, QuantizedExperts) and module._layer is None:
                missing = [projection for projection in PROJECTIONS if hasattr(module, projection)]
                if missing:
                    raise ValueError(f"the checkpoint has no '{name}.{missing[0]}'; mxfp4.quantize_checkpoint() may read it")
                module.ready()
        return model

    def param_needs_quantization(self, model: Any, param_name: str, **kwargs: Any) -> bool:
        module, name = get_module_from_name(model, param_name)
        return not self.pre_quantized and isinstance(module, QuantizedExperts) and name in PROJECTIONS

    def get_quantize_ops(self) -> ConversionOps:
        return _Quantize()

    def is_serializable(self, *args: Any, **kwargs: Any) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True

    @property
    def is_compileable(self) -> bool:
        return True


def _expect_no_codes(stored: dict[str, _Stored]) -> None:
    for tensor in stored.values():
        if tensor.dtype == "U8" and tensor.name.endswith(tuple(f"{name}_blocks" for name in PROJECTIONS)):
            raise ValueError(f"{tensor.file}: '{tensor.name}' is quantised, but no config says so")


def _expect_dense(experts: QuantizedExperts, module: nn.Module) -> None:
    """Puts the dense parameters, which the checkpoint has, in the place of those that will be made of them."""
    for projection in PROJECTIONS:
        for suffix in ("blocks", "scales"):
            delattr(experts, f"{projection}_{suffix}")
        experts.register_parameter(projection, getattr(module, projection))


class _Stored(NamedTuple):
    """Where a tensor of bytes lies."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int

    def map(self) -> np.ndarray[Any, Any]:
        """Private and over the file: whoever writes to it writes to a copy of the page."""
        if self.dtype != "U8":
            raise ValueError(f"{self.file}: '{self.name}' is {self.dtype}, not U8")
        return np.memmap(self.file, np.uint8, "c", self.begin, self.shape)


def _tensors_in(files: list[str] | None) -> dict[str, _Stored] | None:
    """The tensors of safetensors files by name; None if there are other files, or none."""
    if not files or not all(str(file).endswith(".safetensors") for file in files):
        return None
    return {stored.name: stored for file in files for stored in _header(Path(file))}


def _header(file: Path) -> Iterator[_Stored]:
    with file.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        entries = json.loads(stream.read(size))
    entries.pop("__metadata__", None)
    for name, entry in entries.items():
        yield _Stored(name, file, entry["dtype"], tuple(entry["shape"]), 8 + size + entry["data_offsets"][0])


def _give_back(array: np.ndarray[Any, Any]) -> None:
    """Lets the pages go that reading has brought in; they are read again when they are asked for."""
    memory = getattr(array, "_mmap", None)
    if memory is not None:
        memory.madvise(mmap.MADV_DONTNEED)
