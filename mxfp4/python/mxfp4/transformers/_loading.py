"""Checkpoints in transformers whose experts stay in MXFP4."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import transformers
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING

from mxfp4.transformers._quantizer import METHOD, Mxfp4Config, Quantizer

if TYPE_CHECKING:
    from os import PathLike

_replaced: dict[str, Any] = {}

# Where a model's files are: its config and its weights are to come from the same place.
PLACE = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token", "trust_remote_code")
OF_THE_MODEL = ("dtype", "torch_dtype", "quantization_config", "attn_implementation", "experts_implementation")


def from_pretrained(
    path: str | PathLike[str],
    *model_args: Any,
    quantize: bool = False,
    dequantize: bool = False,
    activation: str = "exact",
    pack: bool = True,
    model_class: Any = None,
    config: Any = None,
    **kwargs: Any,
) -> Any:
    """A model of a checkpoint whose experts are in MXFP4, or with `quantize` of a BF16 one's, as they are loaded.

    path
        A directory, or a name on the Hub. A BF16 gpt-oss may be one that transformers has saved after expanding it: its
        dense experts stand under the names of codes, and transformers itself cannot read them.
    dequantize
        Give plain modules after all: experts are expanded to the model's dtype, one layer after the other.
    activation
        How inputs enter the experts: "exact", "int8" (faster), "mxfp8"; see mxfp4.Linear.
    pack
        Copy the weights into the order that the kernels read fastest. Without it they are used in the mapped files.
    model_class
        By default transformers.AutoModelForCausalLM.
    kwargs
        As for from_pretrained() there.

    save_pretrained() of the model writes the names and bytes of an MXFP4 checkpoint, those that were read if they were; with
    `dequantize` those of a plain one.
    Raises ValueError for a checkpoint that is not quantised (and without `quantize` or `dequantize`), is already (with
    `quantize`), or otherwise than in MXFP4.
    """
    config = copy.deepcopy(config) if isinstance(config, transformers.PreTrainedConfig) else _config_of(config or path, kwargs)
    model_class = model_class or transformers.AutoModelForCausalLM
    given = _quantization_of(config)
    _check(path, given, quantize, dequantize)
    if quantize:
        how = Mxfp4Config(activation=activation, pack=pack)
        return model_class.from_pretrained(path, *model_args, config=config, quantization_config=how, **kwargs)
    own = {"quant_method": METHOD, "activation": activation, "pack": pack, "dequantize": dequantize}
    config.quantization_config = {**(given or {}), **own}
    return model_class.from_pretrained(path, *model_args, config=config, **kwargs)


def _quantization_of(config: Any) -> dict[str, Any] | None:
    """What a config says of its model's quantisation; None if that is not quantised."""
    given = getattr(config, "quantization_config", None)
    return given if given is None or isinstance(given, dict) else given.to_dict()


def _check(path: str | PathLike[str], given: dict[str, Any] | None, quantize: bool, dequantize: bool) -> None:
    if quantize and dequantize:
        raise ValueError("quantize and dequantize exclude each other")
    if given is None:
        if not (quantize or dequantize):
            raise ValueError(f"{path}: the model is not quantised; quantize=True quantises its experts while it is loaded")
        return
    method = given.get("quant_method", "by an unnamed method")
    method = getattr(method, "value", method)
    if quantize or method not in ("mxfp4", METHOD):
        takes = "quantize=True takes what is not" if quantize else "MXFP4 is read"
        raise ValueError(f"{path}: the model is quantised: {method}; {takes}")


def _config_of(path: str | PathLike[str], kwargs: dict[str, Any]) -> Any:
    """The config at `path`; what kwargs say of its settings is moved there, as transformers does."""
    config = transformers.AutoConfig.from_pretrained(path, **{name: kwargs[name] for name in PLACE if name in kwargs})
    for name in [name for name in kwargs if name not in (*PLACE, *OF_THE_MODEL) and hasattr(config, name)]:
        setattr(config, name, kwargs.pop(name))
    return config


def enable() -> None:
    """Makes every load of an MXFP4 checkpoint by transformers use this package, until disable().

    Swaps the two entries "mxfp4" in transformers' registries of quantisers, and touches nothing else.
    """
    if _replaced:
        return
    _replaced.update(config=AUTO_QUANTIZATION_CONFIG_MAPPING["mxfp4"], quantizer=AUTO_QUANTIZER_MAPPING["mxfp4"])
    AUTO_QUANTIZATION_CONFIG_MAPPING["mxfp4"] = Mxfp4Config
    AUTO_QUANTIZER_MAPPING["mxfp4"] = Quantizer


def disable() -> None:
    """Undoes enable(). Models that are loaded stay as they are."""
    if not _replaced:
        return
    AUTO_QUANTIZATION_CONFIG_MAPPING["mxfp4"] = _replaced.pop("config")
    AUTO_QUANTIZER_MAPPING["mxfp4"] = _replaced.pop("quantizer")
