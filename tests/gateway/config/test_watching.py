from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.config.watching import Watcher


async def test_a_change_is_told_by_its_path(tmp_path: Path) -> None:
    with Watcher([tmp_path]) as watcher:
        (tmp_path / "a.yaml").write_text("new")
        assert await watcher.changed() == {tmp_path / "a.yaml"}
        (tmp_path / "b.yaml").write_text("new")
        assert tmp_path / "b.yaml" in await watcher.changed()


async def test_what_is_further_down_is_not_watched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with Watcher([tmp_path]) as watcher:
        (tmp_path / "deep" / "a.yaml").write_text("new")
        (tmp_path / "b.yaml").write_text("new")
        assert tmp_path / "deep" / "a.yaml" not in await watcher.changed()


async def test_waiting_can_be_cancelled(tmp_path: Path) -> None:
    with Watcher([tmp_path]) as watcher:
        waiting = asyncio.create_task(watcher.changed())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        Watcher([tmp_path / "gone"])
