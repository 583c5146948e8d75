"""Models with quantised layers in training and under torch.compile: gradients, adapters, and the same numbers."""

from pathlib import Path

import pytest

import mxfp4

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

import mxfp4.transformers as drop_in  # noqa: E402

TINY = Path(__file__).parent.parent / "data/models/tiny-gpt-oss"


@pytest.fixture(scope="module")
def ids():
    return mxfp4.open(TINY / "logits.safetensors", framework="torch")["plain.input_ids"].long()


@pytest.fixture(scope="module")
def model():
    return drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)


def distance(y, expected) -> float:
    return float((y.double() - expected.double()).norm() / expected.double().norm())


@pytest.fixture(scope="module")
def expanded():
    """The same weights in plain modules."""
    config = transformers.AutoConfig.from_pretrained(TINY / "hf-mxfp4")
    del config.quantization_config
    return transformers.GptOssForCausalLM.from_pretrained(TINY / "bf16", config=config, dtype=torch.float32)


def test_gradients_reach_inputs_and_routing_weights(model, expanded):
    ours, theirs = model.model.layers[1].mlp.experts, expanded.model.layers[1].mlp.experts
    generator = torch.Generator().manual_seed(1)
    ids = torch.stack([torch.randperm(6, generator=generator)[:4] for _ in range(7)])
    grads = []
    for experts in (ours, theirs):
        x = torch.randn(7, 64, generator=generator.manual_seed(2), requires_grad=True)
        weights = torch.rand(7, 4, generator=generator.manual_seed(3)).requires_grad_()
        (experts(x, ids, weights) * torch.randn(7, 64, generator=generator.manual_seed(4))).sum().backward()
        grads.append((x.grad, weights.grad))
    for mine, reference in zip(*grads, strict=True):
        assert distance(mine, reference) < 1e-5


@pytest.mark.parametrize("interleaved", [True, False])
def test_gradients_are_those_of_the_unit(interleaved: bool):
    """As autograd finds them in f64: with values beyond the limits, any constants, with biases and without."""
    torch.manual_seed(1)
    for bias in (True, False):
        experts = drop_in.QuantizedExperts(
            2, 32, 32, alpha=1.5, beta=0.5, limit=1.0, interleaved=interleaved, bias=bias, dtype=torch.float32
        )
        experts.set_weight("gate_up_proj", mxfp4.quantize(torch.randn(2, 64, 32) / 4))
        experts.set_weight("down_proj", mxfp4.quantize(torch.randn(2, 32, 32)))
        if bias:
            torch.nn.init.normal_(experts.gate_up_proj_bias), torch.nn.init.normal_(experts.down_proj_bias)
        x, weights = torch.randn(5, 32, requires_grad=True), torch.rand(5, 2, requires_grad=True)
        ids = torch.tensor([[0, 1], [1, 0], [0, 1], [1, -1], [0, 1]])
        y = experts(x, ids, weights)
        grad = torch.randn_like(y)
        y.backward(grad)

        def plain(x, weights):
            total = 0
            for e in range(2):
                both = x @ experts.tensor("gate_up_proj", e).torch().double().T
                if bias:
                    both = both + experts.gate_up_proj_bias[e]
                gate, up = (both[:, ::2], both[:, 1::2]) if interleaved else both.chunk(2, -1)
                gate, up = gate.clamp(max=1), up.clamp(-1, 1)
                assert (gate == 1).any() and (up.abs() == 1).any()
                out = (gate * torch.sigmoid(1.5 * gate) * (up + 0.5)) @ experts.tensor("down_proj", e).torch().double().T
                out = out + experts.down_proj_bias[e] if bias else out
                total = total + out * (weights * (ids == e)).sum(-1, keepdim=True)
            return total

        wanted = x.detach().double().requires_grad_(), weights.detach().double().requires_grad_()
        truth = torch.autograd.grad(plain(*wanted), wanted, grad.double())
        assert distance(x.grad, truth[0]) < 1e-5 and distance(weights.grad, truth[1]) < 1e-5


def test_attention_can_be_trained_beside_frozen_experts(expanded, ids):
    model = drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)
    grads = []
    for each in (model, expanded):
        each.zero_grad()
        each(input_ids=ids, labels=ids).loss.backward()
        grads.append(each.model.layers[0].self_attn.q_proj.weight.grad)
    assert distance(*grads) < 1e-4


def test_compiled_it_is_the_same(model):
    layer = model.model.layers[0].mlp.experts
    x, ids, weights = torch.randn(5, 64), torch.tensor([[0, 2]] * 5), torch.rand(5, 2)
    compiled = torch.compile(lambda *args: layer(*args) * 2, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(x, ids, weights), layer(x, ids, weights) * 2)
    grads = []
    for call in (compiled, lambda *args: layer(*args) * 2):
        wanted = x.clone().requires_grad_(), weights.clone().requires_grad_()
        grads.append(torch.autograd.grad(call(wanted[0], ids, wanted[1]).square().sum(), wanted))
    assert all(map(torch.equal, *grads))
    torch.library.opcheck(torch.ops.mxfp4.experts.default, (wanted[0], ids, wanted[1], layer._number))


def test_a_whole_model_compiles_as_one_graph(model, ids):
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        assert torch.equal(compiled(input_ids=ids, use_cache=False).logits, model(input_ids=ids, use_cache=False).logits)


def lora(model, **options):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    return peft.get_peft_model(model, peft.LoraConfig(r=4, task_type="CAUSAL_LM", **options))


def test_adapters_on_attention_learn_through_the_experts(ids):
    model = lora(drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32), target_modules=["q_proj", "v_proj"])
    adapters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert adapters and all("lora_" in name for name in adapters)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, losses = torch.optim.Adam(adapters.values(), 1e-2), []
    for _ in range(8):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(adapters)  # those of the first layer, too, whose gradients come through all experts


def test_adapters_on_what_is_quantised_are_refused_by_name():
    model = drop_in.from_pretrained(TINY / "hf-mxfp4", dtype=torch.float32)
    with pytest.raises(ValueError, match=r"QuantizedExperts\(.*is not supported"):
        lora(model, target_modules=["experts"])
    with pytest.warns(RuntimeWarning, match="no parameter was matched"):
        lora(model, target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj"])
    layers = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(32, 32))
    drop_in.quantize_model(layers)
    with pytest.raises(ValueError, match=r"QuantizedLinear\(.*is not supported"):
        lora(layers, target_modules=["0"])
