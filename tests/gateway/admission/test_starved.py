"""Streams that wait for more come before requests that have not begun."""

from __future__ import annotations

from gateway.admission.starved import Starved
from gateway.ledger.operations import Claim, Unit


def claim(key: str, *, calibrated: bool = True) -> Claim:
    return Claim(key, Unit.MONEY, 100, 1, "global", calibrated=calibrated)


def test_a_new_request_stands_behind_a_starved_stream_in_its_scopes_only() -> None:
    fed: list[int] = []
    starved = Starved(lambda: fed.append(1))
    assert not starved
    starved.starves("a", [claim("team"), claim("strict", calibrated=False)])
    assert starved.before([claim("other"), claim("team")]) == claim("team")
    assert starved.before([claim("other")]) is None
    assert starved.before([claim("strict")]) is None, "what is strict is never extended"
    assert fed == []


def test_who_is_fed_or_over_lets_others_in() -> None:
    fed: list[int] = []
    starved = Starved(lambda: fed.append(1))
    for name in "ab":
        starved.starves(name, [claim("team")])
    starved.ends("a")
    assert starved.before([claim("team")]) is not None
    starved.ends("b")
    assert not starved
    assert len(fed) == 2
    starved.ends("b")
    starved.ends("never")
    assert len(fed) == 2
