"""The numpy implementation that the others trust, held against what can be worked out by hand."""

import numpy as np
import pytest

import reference


def block(*head):
    return np.array([[*head, *[0.0] * (32 - len(head))]])


def test_optimal_takes_half_the_scale_where_many_small_values_gain():
    x = np.array([[4.0, *[0.25] * 31]])
    codes, scales = reference.quantize(x)
    assert scales.tolist() == [[126]]
    assert ((x - reference.dequantize(codes, scales)) ** 2).sum() == 1.0


@pytest.mark.parametrize("rule, amax, byte", [
    ("floor", 7.99, 127), ("floor", 8.0, 128), ("even", 6.99, 127), ("even", 7.0, 128), ("rceil", 6.0, 127),
    ("rceil", 6.01, 128), ("ceil", 4.0, 127), ("ceil", 4.01, 128), ("t725", 7.25, 127), ("t725", 7.26, 128),
    ("round6", 8.48, 127), ("round6", 8.49, 128), ("floor6", 11.9, 127), ("floor6", 12.0, 128),
])  # fmt: skip
def test_thresholds_stand_where_the_rules_say(rule, amax, byte):
    assert reference.quantize(block(amax), rule)[1].tolist() == [[byte]]


def test_no_scale_of_all_255_beats_optimal():
    x = np.random.default_rng(1).standard_normal((200, 32))
    min_error = None
    for byte in range(100, 150):
        bytes_ = np.full((200, 1), byte)
        q = reference.values_of(reference.codes_of(reference.blocks_of(x), bytes_), bytes_)
        error = ((reference.blocks_of(x) - q) ** 2).sum((-1, -2))
        min_error = error if min_error is None else np.minimum(min_error, error)
    best = ((x - reference.dequantize(*reference.quantize(x))) ** 2).sum(-1)
    assert np.allclose(best, min_error)


def test_byte_0_and_255_mean_what_ocp_says():
    codes = np.full((1, 16), 0x21, np.uint8)
    assert reference.dequantize(codes, np.array([[0]], np.uint8))[0, 0] == 2.0**-128
    assert np.isnan(reference.dequantize(codes, np.array([[255]], np.uint8))).all()
