"""Models of torch and transformers with their weights in MXFP4, computed on the CPU.

    model = mxfp4.transformers.from_pretrained("openai/gpt-oss-20b")

loads a checkpoint as AutoModelForCausalLM.from_pretrained() does, but expands nothing: the experts stay in MXFP4. After

    mxfp4.transformers.enable()

every plain load of an MXFP4 checkpoint is such a load, in other people's code and in pipeline(), too; disable() undoes it.

    mxfp4.transformers.quantize_model(model)

quantises a model in memory, in place: Linear layers and the experts of mixtures. `python -m mxfp4.transformers serve PATH`
is transformers' own server with such a model. Imports torch; what loads checkpoints is there if transformers is.
"""

import importlib.util

from mxfp4.transformers._experts import QuantizedExperts
from mxfp4.transformers._linear import QuantizedLinear
from mxfp4.transformers._quantize_model import quantize_model
from mxfp4.transformers._sharded import ShardedExperts, shard_experts

__all__ = ["QuantizedExperts", "QuantizedLinear", "ShardedExperts", "quantize_model", "shard_experts"]

if importlib.util.find_spec("transformers") is not None:
    from mxfp4.transformers._loading import disable, enable, from_pretrained
    from mxfp4.transformers._quantizer import Mxfp4Config

    __all__ += ["Mxfp4Config", "disable", "enable", "from_pretrained"]
