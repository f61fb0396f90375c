"""Which headers are labels, which go on to the provider, and which stay here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity import headers
from gateway.identity.headers import DROP, FORWARD, role_of

_STAYS = (
    "authorization x-api-key api-key x-goog-api-key cookie proxy-authorization host content-length connection "
    "transfer-encoding upgrade te expect accept-encoding content-type content-encoding content-md5 x-request-id "
    "x-forwarded-for x-forwarded-prefix x-real-ip cf-connecting-ip x-client-ip forwarded via origin referer "
    "openai-organization openai-project helicone-auth x-portkey-api-key x-portkey-config x-litellm-api-key "
    "x-farebox-unknown sec-fetch-mode x-http-method-override x-original-url tracestate http2-settings"
)
_GOES_ON = (
    "accept anthropic-version anthropic-beta openai-beta x-stainless-retry-count x-stainless-lang http-referer x-title "
    "x-custom idempotency-key x-session-identifier priority"
)


@pytest.mark.parametrize(
    "name",
    _STAYS.split(),
)
def test_what_stays_here(name: str) -> None:
    assert role_of(name.encode()).kind == DROP


@pytest.mark.parametrize(
    "name",
    _GOES_ON.split(),
)
def test_what_goes_on(name: str) -> None:
    assert role_of(name.encode()).kind == FORWARD


def test_shapes() -> None:
    assert role_of(b"helicone-property-app") == ("tag", 2, "app", False)
    assert role_of(b"x-claude-code-session-id") == ("session", 3, "", False)
    assert role_of(b"x-litellm-session-id").rank == 2


def test_only_ours_are_strict() -> None:
    strict = {name for name, role in headers._ROLES.items() if role.strict}
    assert strict
    assert all(name.startswith(b"x-farebox-") for name in strict)


@given(st.binary(max_size=300))
def test_any_name_has_a_role_and_keeps_it(name: bytes) -> None:
    assert role_of(name) == role_of(name)


def test_the_table_of_remembered_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(headers._ROLES)
    monkeypatch.setattr(headers, "_ROLES", table)
    role_of(b"x-" + b"long" * 1000)
    assert all(len(name) <= 64 for name in table)
    for number in range(5000):
        role_of(b"x-%d" % number)
    assert len(table) <= 4096
    assert role_of(b"x-farebox-run").kind == "run"
