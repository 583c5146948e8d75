"""What torchrun runs on three ranks: ranks.py MODEL. Ranks 0 and 1 are a group as well, and so is rank 2 alone."""

import json
import sys

import torch
import torch.distributed as dist

import mxfp4
import mxfp4.transformers as drop_in

torch.set_num_threads(1)
dist.init_process_group("gloo")
pair, alone = dist.new_group([0, 1]), dist.new_group([2])
rank = dist.get_rank()
golden = mxfp4.open(f"{sys.argv[1]}/logits.safetensors", framework="torch")
expected = golden["generate.0.tokens"].long().tolist()


def tokens(group, by):
    model = drop_in.from_pretrained(f"{sys.argv[1]}/hf-mxfp4", dtype=torch.float32, pack=False)
    drop_in.shard_experts(model, by, group=group)
    prompt = golden["generate.0.prompt"].long()[None]
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=len(expected), do_sample=False)
    return model, out[0, prompt.shape[1] :].tolist()


def refused(action):
    try:
        action()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return None


said = {"rank": rank, "transformers": expected}
for by in ("experts", "channels"):
    model, said[f"3 {by}"] = tokens(None, by)
    said[f"{'2' if rank < 2 else '1'} {by}"] = tokens(pair if rank < 2 else alone, by)[1]
    said[f"{by} held"] = [
        (m.local.num_experts, m.local.intermediate_size) for m in model.modules() if isinstance(m, drop_in.ShardedExperts)
    ][0]
said["saved"] = refused(model.state_dict)
said["trained"] = refused(lambda: model(torch.tensor([[1, 2]])).logits.sum().backward())
said["twice"] = refused(lambda: drop_in.shard_experts(model))
narrow = torch.nn.ModuleDict({"experts": drop_in.QuantizedExperts(2, 32, 64, alpha=1, beta=0, limit=1)})
for by in ("experts", "channels"):
    said[f"narrow {by}"] = refused(lambda: drop_in.shard_experts(narrow, by))
said["by"] = refused(lambda: drop_in.shard_experts(model, "layers"))
for turn in range(3):
    dist.barrier()
    if turn == rank:
        print(json.dumps(said), flush=True)
dist.barrier()
dist.destroy_process_group()
