"""All keys that open the gateway, looked up by digest. The hot path: about a microsecond a request."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from typing import NamedTuple

from gateway.config.snapshot import Snapshot
from gateway.identity.keys import KeyRecord, Principal, key_digest

log = logging.getLogger("farebox.identity")


class _Entry(NamedTuple):
    record: KeyRecord
    principal: Principal


class KeyRing:
    """The configuration's keys and the stored ones.

    A digest that both declare belongs to the configuration.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._stored: dict[str, KeyRecord] = {}
        self._orphans: set[str] = set()
        self._by_digest: dict[bytes, _Entry] = {}
        self._by_id: dict[str, KeyRecord] = {}
        self._declared: frozenset[str] = frozenset()
        self._rebuild()

    def use(self, snapshot: Snapshot) -> None:
        """A new configuration is in force."""
        self._snapshot = snapshot
        self._rebuild()

    def replace_stored(self, records: Iterable[KeyRecord]) -> None:
        """These are the stored keys now."""
        self._stored = {record.id: record for record in records}
        self._rebuild()

    def change_stored(self, records: Iterable[KeyRecord]) -> None:
        """These stored keys are new, or have changed; all others are as they were."""
        declared = {record.sha256 for record in self._snapshot.keys}
        for record in records:
            self._stored[record.id] = record
            if record.sha256 not in declared:
                self._add(record)

    def authenticate(self, key: bytes, now_s: float) -> Principal | None:
        """Whose key it is; None when it is unknown, revoked, or expired at Unix time `now_s`.

        The dictionary is keyed by SHA-256 digests, so its timing tells nothing about a key; the digest found is
        compared in constant time all the same. A revocation holds whatever the clock says: one that is set back must
        not bring a key to life again.
        """
        digest = key_digest(key)
        entry = self._by_digest.get(digest)
        if entry is None or not hmac.compare_digest(entry.record.sha256, digest):
            return None
        record = entry.record
        if record.revoked_at_s is not None or (record.expires_at_s is not None and now_s >= record.expires_at_s):
            return None
        return entry.principal

    def record(self, key_id: str) -> KeyRecord | None:
        """A key by its public name."""
        return self._by_id.get(key_id)

    def declares(self, key_id: str) -> bool:
        """Whether the configuration itself has this key: it then holds without the database."""
        return key_id in self._declared

    def __len__(self) -> int:
        return len(self._by_digest)

    def _rebuild(self) -> None:
        self._by_digest = {}
        self._by_id = {}
        self._declared = frozenset(record.id for record in self._snapshot.keys)
        for record in (*self._stored.values(), *self._snapshot.keys):
            self._add(record)
        self._by_id = {entry.record.id: entry.record for entry in self._by_digest.values()}
        self._orphans.intersection_update(self._stored.keys() | self._declared)

    def _add(self, record: KeyRecord) -> None:
        agent = self._snapshot.agents.get(record.agent)
        if agent is None:
            self._complain(record)
            return
        principal = Principal(agent.org, agent.team, agent.id, record.id, record.allowed_models, record.run)
        self._by_digest[record.sha256] = _Entry(record, principal)
        self._by_id[record.id] = record
        self._orphans.discard(record.id)

    def _complain(self, record: KeyRecord) -> None:
        """Say once which key has lost its agent, and again when that happens again."""
        if record.revoked_at_s is not None:
            self._orphans.discard(record.id)
        elif record.id not in self._orphans:
            self._orphans.add(record.id)
            log.warning("the key %s is not valid: its agent %s is not in the configuration", record.id, record.agent)
