"""Forms read in pieces: alike however they are cut, and only where every server reads them alike."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, InvalidForm
from gateway.simulator.others.forms import read_form
from gateway.wire.multipart import MAX_FIELD, FormReader, boundary_of

CONTENT_TYPE = "multipart/form-data; boundary=xyz"


def part(headers: str, value: bytes) -> bytes:
    return b"--xyz\r\n" + headers.encode() + b"\r\n\r\n" + value + b"\r\n"


def field(name: str, value: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', value)


def file(name: str, value: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"; filename="a.bin"\r\nContent-Type: x/y', value)


END = b"--xyz--\r\n"


def read(form: bytes, cuts: list[int] | None = None, *, closed: bool = False) -> FormReader:
    reader = FormReader(b"xyz")
    reader.closed = closed
    edges = [0, *sorted(cuts or []), len(form)]
    for begin, end in pairwise(edges):
        reader.feed(form[begin:end])
    return reader


names = st.sampled_from(("language", "prompt", "response_format", "user", "include[]"))
values = st.text(st.characters(codec="utf-8"), max_size=20).map(str.encode)
contents = st.lists(st.sampled_from((b"\r\n", b"--xyz", b"-", b"\r", b"xyz", b"\0\xff", b"RIFF")), max_size=8).map(
    lambda pieces: b"".join(pieces).replace(b"\r\n--xyz", b"")
)


@given(
    st.dictionaries(names, values, max_size=4),
    st.lists(contents, max_size=3),
    st.lists(st.integers(0, 600), max_size=8),
)
def test_a_form_is_read_alike_however_it_is_cut(form: dict[str, bytes], files: list[bytes], cuts: list[int]) -> None:
    parts = [field(name, value) for name, value in form.items()]
    whole = b"".join([*parts[:1], field("model", b"whisper-1"), *parts[1:], *(file("file", each) for each in files)])
    whole += END
    reader = read(whole, [min(cut, len(whole)) for cut in cuts])
    assert reader.done
    assert reader.files == len(files)
    assert reader.fields == {"model": "whisper-1", **{name: value.decode() for name, value in form.items()}}
    assert reader.model_at is not None
    begin, end = reader.model_at
    assert whole[begin:end] == b"whisper-1"
    assert reader.file_head == (files[0] if files else b"")[:64]


def test_another_reader_finds_the_same() -> None:
    form = field("model", b"m") + field("prompt", "Grüße".encode()) + file("file", b"\r\n\x00data--xyz") + END
    ours, theirs = read(form), read_form(form, CONTENT_TYPE)
    assert {name: theirs[name] for name in ours.fields} == ours.fields
    assert [each["bytes"] for each in theirs["file"]] == [len(b"\r\n\x00data--xyz")]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; Boundary="a b:c"', b"a b:c"),
        ("application/json", None),
        ("multipart/mixed; boundary=abc", None),
    ],
)
def test_the_boundary(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


def test_a_form_without_boundary_is_refused() -> None:
    with pytest.raises(InvalidForm):
        boundary_of("multipart/form-data")


@pytest.mark.parametrize(
    "form",
    [
        field("model", b"a") + field("model", b"b"),
        field("MODEL", b"a"),
        file("model", b"a"),
        field("model", b"\xff\xfe"),
        field("prompt", b"x" * (MAX_FIELD + 1)),
        part('Content-Disposition: form-data; name="model"; name="n"', b"a"),
        part("Content-Disposition: form-data; name*=UTF-8''model", b"a"),
        part('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="model"', b"a"),
        part('Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64', b"YQ=="),
        part('Content-Disposition: attachment; name="model"', b"a"),
        part('Content-Disposition: form-data; name="a"\r\n folded', b"a"),
        part("Content-Type: text/plain", b"a"),
        b"--xyzzy\r\n" + field("model", b"a"),
        b"--xyz\r\n" + b"x" * 20_000,
    ],
)
def test_what_two_servers_could_read_differently_is_refused(form: bytes) -> None:
    with pytest.raises(BadRequest):
        read(form + END)


def test_governed_fields_come_before_the_file() -> None:
    late = field("model", b"m") + file("file", b"data")
    assert read(late + field("language", b"en") + END, closed=False).fields["language"] == "en"
    reader = read(late)
    reader.closed = True
    with pytest.raises(BadRequest) as caught:
        reader.feed(field("n", b"5") + END)
    assert caught.value.param == "n"


def test_an_end_that_is_missing_is_seen() -> None:
    assert not read(field("model", b"m") + file("file", b"data")).done
