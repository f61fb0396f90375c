from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.complexity import FEATURES, HEADS
from routing.weights import Header, Weights, WeightsError, pack, shipped, unpack


def some_weights() -> Weights:
    header = Header("test", "00", 3, ("a", "b"), ("light", "strong"), 4)
    dense = np.array([[1.0, 2.0], [3.0, 4.0]])
    hashed = np.array([[127.0, -1.0], [0.0, 0.5], [-127.0, 1.0], [1.0, 0.0]], np.float32)
    return Weights(header, np.array([0.5, 0.25]), np.array([1.0, 2.0]), np.array([-1.0, 1.0]), dense, hashed)


def test_round_trip() -> None:
    weights = some_weights()
    read = unpack(pack(weights))
    assert read.header == weights.header
    for name in ("means", "deviations", "bias", "dense"):
        assert getattr(read, name).tolist() == getattr(weights, name).tolist()
    assert np.abs(read.hashed - weights.hashed).max() <= 0.005
    assert read.hashed[:, 0].tolist() == [127, 0, -127, 1]


def test_packing_what_was_read_gives_the_same_bytes() -> None:
    data = pack(shipped())
    assert pack(unpack(data)) == data


def test_shipped_weights_fit_the_code() -> None:
    weights = shipped()
    assert weights.header.features == FEATURES
    assert weights.header.heads == HEADS
    assert len(weights.header.data_sha256) == 64
    assert weights.hashed.shape == (weights.header.buckets, len(HEADS))
    assert np.isfinite(weights.dense).all()
    assert (weights.deviations > 0).all()
    assert len(pack(weights)) < 300_000


@given(st.integers(0, 200))
def test_weights_that_are_cut_short_are_refused(size: int) -> None:
    data = pack(some_weights())
    if size < len(data):
        with pytest.raises(WeightsError):
            unpack(data[:size])


@pytest.mark.parametrize("data", [b"", b"FBXW", b"NOPE" + bytes(20), b"FBXW\x02\x00" + bytes(20)])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WeightsError):
        unpack(data)
