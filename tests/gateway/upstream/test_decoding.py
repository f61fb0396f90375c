from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.decoding import Decoder, MalformedBody


def decode(encoding: bytes, pieces: list[bytes], limit: int = 64) -> bytes:
    decoder = Decoder.for_encoding(encoding)
    assert decoder is not None
    out = []
    for piece in pieces:
        decoder.feed(piece)
        while got := decoder.pull(limit):
            assert len(got) <= limit
            out.append(got)
    decoder.finish()
    return b"".join(out)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=3),
    st.sampled_from(["gzip", "zlib", "raw"]),
    st.lists(st.integers(0, 10_000), max_size=6),
    st.integers(1, 300),
)
def test_any_split_decodes_to_the_same(parts: list[bytes], kind: str, cuts: list[int], limit: int) -> None:
    body = b"".join(parts) * 20
    if kind == "gzip":
        wire = b"".join(gzip.compress(part * 20) for part in parts)
        body = b"".join(part * 20 for part in parts)
    else:
        wire = zlib.compress(body) if kind == "zlib" else zlib.compress(body)[2:-4]
    encoding = b"gzip" if kind == "gzip" else b"deflate"
    assert decode(encoding, split(wire, cuts), limit) == body


@settings(deadline=None)
@given(st.sampled_from([b"gzip", b"deflate"]), st.lists(st.binary(max_size=50), max_size=4))
def test_garbage_is_malformed_and_nothing_else(encoding: bytes, pieces: list[bytes]) -> None:
    try:
        decode(encoding, pieces)
    except MalformedBody:
        pass


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_cut_is_noticed(body: bytes, data: st.DataObject) -> None:
    wire = gzip.compress(body)
    cut = data.draw(st.integers(1, len(wire) - 1))
    with pytest.raises(MalformedBody):
        decode(b"gzip", [wire[:cut]])


def test_nothing_follows_a_deflate_body() -> None:
    with pytest.raises(MalformedBody):
        decode(b"deflate", [zlib.compress(b"x") + b"y"])


def test_which_encodings_are_ours() -> None:
    assert Decoder.for_encoding(b" GZip ") is not None
    assert Decoder.for_encoding(b"br") is None
