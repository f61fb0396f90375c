from __future__ import annotations

import dataclasses
import logging

import pytest

from gateway.config.snapshot import Agent, Snapshot
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import KeyRecord, Principal, key_digest
from tests.gateway.snapshots import snapshot_of

NOW_S = 1_800_000_000.0


def snapshot(*keys: KeyRecord, agents: tuple[str, ...] = ("crawler", "coder")) -> Snapshot:
    return snapshot_of(
        agents={name: Agent(name, f"team-of-{name}", "acme") for name in agents},
        keys=keys,
    )


def stored(key: str, agent: str = "crawler", **changes: object) -> KeyRecord:
    return KeyRecord(key[:11], key_digest(key), agent)._replace(**changes)


def ring_with(*records: KeyRecord) -> KeyRing:
    ring = KeyRing(snapshot())
    ring.replace_stored(records)
    return ring


def test_a_key_stands_for_its_agent_team_and_org() -> None:
    ring = ring_with(stored("fb-11111111aaaa", allowed_models=frozenset({"gpt*"})))
    principal = ring.authenticate(b"fb-11111111aaaa", NOW_S)
    assert principal == Principal("acme", "team-of-crawler", "crawler", "fb-11111111", frozenset({"gpt*"}))


def test_a_runs_key_stands_for_its_run() -> None:
    ring = ring_with(stored("fb-11111111aaaa", run="crawler/42"), stored("fb-22222222aaaa"))
    runs = [ring.authenticate(key, NOW_S) for key in (b"fb-11111111aaaa", b"fb-22222222aaaa")]
    assert [principal and principal.run for principal in runs] == ["crawler/42", None]


@pytest.mark.parametrize("key", [b"", b"fb-11111111", b"fb-11111111aaab", b"fb-11111111aaaa ", b"\xff"])
def test_anything_else_stands_for_nobody(key: bytes) -> None:
    assert ring_with(stored("fb-11111111aaaa")).authenticate(key, NOW_S) is None


def test_a_key_ends_when_it_expires() -> None:
    ring = ring_with(stored("fb-11111111aaaa", expires_at_s=NOW_S))
    assert ring.authenticate(b"fb-11111111aaaa", NOW_S - 0.001) is not None
    assert ring.authenticate(b"fb-11111111aaaa", NOW_S) is None
    assert ring_with(stored("fb-11111111aaaa", expires_at_s=0.0)).authenticate(b"fb-11111111aaaa", NOW_S) is None


@pytest.mark.parametrize("clock_s", [NOW_S - 3600, NOW_S, NOW_S + 3600])
def test_a_revoked_key_stays_revoked_when_the_clock_is_set_back(clock_s: float) -> None:
    ring = ring_with(stored("fb-11111111aaaa", revoked_at_s=NOW_S))
    assert ring.authenticate(b"fb-11111111aaaa", clock_s) is None


def test_the_configurations_keys_and_stored_ones_work_side_by_side() -> None:
    declared = KeyRecord("config:ci", key_digest("fb-from-a-vault"), "coder")
    ring = KeyRing(snapshot(declared))
    ring.replace_stored([stored("fb-11111111aaaa")])
    found = [ring.authenticate(key, NOW_S) for key in (b"fb-from-a-vault", b"fb-11111111aaaa")]
    assert [principal and principal.agent for principal in found] == ["coder", "crawler"]
    assert (ring.declares("config:ci"), ring.declares("fb-11111111")) == (True, False)
    assert ring.record("config:ci") == declared
    assert ring.record("nobody") is None
    assert len(ring) == 2


def test_a_key_that_both_have_is_the_configurations() -> None:
    ring = KeyRing(snapshot(KeyRecord("config:ci", key_digest("fb-11111111aaaa"), "coder")))
    ring.replace_stored([stored("fb-11111111aaaa", revoked_at_s=NOW_S)])
    principal = ring.authenticate(b"fb-11111111aaaa", NOW_S)
    assert principal is not None
    assert (principal.agent, principal.key_id) == ("coder", "config:ci")


def test_a_key_goes_and_comes_with_its_agent_and_each_going_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    ring = ring_with(stored("fb-11111111aaaa"), stored("fb-22222222aaaa", revoked_at_s=1.0))
    for _ in range(2):
        ring.use(snapshot(agents=("coder",)))
        assert ring.authenticate(b"fb-11111111aaaa", NOW_S) is None
        ring.replace_stored([stored("fb-11111111aaaa"), stored("fb-22222222aaaa", revoked_at_s=1.0)])
        ring.use(snapshot())
        assert ring.authenticate(b"fb-11111111aaaa", NOW_S) is not None
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["the key fb-11111111 is not valid: its agent crawler is not in the configuration"] * 2


def test_what_is_replaced_is_gone() -> None:
    ring = ring_with(stored("fb-11111111aaaa"))
    ring.replace_stored([stored("fb-22222222bbbb")])
    assert ring.authenticate(b"fb-11111111aaaa", NOW_S) is None
    assert ring.authenticate(b"fb-22222222bbbb", NOW_S) is not None
    assert len(ring) == 1


def test_an_agent_that_moves_takes_its_keys_along() -> None:
    ring = ring_with(stored("fb-11111111aaaa"))
    moved = dataclasses.replace(snapshot(), agents={"crawler": Agent("crawler", "billing", "other")})
    ring.use(moved)
    principal = ring.authenticate(b"fb-11111111aaaa", NOW_S)
    assert principal is not None
    assert (principal.org, principal.team) == ("other", "billing")
