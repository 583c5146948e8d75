"""report: a page that holds what numpy counts, stands alone, and lets no name of a tensor become markup."""

import re
import resource
import shutil
import signal
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import reference
from checkpoints import Model, read_safetensors, tree_bytes

RNG = np.random.default_rng(11)
RULES = [*reference.THRESHOLDS, "optimal"]
HOSTILE = '</title><script>alert("x")</script>\'<img src=x onerror=alert(1)>&amp;\x1b\u202e.0.up'


def counts(codes, scales):
    """What a report says of codes and scales without an original."""
    nibbles = np.stack([codes & 15, codes >> 4], -1).reshape(-1, 32)
    return {
        "elements": nibbles.size, "blocks": len(nibbles), "saturated": (nibbles % 8 == 7).sum(), "zeros": (nibbles % 8 == 0).sum(),
        "zero_blocks": (nibbles % 8 == 0).all(1).sum(), "nan_blocks": (scales == 255).sum(),
    }  # fmt: skip


def holds(entry, expected):
    assert {key: entry[key] for key in expected} == expected


def weights_of(model):
    """(name, codes, scales) of what compressed-tensors has packed."""
    for name, codes in model.tensors.items():
        if name.endswith("_packed"):
            yield name.removesuffix("_packed"), codes, model[name.replace("_packed", "_scale")]


def page_of(path):
    """A page, read by a parser that forgives nothing."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    text = re.sub(r"<(meta [^>]*)>", r"<\1/>", text.partition("\n")[2])  # the one kind of element that is not closed
    return text, ElementTree.fromstring(text)


def limit_files():
    """No file may grow beyond 1000 bytes: what a full disk is to a page."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.fixture
def quantized(mxfp4, bare, tmp_path):
    """A bare original and what a rule makes of it."""

    def make(tensors, *arguments):
        mxfp4("quantize", bare(tensors), tmp_path / "q.safetensors", *arguments)
        return tmp_path / "in.safetensors", tmp_path / "q.safetensors"

    return make


def test_numbers_are_those_of_numpy(mxfp4, golden):
    original, model = (Model(golden / "tiny-llama" / name) for name in ("bf16", "compressed-tensors"))
    report = mxfp4.json("report", model.path, "--against", original.path)
    assert report["convention"] == "compressed-tensors" and report["problems"] == []
    found = {tensor["name"]: tensor for tensor in report["tensors"]}
    total, noise, signal = {}, 0, 0
    for name, codes, scales in weights_of(model):
        tensor, x = found.pop(name), original[name].astype(np.float64)
        y = reference.dequantize(codes, scales)
        holds(tensor, {**counts(codes, scales), "shape": list(x.shape)})
        assert tensor["scales"] == {str(byte): n for byte, n in zip(*np.unique(scales, return_counts=True))}
        assert tensor["sqnr_db"] == pytest.approx(reference.sqnr_db(x, y), abs=1e-6)
        assert tensor["max_error"] == np.abs(x - y).max()
        assert tensor["sample"]["elements"] == x.size  # small weights are tried whole
        assert tensor["sample"]["sqnr_db"] == pytest.approx(tensor["sqnr_db"], abs=1e-9)
        for rule in RULES:
            by_rule = reference.sqnr_db(x, reference.dequantize(*reference.quantize(x, rule)))
            assert tensor["sample"]["sqnr_db_by_rule"][rule] == pytest.approx(by_rule, abs=1e-6), (name, rule)
        for key, value in counts(codes, scales).items():
            total[key] = total.get(key, 0) + value
        noise, signal = noise + ((x - y) ** 2).sum(), signal + (x**2).sum()
    assert found == {}
    holds(report["totals"], total)
    assert report["totals"]["sqnr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=1e-6)
    assert sum(report["totals"]["codes"]) == total["elements"]
    assert report["totals"]["codes"][7] + report["totals"]["codes"][15] == total["saturated"]


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_of_a_model_is_recognised(mxfp4, quantized, rule):
    original, model = quantized({"w": RNG.standard_normal((256, 128)).astype(np.float32)}, "--scale", rule)
    report = mxfp4.json("report", model, "--against", original)
    assert report["made_by"] == rule
    by_rule = {entry["rule"]: entry for entry in report["rules"]}
    assert list(by_rule) == sorted(by_rule, key=lambda name: -by_rule[name]["sqnr_db"]["median"])
    assert by_rule[rule]["same_blocks"] == report["sample"]["blocks"] == 256 * 4
    assert by_rule[rule]["sqnr_db"]["median"] == pytest.approx(report["sqnr_db"]["median"], abs=1e-9)
    lossy = rule in ("ceil", "floor6")  # what another rule would better by a decibel
    assert report["verdict"]["grade"] == ("fair" if lossy else "good")
    assert report["gaining"]["tensors"] == lossy
    if lossy:
        assert "optimal" in report["verdict"]["text"]
        alone = mxfp4.json("report", model)["verdict"]
        assert alone["grade"] == "fair" and ("too large" if rule == "ceil" else "too small") in alone["text"]


def test_layers_take_their_experts_together(mxfp4, golden, tmp_path):
    model = golden / "tiny-gpt-oss/hf-mxfp4"
    mxfp4("quantize", golden / "tiny-gpt-oss/bf16", tmp_path / "listed", "--format", "compressed-tensors")
    for path, kinds in ((model, ("gate_up_proj", "down_proj")), (tmp_path / "listed", ("*.gate_proj", "*.up_proj", "*.down_proj"))):
        report = mxfp4.json("report", path, "--against", golden / "tiny-gpt-oss/bf16")
        cells = {(cell["kind"], cell["layer"]): cell for cell in report["layers"]}
        assert cells.keys() == {(f"model.layers.*.mlp.experts.{kind}", layer) for kind in kinds for layer in range(3)}
        for key in ("elements", "blocks", "saturated", "zeros", "zero_blocks", "tensors"):
            assert sum(cell[key] for cell in cells.values()) == report["totals"][key]
        assert {cell["tensors"] for cell in cells.values()} == {1 if path == model else 6}


def test_parts_of_a_stacked_weight_are_compared_as_one(mxfp4, golden, tmp_path):
    """The original lists experts one by one, the model stacks them."""
    mxfp4("quantize", golden / "tiny-gpt-oss/bf16", tmp_path / "listed", "--format", "compressed-tensors")
    report = mxfp4.json("report", golden / "tiny-gpt-oss/hf-mxfp4", "--against", tmp_path / "listed")
    assert len(report["tensors"]) == 6
    assert all(t["sample"]["elements"] == t["elements"] and "sqnr_db" in t for t in report["tensors"])


def test_a_page_stands_alone(mxfp4, golden, tmp_path):
    page = tmp_path / "report.html"
    for arguments in (["--against", golden / "tiny-llama/bf16"], []):
        mxfp4("report", golden / "tiny-llama/compressed-tensors", *arguments, "-o", page, "--overwrite")
        text, tree = page_of(page)
        assert re.findall(r"(?:https?:)?//\w[^\s\"'<]*", re.sub(r"http://www\.w3\.org/2000/svg", "", text)) == []
        assert not re.search(r"@import|url\(|<script|<link|<iframe|<img|<object|\son\w+=|\bsrc=|\bhref=", text)
        assert {element.tag for element in tree.iter()} >= {"h1", "svg", "table", "details"}
        for svg in tree.iter("svg"):
            assert svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-label"))
        assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
        for words in ("Error by layer and kind", "What each scale rule would give", "The worst weights"):
            assert (words in text) == bool(arguments)
        assert "self_attn.q_proj" in text


def test_names_do_not_become_markup(mxfp4, quantized, tmp_path):
    original, model = quantized({HOSTILE + ".weight": RNG.standard_normal((8, 64)).astype(np.float32)})
    folder = tmp_path / '<b onclick="x">&'
    folder.mkdir()
    shutil.move(model, folder / model.name)
    mxfp4("report", folder / model.name, "--against", original, "-o", folder / "r.html")
    text, tree = page_of(folder / "r.html")
    assert {element.tag for element in tree.iter()}.isdisjoint({"script", "img", "b"})
    assert "\x1b" not in text and "\u202e" not in text
    shown = HOSTILE.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd") + ".weight"
    assert any(cell.text == shown for cell in tree.iter("td"))
    assert not any(attribute.startswith("on") for element in tree.iter() for attribute in element.attrib)
    mxfp4.json("report", folder / model.name)


def test_the_bytes_do_not_depend_on_threads(mxfp4, quantized, tmp_path):
    # Larger than a sample, so that there is one.
    original, model = quantized({"w": RNG.standard_normal((2100, 512)).astype(np.float32), "v": RNG.standard_normal((64, 64)).astype(np.float32)})
    pages, texts = set(), set()
    for threads, isa in ((1, None), (2, "scalar"), (7, None)):
        out = tmp_path / f"{threads}.html"
        env = {"MXFP4_ISA": isa} if isa else {}
        texts.add(mxfp4("report", model, "--against", original, "--json", "-o", out, "--threads", threads, env=env).out)
        pages.add(out.read_bytes())
    assert len(pages) == len(texts) == 1
    report = mxfp4.json("report", model, "--against", original)
    assert report["sample"]["elements"] < report["totals"]["elements"]
    assert f"Tried on {report['sample']['elements']:,} of {report['totals']['elements']:,} elements" in pages.pop().decode()


def test_what_verify_finds_makes_a_model_bad(mxfp4, golden, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(golden / "tiny-llama/compressed-tensors", path)
    file = next(path.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    scales = next(name for name in read_safetensors(file) if name.endswith("_scale"))
    begin = data.find(read_safetensors(file)[scales].tobytes())
    data[begin] = 255
    file.write_bytes(data)
    report = mxfp4.json("report", path, "--against", golden / "tiny-llama/bf16", "-o", tmp_path / "r.html")
    assert report["verdict"]["grade"] == "bad" and report["totals"]["nan_blocks"] == 1
    assert report["problems"] == mxfp4.json("verify", path, "--against", golden / "tiny-llama/bf16", status=1)["problems"]
    assert "scale-255" in (tmp_path / "r.html").read_text()


def test_scales_far_from_all_others_do_not_press_them_together(mxfp4, quantized, tmp_path):
    x = np.ones((8, 64), np.float32)
    x[0] = np.nan
    x[1:3] = 0
    _, model = quantized({"a.weight": x}, "--nonfinite", "nan_block")
    mxfp4("report", model, "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "Not drawn: 4 blocks with byte 0 (2^-127)" in page and "Not drawn: 2 blocks with byte 255 (NaN)" in page
    assert len(re.findall("<title>byte ", page)) == 1


def test_many_layers_are_drawn_without_gaps_that_would_cover_them(mxfp4, quantized, tmp_path):
    for layers, dense in (40, False), (41, True):
        original, model = quantized({f"layers.{i}.up.weight": RNG.standard_normal((1, 32)).astype(np.float32) for i in range(layers)}, "--overwrite")
        mxfp4("report", model, "--against", original, "-o", tmp_path / "r.html", "--overwrite")
        assert ('class="strip dense"' in (tmp_path / "r.html").read_text()) == dense


def test_a_model_that_lost_nothing(mxfp4, golden):
    report = mxfp4.json("report", golden / "tiny-gpt-oss/hf-mxfp4", "--against", golden / "tiny-gpt-oss/bf16")
    assert report["verdict"] == {"grade": "good", "text": "Every weight has exactly the original's values."}
    assert report["totals"]["sqnr_db"] is None and report["totals"]["max_error"] == 0


def test_json_alone_writes_no_file(mxfp4, tiny_mxfp4, tmp_path):
    mxfp4.json("report", tiny_mxfp4, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
    mxfp4("report", tiny_mxfp4, cwd=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_exists_is_not_touched(mxfp4, tiny_mxfp4, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("mine")
    assert str(page) in mxfp4("report", tiny_mxfp4, "-o", page, status=2).err
    assert page.read_text() == "mine"
    mxfp4("report", tiny_mxfp4, "-o", page, "--overwrite")
    assert page_of(page) and list(tmp_path.iterdir()) == [page]


def test_a_page_is_written_whole_or_not_at_all(mxfp4, tiny_mxfp4, tiny, tmp_path):
    shutil.copytree(tiny_mxfp4, tmp_path / "model")
    (tmp_path / "model/page.html").mkdir()
    before = tree_bytes(tmp_path)
    for arguments in ([tmp_path / "model", "-o", tmp_path / "model/model.safetensors", "--overwrite"], [tmp_path / "model", "-o", tmp_path / "no/r.html"],
                      [tmp_path / "model", "-o", tmp_path / "model/page.html", "--overwrite"], [tiny, "-o", tmp_path / "r.html"]):  # fmt: skip
        error = mxfp4("report", *arguments, "--json", status=2).json["error"]
        assert error["code"] == "invalid_argument"
    mxfp4("report", tmp_path / "none", "-o", tmp_path / "r.html", status=3)
    mxfp4("report", tmp_path / "model", "-o", tmp_path / "r.html", status=3, preexec_fn=limit_files)
    assert tree_bytes(tmp_path) == before


def test_one_bad_weight_among_good_ones_is_told(mxfp4, quantized):
    weights = {f"layers.{i}.w": RNG.standard_normal((64, 64)).astype(np.float32) for i in range(5)}
    original, model = quantized(weights, "--tensor", "layers.3.w=floor6")
    report = mxfp4.json("report", model, "--against", original)
    assert report["verdict"]["grade"] == "fair" and "1 of 5 weights" in report["verdict"]["text"]
    worst = min(report["tensors"], key=lambda tensor: tensor["sqnr_db"])
    assert worst["name"] == "layers.3.w" and "made_by" not in report
    sample = worst["sample"]
    assert report["gaining"] == {"tensors": 1, "most_db": pytest.approx(sample["sqnr_db_by_rule"]["optimal"] - sample["sqnr_db"], abs=1e-9)}
