"""mxfp4 bench: what it reports; how fast anything is, is nothing to test."""

import pytest


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
