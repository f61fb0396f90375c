from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME
from gateway.journal.masking import Masking
from gateway.journal.writer import Journal
from tests.gateway.telemetry.samples import finished


async def test_recorded_content_shows_no_secret(storage: StorageSettings) -> None:
    masked = replace(storage, record_content=True, mask=(r"\b\d{3}-\d{2}-\d{4}\b",))
    journal = await Journal.open(masked)
    asked = b'{"messages": [{"content": "key sk-proj-abcdefghijkl, my number is 123-45-6789"}]}'
    journal.write([finished(content=(asked, b'{"api_key": "hunter22"}'))])
    await journal.flush()
    await journal.close()
    with sqlite3.connect(storage.dir / FILE_NAME) as connection:
        [(request, answer)] = connection.execute("SELECT request_body, answer_body FROM contents").fetchall()
    connection.close()
    assert request == b'{"messages": [{"content": "key sk-***, my number is ***"}]}'
    assert answer == b'{"api_key": "***"}'


async def test_bodies_are_masked_in_a_thread(either: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    mask = Masking.mask

    def noting(self: Masking, body: bytes) -> bytes:
        threads.add(threading.current_thread())
        return mask(self, body)

    monkeypatch.setattr(Masking, "mask", noting)
    journal = await Journal.open(replace(either, record_content=True))
    journal.write([finished(content=(b"sk-proj-abcdefghijkl", b""))])
    await journal.flush()
    async with journal.database.engine.connect() as connection:
        [(body,)] = await connection.execute(text("SELECT request_body FROM contents"))
    await journal.close()
    assert bytes(body) == b"sk-***"
    assert threads
    assert threading.main_thread() not in threads


@given(st.binary(max_size=200))
def test_what_is_no_text_is_kept(body: bytes) -> None:
    assert Masking(()).mask(body) == body or b"***" in Masking(()).mask(body)
