"""What the user says about tensors wins."""

import pytest

import reference
from checkpoints import Model, same_bytes

Q = "model.layers.0.self_attn.q_proj"


def actions(report):
    return {tensor["name"]: tensor["action"] for tensor in report["tensors"]}


def quantized(report):
    return {name for name, action in actions(report).items() if action == "quantized"}


def rules(report):
    return {tensor["name"]: tensor["rule"] for tensor in report["tensors"] if tensor["action"] == "quantized"}


@pytest.fixture
def plan(mxfp4, llama, tmp_path):
    """The report of a dry run with some options."""
    return lambda *options, **more: mxfp4.json("quantize", llama, tmp_path / "out", "--dry-run", *options, **more)


def test_by_default_the_matrices_of_linear_layers_are_quantised(plan):
    report = plan()
    assert len(quantized(report)) == 14
    assert all(name.endswith("_proj.weight") for name in quantized(report))
    reasons = {tensor["name"]: tensor["reason"] for tensor in report["tensors"] if tensor["action"] == "kept"}
    assert "embed" in reasons["model.embed_tokens.weight"]
    assert "norm" in reasons["model.norm.weight"] or "1-D" in reasons["model.norm.weight"]
    assert reasons["lm_head.weight"]


@pytest.mark.parametrize("pattern", [Q, Q + ".weight", "*.0.self_attn.q_proj", "*0.self_attn.q_proj.weight", r"re:model\.layers\.0\..*q_proj"])
def test_patterns_are_names_prefixes_globs_and_expressions(plan, pattern):
    assert quantized(plan("--include", pattern)) == {Q + ".weight"}


def test_a_dotted_prefix_names_all_below_it(plan):
    everything = quantized(plan())
    assert quantized(plan("--include", "model.layers.0")) == {n for n in everything if n.startswith("model.layers.0.")}
    assert quantized(plan("--exclude", "model.layers.0")) == {n for n in everything if not n.startswith("model.layers.0.")}


def test_exclude_wins_over_include(plan):
    assert Q + ".weight" not in quantized(plan("--include", "model.layers.0", "--exclude", Q))


def test_include_by_name_reaches_what_is_kept_by_default(plan):
    assert quantized(plan("--include", "lm_head")) == {"lm_head.weight"}


def test_a_rule_for_a_tensor_wins_over_all_else(plan):
    report = plan("--exclude", "model.layers.0", "--tensor", f"{Q}=rceil", "--scale", "even")
    assert rules(report)[Q + ".weight"] == "rceil"
    assert set(rules(report).values()) == {"rceil", "even"}


def test_the_last_rule_that_names_a_tensor_decides(plan):
    first, second = f"model.layers.0.*=floor", f"{Q}=keep"
    assert actions(plan("--tensor", first, "--tensor", second))[Q + ".weight"] == "kept"
    assert actions(plan("--tensor", second, "--tensor", first))[Q + ".weight"] == "quantized"


def test_a_pattern_may_hold_an_equals_sign(plan):
    assert rules(plan("--tensor", f"re:(a=b|{Q})=floor"))[Q + ".weight"] == "floor"


def test_rules_come_from_a_file_and_options_come_after(plan, tmp_path):
    file = tmp_path / "rules.txt"
    file.write_text(f"# what we want\n\nmodel.layers.0.* = keep\r\n  {Q}=even # but this one\nlm_head=ceil")
    report = plan("--rules", file, "--tensor", "model.layers.1.*=t725")
    assert rules(report)[Q + ".weight"] == "even"
    assert rules(report)["lm_head.weight"] == "ceil"
    assert {n for n in quantized(report) if n.startswith("model.layers.0.")} == {Q + ".weight"}
    assert {r for n, r in rules(report).items() if n.startswith("model.layers.1.")} == {"t725"}


@pytest.mark.parametrize("option", ["--include", "--exclude"])
def test_a_pattern_that_names_nothing_is_an_error(mxfp4, llama, tmp_path, option):
    error = mxfp4("quantize", llama, tmp_path / "out", option, "model.layers.9", "--json", status=2).json["error"]
    assert error["code"] == "invalid_argument"
    assert option in error["message"] and "model.layers.9" in error["message"]
    assert not (tmp_path / "out").exists()


def test_a_rule_that_names_nothing_is_an_error_with_its_line(mxfp4, llama, tmp_path):
    (tmp_path / "rules").write_text("# none\nnothing*=keep\n")
    error = mxfp4("quantize", llama, tmp_path / "out", "--rules", tmp_path / "rules", "--json", status=2).json["error"]
    assert "rules:2" in error["message"] and "nothing*" in error["message"]


@pytest.mark.parametrize("rule", ["lm_head", "lm_head=", "lm_head=best", "=keep", "re:(=keep", "[=keep"])
def test_a_rule_that_cannot_be_read_is_an_error(mxfp4, llama, tmp_path, rule):
    mxfp4("quantize", llama, tmp_path / "out", "--tensor", rule, status=2)


def test_a_file_of_rules_that_is_missing_is_named(mxfp4, llama, tmp_path):
    error = mxfp4("quantize", llama, tmp_path / "out", "--rules", tmp_path / "none", "--json", status=3).json["error"]
    assert error["code"] == "io" and "none" in error["message"]


def test_a_dry_run_plans_what_a_run_does(mxfp4, llama, tmp_path):
    options = ("--exclude", "*.down_proj", "--tensor", "lm_head=even")
    planned = mxfp4.json("quantize", llama, tmp_path / "out", "--dry-run", *options)
    assert not (tmp_path / "out").exists()
    done = mxfp4.json("quantize", llama, tmp_path / "out", *options)
    assert planned["dry_run"] and not done["dry_run"]
    for before, after in zip(planned["tensors"], done["tensors"], strict=True):
        assert before.items() <= after.items()
    for field in ("quantized", "kept", "bytes_in", "bytes_out", "bits_per_weight"):
        assert planned["totals"][field] == done["totals"][field]
    assert "seconds" not in planned["totals"]
    files = sum(p.stat().st_size for p in (tmp_path / "out").iterdir() if p.name != "README.md")
    assert files <= planned["totals"]["disk_needed"] < files + 100_000


def test_rules_reach_the_bytes(mxfp4, llama, tmp_path):
    mxfp4("quantize", llama, tmp_path / "out", "--tensor", f"{Q}=ceil")
    weight = Model(llama)[Q + ".weight"]
    codes, scales = reference.quantize(weight, "ceil")
    out = Model(tmp_path / "out")
    assert same_bytes(out[Q + ".weight_scale"], scales)
    assert same_bytes(out[Q + ".weight_packed"], codes.reshape(len(weight), -1))
