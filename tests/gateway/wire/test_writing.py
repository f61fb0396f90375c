"""Bodies written again."""

from __future__ import annotations

import msgspec

from gateway.wire.writing import with_fields


def written(body: bytes, **changed: bytes) -> bytes:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return with_fields(body, fields, {name: msgspec.Raw(raw) for name, raw in changed.items()})


def test_spaces_stay_when_nothing_changes() -> None:
    body = b'{ "a" : "x  y",\n "b": [1,  2] }'
    assert written(body) is body


def test_a_repeated_field_is_not_sent_twice() -> None:
    assert written(b'{"a":1,"a":2}') == b'{"a":2}'


def test_changed_fields_keep_their_place() -> None:
    assert written(b'{"a":1,"b":2.50}', a=b"3", c=b"null") == b'{"a":3,"b":2.50,"c":null}'
