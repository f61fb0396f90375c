"""Reads the two books: the journal's database and the provider's bill."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.demo.books import BilledItem, Charge, Request
from gateway.demo.probe import get_json
from gateway.journal.database import FILE_NAME
from routing.money import NanoUsd

SETTLED_WITHIN_S = 5.0
"""How long the provider may take to notice the last client that hung up."""


async def read_bill(simulator_url: str) -> list[BilledItem]:
    """The provider's bill, once nothing is being generated any more."""
    deadline = asyncio.get_running_loop().time() + SETTLED_WITHIN_S
    while True:
        bill: Any = await get_json(f"{simulator_url}/sim/bill")
        if not bill["open"] or asyncio.get_running_loop().time() > deadline:
            return [
                BilledItem(record["caller_id"] or "", NanoUsd(record["cost_nano_usd"])) for record in bill["records"]
            ]
        await asyncio.sleep(0.1)


def read_journal(storage: Path) -> tuple[list[Request], list[Charge]]:
    """The journal of a gateway that has stopped."""
    with closing(sqlite3.connect(f"{(storage / FILE_NAME).as_uri()}?mode=ro", uri=True)) as database:
        requests = database.execute("SELECT request_id, agent, outcome <> 'ok' FROM requests ORDER BY at_us")
        charges = database.execute(
            "SELECT request_id, input_tokens, output_tokens, cost_nano_usd, estimated FROM charges ORDER BY at_us"
        )
        return (
            [Request(request_id, agent, bool(failed)) for request_id, agent, failed in requests],
            [Charge(row[0], row[1], row[2], NanoUsd(row[3]), bool(row[4])) for row in charges],
        )
