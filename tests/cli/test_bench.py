"""mxfp4 bench: what it reports; how fast anything is, is nothing to test."""

import pytest

LAYER = ("bench", "linear", "--rows", 80, "--cols", 96)


@pytest.mark.parametrize("what, cases", [("quantize", 2), ("dequantize", 1)])
def test_reports_rates_beside_passes_over_the_same_bytes(mxfp4, what, cases):
    report = mxfp4.json("bench", what, "--rows", 64, "--cols", 96, "--dtype", "f32", "--scale", "t725", "--threads", 2)
    assert len(report["results"]) == cases
    assert len(report["limits"]) == 4
    for result in report["results"]:
        assert result["threads"] == 2 and result["rule"] == "t725" and result["dtype"] == "f32"
        assert result["gb_per_s"] == pytest.approx(64 * 96 * 4 / result["seconds"] / 1e9)
        assert result["limit"]["value"] == max(report["limits"].values())
        assert result["percent_of_limit"] == pytest.approx(100 * result["gb_per_s"] / result["limit"]["value"])


@pytest.mark.parametrize("activation, peak", [("exact", "f32 FMA"), ("int8", "int8 dot product"), ("mxfp8", "f32 FMA")])
@pytest.mark.parametrize("tokens, threads", [(1, 1), (5, 2)])
def test_a_layer_is_held_against_the_roofline_of_limits_of_the_same_run(mxfp4, activation, peak, tokens, threads):
    report = mxfp4.json(*LAYER, "--tokens", tokens, "--activation", activation, "--threads", threads)
    [result] = report["results"]
    limits = report["limits"]
    given = {"case": "linear", "rows": 80, "cols": 96, "tokens": tokens, "activation": activation, "threads": threads}
    assert given.items() <= result.items()
    reads = {name: rate for name, rate in limits.items() if name.startswith("read, ")}
    assert len(reads) == 6 and limits["read bandwidth"] == max(reads.values())

    read = 80 * 96 * 17 / 32 / limits["read bandwidth"] / 1e9
    compute = 2 * 80 * 96 * tokens / limits[peak] / 1e9
    assert result["weight_bytes"] == 80 * 96 * 17 / 32
    assert result["percent_of_limit"] == pytest.approx(100 * max(read, compute) / result["seconds"])
    assert result["percent_of_read_bandwidth"] == pytest.approx(100 * read / result["seconds"])
    for name, field in [("int8 dot product", "percent_of_int8_peak"), ("f32 FMA", "percent_of_f32_peak")]:
        assert result[field] == pytest.approx(100 * 2 * 80 * 96 * tokens / limits[name] / 1e9 / result["seconds"])

    name = "read bandwidth" if read >= compute else peak
    assert result["limit"] == {"name": name, "value": limits[name]}
    rate = result["gb_per_s" if read >= compute else "gop_per_s"]
    assert rate == pytest.approx(result["percent_of_limit"] / 100 * limits[name])
    assert ("gb_per_s" in result) != ("gop_per_s" in result)


@pytest.mark.parametrize("activation, least, most", [("exact", 0, 2**-18), ("int8", 1e-5, 1e-3), ("mxfp8", 1e-4, 1e-2)])
def test_a_layers_error_is_that_of_its_activation(mxfp4, activation, least, most):
    [result] = mxfp4.json(*LAYER, "--tokens", 3, "--activation", activation)["results"]
    assert least <= result["relative_error"] <= most
    assert result["relative_error"] < result["relative_error_norm"] < 100 * result["relative_error"] + 1e-7


def test_half_precision_outputs_and_outliers_reach_the_layer(mxfp4):
    exact, half, outliers = (
        mxfp4.json(*LAYER, *options)["results"][0]["relative_error_norm"]
        for options in ([], ["--dtype", "f16"], ["--outliers", "--activation", "int8"])
    )
    assert exact < 1e-5 < half < 1e-3
    assert outliers > 1e-3


@pytest.mark.parametrize("activation, most", [("exact", 2**-18), ("int8", 1e-3)])
def test_a_weight_need_not_be_packed(mxfp4, activation, most):
    packed, plain = (mxfp4.json(*LAYER, "--activation", activation, *given)["results"][0] for given in ([], ["--no-pack"]))
    assert (packed["packed"], plain["packed"]) == (True, False)
    assert plain["relative_error"] <= most and plain["weight_bytes"] == packed["weight_bytes"]


@pytest.mark.parametrize("options", [[], ["--no-pack"], ["--dtype", "bf16", "--outliers"]])
@pytest.mark.parametrize("activation, tokens, most", [("exact", 1, 4e-3), ("int8", 7, 4e-2)])
def test_experts_are_held_against_the_roofline_of_those_touched(mxfp4, options, activation, tokens, most):
    report = mxfp4.json("bench", "experts", "--like", "tiny", "--tokens", tokens, "--activation", activation, "--threads", 2, *options)
    [result] = report["results"]
    limits = report["limits"]
    given = {"case": "experts", "like": "tiny", "experts": 6, "top_k": 4, "hidden": 64, "intermediate": 96, "tokens": tokens}
    assert given.items() <= result.items()
    assert result["experts_touched"] == (4 if tokens == 1 else 6)
    weights = 3 * 64 * 96
    assert result["weight_bytes"] == result["experts_touched"] * weights * 17 / 32
    read = result["weight_bytes"] / limits["read bandwidth"] / 1e9
    compute = 2 * 4 * tokens * weights / limits["int8 dot product" if activation == "int8" else "f32 FMA"] / 1e9
    assert result["percent_of_limit"] == pytest.approx(100 * max(read, compute) / result["seconds"])
    assert 0 < result["relative_error"] < result["relative_error_norm"] < most
    assert result["rest_percent"] > 0


def test_experts_are_as_large_as_those_of_the_model(mxfp4):
    [result] = mxfp4.json("bench", "experts", "--like", "qwen3-30b-a3b")["results"]
    assert result["weight_bytes"] == 8 * 3 * 2048 * 768 * 17 / 32
    assert 0 < result["relative_error"] < 2**-18


def test_weights_that_the_caches_hold_are_warned_of(mxfp4):
    report = mxfp4.json(*LAYER)
    assert any("caches may hold them" in warning for warning in report["warnings"])


def test_packing_is_held_against_memcpy(mxfp4):
    report = mxfp4.json("bench", "pack", "--rows", 80, "--cols", 96, "--threads", 2)
    [result] = report["results"]
    assert result["case"] == "pack" and result["limit"] == {"name": "memcpy", "value": report["limits"]["memcpy"]}
    assert result["gb_per_s"] == pytest.approx(80 * 96 * 17 / 32 / result["seconds"] / 1e9)
    assert result["percent_of_limit"] == pytest.approx(100 * result["gb_per_s"] / result["limit"]["value"])
    assert result["packed_bytes"] >= result["weight_bytes"]


@pytest.mark.parametrize("what, option", [("pack", "--tokens"), ("quantize", "--tokens"), ("linear", "--scale"), ("pack", "--no-pack"), ("linear", "--like"), ("experts", "--rows")])
def test_options_of_another_kind_are_refused(mxfp4, what, option):
    value = {"--tokens": [4], "--scale": ["t725"], "--no-pack": [], "--like": ["tiny"], "--rows": [32]}[option]
    assert f"bench {what}: {option} is for" in mxfp4("bench", what, option, *value, status=2).err


def test_a_share_is_for_ranks(mxfp4):
    assert "--share is for several ranks" in mxfp4("bench", "experts", "--share", "channels", status=2).err


@pytest.mark.parametrize("what", ["linear", "pack"])
def test_a_weight_too_small_to_time_is_refused(mxfp4, what):
    said = mxfp4("bench", what, "--rows", 1, "--cols", 33, status=2).err
    assert "bench: a weight of 1 x 33 has 34 bytes; 1024 or more can be timed" in said
