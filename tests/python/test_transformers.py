"""mxfp4.transformers: models whose Linear layers are replaced in place."""

import copy
import io
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mxfp4
import mxfp4.transformers
from mxfp4.transformers import QuantizedLinear, quantize_model


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up_proj, self.down_proj = torch.nn.Linear(64, 96), torch.nn.Linear(96, 64, bias=False)
        self.odd = torch.nn.Linear(64, 64)
        self.odd_inputs = torch.nn.Linear(40, 8)

    def forward(self, x):
        return self.down_proj(torch.nn.functional.silu(self.up_proj(x))) + self.odd(x)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(16, 64)
        self.layers = torch.nn.ModuleList(Block() for _ in range(2))
        self.lm_head = torch.nn.Linear(64, 16)

    def forward(self, ids):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(x)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return Model().eval()


IDS = [[1, 2, 3], [4, 5, 6]]
QUANTISED = [f"layers.{i}.{name}" for i in range(2) for name in ("up_proj", "down_proj", "odd")]


def dequantised(model):
    """The same model in plain torch, with the values that the 4-bit weights have."""
    plain = copy.deepcopy(model)
    for name, module in list(plain.named_modules()):
        if isinstance(module, QuantizedLinear):
            linear = torch.nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            linear.weight.data = module.tensor().torch()
            if module.bias is not None:
                linear.bias.data = module.bias.data
            parent, _, child = name.rpartition(".")
            setattr(plain.get_submodule(parent), child, linear)
    return plain


@pytest.mark.parametrize("pack", [True, False])
def test_layers_are_replaced_and_compute_what_their_values_do(pack: bool, model):
    ids = torch.tensor(IDS)
    before = model(ids)
    assert quantize_model(model, pack=pack) == QUANTISED
    assert [name for name, module in model.named_modules() if isinstance(module, QuantizedLinear)] == QUANTISED
    after = model(ids)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, dequantised(model)(ids), rtol=1e-4, atol=1e-4)


def test_what_is_to_be_skipped_is(model):
    assert quantize_model(model, skip=["layers.0", "re:.*odd"]) == ["layers.1.up_proj", "layers.1.down_proj"]
    with pytest.raises(ValueError, match="skip: 'nothing' matches no Linear layer"):
        quantize_model(model, skip="nothing")
    with pytest.warns(UserWarning, match="none of 7 Linear layers and experts was quantised"):
        assert quantize_model(model, skip="layers.*") == []


def test_a_layer_that_cannot_be_quantised_is_named(model):
    model.layers[1].odd.weight.data[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"'layers.1.odd': quantize: element \[3, 5\] is NaN"):
        quantize_model(model)


def test_a_layer_that_stands_in_two_places_stays_one():
    shared = torch.nn.Linear(64, 64)
    model = torch.nn.Sequential(shared, torch.nn.ReLU(), shared)
    assert quantize_model(model) == ["0", "2"]
    assert model[0] is model[2] and isinstance(model[0], QuantizedLinear)


def test_code_that_looks_at_a_layers_weight_finds_its_values():
    encoder = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True).eval()
    quantize_model(encoder)
    assert isinstance(encoder.linear1, QuantizedLinear) and "linear1.weight" not in encoder.state_dict()
    x = torch.randn(2, 3, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), dequantised(encoder)(x), rtol=1e-4, atol=1e-4)  # torch's fused kernel


def test_what_is_made_in_inference_mode_works_there_and_elsewhere(model):
    ids = torch.tensor(IDS)
    with torch.inference_mode():
        made = Model().eval()
        quantize_model(made)
        inside = made(ids)
    with torch.no_grad():
        assert torch.equal(made(ids), inside)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_goes_through_to_the_inputs(dtype, model):
    quantize_model(model)
    layer = model.layers[0].up_proj
    x = torch.randn(2, 3, 64, dtype=dtype, requires_grad=True)
    y = layer(x)
    y.backward(torch.ones_like(y))
    expected = torch.ones(2, 3, 96) @ layer.tensor().torch()
    torch.testing.assert_close(x.grad.float(), expected, rtol=2e-2 if dtype is torch.bfloat16 else 1e-5, atol=0.1 if dtype is torch.bfloat16 else 1e-5)
    assert x.grad.dtype == dtype
    large = QuantizedLinear(mxfp4.quantize(torch.randn(2100, 40)))  # more rows than are expanded at once, and a short block
    z = torch.randn(4, 40, requires_grad=True)
    large(z).square().sum().backward()
    w = large.tensor().torch()
    torch.testing.assert_close(z.grad, 2 * (z.detach() @ w.T) @ w, rtol=1e-3, atol=1e-2)


def test_training_what_stands_before_the_layers_works(model):
    quantize_model(model)
    assert not any(p.requires_grad for m in model.modules() if isinstance(m, QuantizedLinear) for p in m.parameters())
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    target, losses = torch.tensor([[2, 3, 4], [5, 6, 7]]), []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(IDS)).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_a_state_dict_brings_the_weights_over(model):
    quantize_model(model)
    ids = torch.tensor(IDS)
    other = Model().eval()
    quantize_model(other)
    other(ids)  # has made its layers
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    state = torch.load(stream, weights_only=True)
    assert state["layers.0.up_proj.codes"].dtype == torch.uint8
    other.load_state_dict(state)
    assert torch.equal(other(ids), model(ids))
    assert torch.equal(copy.deepcopy(model)(ids), model(ids))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_as_one_graph_the_model_is_the_same(backend: str, model):
    quantize_model(model)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    ids = torch.tensor(IDS)
    with torch.no_grad():
        assert torch.equal(compiled(ids), model(ids))
    gradients = []
    for each in (compiled, model):
        model.zero_grad()
        each(ids).square().sum().backward()
        gradients.append(model.embed_tokens.weight.grad.clone())
    assert gradients[0].any() and torch.equal(*gradients)


def test_inductor_takes_a_layer_for_an_operator():
    if shutil.which("g++") is None:
        pytest.skip("inductor compiles C++, and there is no g++")
    layer = QuantizedLinear(mxfp4.quantize(torch.randn(64, 32)), torch.randn(64))
    compiled = torch.compile(lambda x: layer(x * 2) + 1, fullgraph=True)
    x = torch.randn(3, 32, requires_grad=True)
    y = compiled(x)
    assert torch.equal(y, layer(x * 2) + 1)
    y.sum().backward()
    torch.testing.assert_close(x.grad, 2 * layer.tensor().torch().sum(0).expand(3, 32), rtol=1e-5, atol=1e-4)


def test_the_operator_is_what_torch_asks_of_one():
    layer = QuantizedLinear(mxfp4.quantize(torch.randn(64, 40)))
    torch.library.opcheck(torch.ops.mxfp4.linear.default, (torch.randn(2, 3, 40, requires_grad=True), layer._number))


def test_another_dtype_of_the_model_is_that_of_its_outputs(model):
    quantize_model(model)
    assert model.to(torch.bfloat16)(torch.tensor(IDS)).dtype == torch.bfloat16
    assert repr(model.layers[0].odd) == "QuantizedLinear(in_features=64, out_features=64, bias=True, mxfp4)"
