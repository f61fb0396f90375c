"""Names that are imported when they are first asked for."""

from __future__ import annotations

import pytest

from gateway.wire import messages
from gateway.wire.lazily import names_of
from gateway.wire.messages.errors import error_body


def test_a_name_is_found_in_its_file_and_stays() -> None:
    get = names_of("gateway.wire.messages", {"error_body": "errors"})
    assert get("error_body") is error_body
    assert vars(messages)["error_body"] is error_body


def test_any_other_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'telepathy'"):
        names_of("gateway.wire.messages", {})("telepathy")
    assert not hasattr(messages, "telepathy")
