"""The part of the admin API about reports. By FastAPI, like the rest of it."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from fastapi.responses import Response

from gateway.errors import InvalidField
from gateway.governance import Governance
from gateway.reports.columns import report_object
from gateway.reports.focus import focus_rows
from gateway.reports.periods import period
from gateway.reports.spending import ReportError, dimensions
from gateway.reports.writing import focus_csv, report_csv

MAX_FOCUS_SUMS = 100_000
"""More would keep the gateway from its own work; `farebox report` writes any number."""


def add_reports(app: FastAPI, governance: Governance, viewer: list[Any]) -> None:
    """Add the routes. `viewer` is the dependency that checks who asks."""

    @app.get(
        "/admin/v1/reports", dependencies=viewer, summary="What was spent, by whom and on what", response_model=None
    )
    async def reports(
        by: Annotated[str, Query(max_length=512, description="Dimensions: team,agent,model.")] = "team,agent,model",
        since: Annotated[str, Query(max_length=32, description="30d, or a date.")] = "30d",
        until: Annotated[str | None, Query(max_length=32, description="The first day that is left out.")] = None,
        form: Annotated[
            Literal["json", "csv", "focus"], Query(alias="format", description="`focus`: FOCUS 1.2, as CSV.")
        ] = "json",
    ) -> dict[str, Any] | Response:
        try:
            asked, days = dimensions(by), period(since, until, time.time())
            if form != "focus":
                found = await governance.spending(asked, days)
                return report_object(found) if form == "json" else _csv("".join(report_csv(found)), "report")
            sums, points = await governance.charged(asked, days)
        except (ReportError, ValueError) as error:
            raise InvalidField(f"{error}.") from None
        if len(sums) > MAX_FOCUS_SUMS:
            raise InvalidField("That is too much for one answer: ask for fewer days, or use `farebox report`.")
        written = await asyncio.to_thread(lambda: "".join(focus_csv(focus_rows(sums, points))))
        return _csv(written, "focus")


def _csv(text: str, name: str) -> Response:
    return Response(text, media_type="text/csv", headers={"content-disposition": f'attachment; filename="{name}.csv"'})
