"""Wires by the API's name."""

from __future__ import annotations

import pytest

from gateway.wire.answers import StreamObserver
from gateway.wire.assemble import Assembler
from gateway.wire.wires import wire_of


@pytest.mark.parametrize("api", ["chat", "completions", "embeddings"])
def test_openais_apis_have_its_wire(api: str) -> None:
    wire = wire_of(api)
    assert wire.name == api
    assert isinstance(wire.observer(1, remember=False), StreamObserver)
    assert isinstance(wire.assembler(), Assembler)
    assert wire.as_chat(b"{}") == b"{}"
    assert wire is wire_of(api)
