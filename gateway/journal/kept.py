"""What is kept of the Responses API as rows, and the SQL that the writer of them runs. No I/O.

The statements run in one call in the driver's thread (`in_one_transaction`), with positional parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Dialect

from gateway.journal.plain_sql import positional, run
from gateway.journal.rows import to_s, to_us
from gateway.journal.tables import responses

RUNNING: Final = ("queued", "in_progress")
"""The states of a response that is still being made."""


class ResponseRow(NamedTuple):
    """A response as it is kept. Its fields stand in the order of the table's columns; times are Unix seconds."""

    id: str
    org: str
    team: str
    agent: str
    key_id: str
    user: str | None
    request_id: str
    created_at_s: float
    expires_at_s: float
    status: str
    background: bool
    native: bool
    """Its provider holds it under this id too."""
    model: str
    deployment: str
    """Who answered; empty while nobody has."""
    previous_id: str | None
    conversation: str | None
    conversation_items: int
    """How many items of the conversation came before it."""
    input_tokens: int
    """What its whole input counted, history included."""
    output_tokens: int
    owner: str | None
    """The gateway that runs it, while it does."""
    alive_until_s: float
    """If its gateway does not say before that it lives, it is given up."""
    input: bytes
    """Its own input items, a JSON array."""
    body: bytes
    """The response object."""

    @property
    def bytes(self) -> int:
        """What it counts in the limit on all."""
        return len(self.input) + len(self.body)

    @property
    def running(self) -> bool:
        """Whether it is still being made."""
        return self.status in RUNNING


class Append(NamedTuple):
    """Items that come to the end of a conversation."""

    conversation: str
    org: str
    user: str | None
    items: tuple[tuple[str, bytes], ...]
    """Their ids, and each as JSON."""
    tokens: int | None
    """What the conversation counts as input from now on; None adds `more_tokens`."""
    more_tokens: int
    expires_at_s: float


class Keep(NamedTuple):
    """What is written together."""

    row: ResponseRow | None = None
    ended: bool = False
    """The row is there already, and this is how it ended."""
    append: Append | None = None
    renewed: tuple[str, ...] = ()
    """Responses of the row's org whose time ends no sooner than the row's own."""


def to_response(values: Sequence[Any]) -> ResponseRow:
    """A row of the table as it was kept; `values` in the order of its columns."""
    found = dict(zip(NAMES, values, strict=True))
    del found["bytes"]
    for name in ("created_at", "expires_at", "alive_until"):
        found[f"{name}_s"] = to_s(found.pop(f"{name}_us"))
    found["user"] = found.pop("end_user")
    for name in ("background", "native"):
        found[name] = bool(found[name])  # SQLite has no word for it
    for name in ("input", "body"):
        found[name] = bytes(found[name])
    return ResponseRow(**found)


def _columns(row: ResponseRow) -> dict[str, Any]:
    values: dict[str, Any] = row._asdict()
    for name in ("created_at", "expires_at", "alive_until"):
        values[f"{name}_us"] = to_us(values.pop(f"{name}_s"))
    values["end_user"] = values.pop("user")
    return {**values, "bytes": row.bytes}


NAMES: Final = [column.name for column in responses.columns]
# A name that another org has is left alone; of a background response only its ending changes anything.
_INSERT: Final = (
    f"INSERT INTO responses ({', '.join(NAMES)}) VALUES ({', '.join(f':{name}' for name in NAMES)}) "  # noqa: S608 -- own names
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in NAMES if name != 'id')} "
    "WHERE responses.org = excluded.org AND responses.background = excluded.background AND responses.owner IS NULL"
)
_ENDED: Final = (
    "status",
    "native",
    "deployment",
    "request_id",
    "conversation",
    "conversation_items",
    "input_tokens",
    "output_tokens",
    "input",
    "body",
    "bytes",
)
_END: Final = (
    f"UPDATE responses SET {', '.join(f'{name} = :{name}' for name in _ENDED)}, owner = NULL "  # noqa: S608 -- own names
    "WHERE id = :id AND owner = :owner AND status IN ('queued', 'in_progress')"
)
_RENEW: Final = (
    "UPDATE responses SET expires_at_us = :expires WHERE id = :id AND org = :org AND expires_at_us < :expires"
)
_APPEND: Final = (
    "UPDATE conversations SET items = items + :count, bytes = bytes + :bytes, expires_at_us = :expires, "
    "tokens = {tokens}, end_user = coalesce(end_user, {user}) WHERE id = :id AND org = :org RETURNING items"
)
_ITEM: Final = (
    "INSERT INTO conversation_items (conversation, position, id, item) VALUES (:conversation, :position, :id, :item) "
    "ON CONFLICT DO NOTHING"
)


class Statements:
    """The writer's SQL in one database's words."""

    def __init__(self, dialect: Dialect) -> None:
        style = dialect.paramstyle
        text = "CAST(:user AS TEXT)"
        self._insert = positional(_INSERT, style)
        self._end = positional(_END, style)
        self._renew = positional(_RENEW, style)
        self._append = positional(_APPEND.format(tokens=":tokens", user=text), style)
        self._append_more = positional(_APPEND.format(tokens="tokens + :tokens", user=text), style)
        self._item = positional(_ITEM, style)

    def execute(self, keeps: Sequence[Keep], cursor: Any) -> None:
        """Write all of them in the transaction open on a DBAPI cursor."""
        for keep in keeps:
            if keep.row is not None:
                self._write(cursor, keep.row, ended=keep.ended)
                for each in sorted(keep.renewed):
                    values = {"id": each, "org": keep.row.org, "expires": to_us(keep.row.expires_at_s)}
                    run(cursor, self._renew, values)
        # Always in the same order, so that gateways which write at once wait for one another in no circle.
        for append in sorted((keep.append for keep in keeps if keep.append is not None), key=_by_conversation):
            self.append(append, cursor)

    def append(self, append: Append, cursor: Any) -> bool:
        """Put items at the end of a conversation; False when it is not there."""
        values = {
            "id": append.conversation,
            "org": append.org,
            "user": append.user,
            "count": len(append.items),
            "bytes": sum(len(item) for _, item in append.items),
            "expires": to_us(append.expires_at_s),
            "tokens": append.more_tokens if append.tokens is None else append.tokens,
        }
        run(cursor, self._append_more if append.tokens is None else self._append, values)
        found = cursor.fetchone()
        if found is None:
            return False
        first = found[0] - len(append.items)
        for number, (name, item) in enumerate(append.items):
            one = {"conversation": append.conversation, "position": first + number, "id": name, "item": item}
            run(cursor, self._item, one)
        return True

    def _write(self, cursor: Any, row: ResponseRow, *, ended: bool) -> None:
        run(cursor, self._end if ended else self._insert, _columns(row))


def _by_conversation(append: Append) -> str:
    return append.conversation
