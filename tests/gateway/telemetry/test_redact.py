from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import redact as module
from gateway.telemetry.redact import redact, redact_long

SECRET = "Zk93hQm2xT7pLw4vB8nR"


@pytest.mark.parametrize(
    "text",
    [
        f"fb-a1b2c3d4{SECRET}",
        f"key=sk-{SECRET}",
        f"sk-proj-{SECRET}_x",
        f"sk-ant-api03-{SECRET}",
        f"gsk_{SECRET}",
        f"AIza{SECRET}",
        f"ghp_{SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: bearer {SECRET}==",
        f"Proxy-Authorization: Basic {SECRET}",
        f"x-api-key: {SECRET}",
        f"api-key={SECRET}",
        f'{{"api_key": "{SECRET}"}}',
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f"[(b'authorization', b'Bearer {SECRET}'), (b'x-api-key', b'{SECRET}')]",
        f"https://example.com/v1?key={SECRET}&alt=sse",
        f"http://user:{SECRET}@proxy:3128",
        f"password: {SECRET}",
        f"Bearer token-{SECRET}",
        f"FAREBOX_ADMIN_KEY={SECRET}",
        f"GROQ_API_KEY='{SECRET}'",
        json.dumps(json.dumps({"apiKey": SECRET, "authorization": f"Bearer {SECRET}"})),
    ],
)
def test_secrets_are_masked(text: str) -> None:
    masked = redact(text)
    assert SECRET not in masked
    assert SECRET[4:] not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "fb-a1b2c3d4 was revoked",
        "a risk-averse task-force asked",
        "the api key of agent researcher has expired",
        "tokens: 1200, key_id: config:main",
        "http://127.0.0.1:4000/v1",
        "basic auth is off",
        "no key, no call",
    ],
)
def test_the_rest_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_the_display_prefix_stays() -> None:
    assert redact(f"fb-a1b2c3d4{SECRET}") == "fb-a1b2c3d4***"


_AROUND = st.text(st.characters(exclude_categories=("Lu", "Nd", "Cs"), exclude_characters="_-"), max_size=20)


@given(
    st.sampled_from(
        ["fb-a1b2c3d4", "sk-", "Bearer ", "x-api-key: ", '"api_key": "', "?key=", "authorization: Bearer "]
    ),
    st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=12, max_size=80),
    _AROUND,
    _AROUND,
)
def test_no_key_survives_inside_json(prefix: str, key: str, before: str, after: str) -> None:
    text = f"{before} {prefix}{key} {after}"
    line = redact(json.dumps({"message": text}))
    assert key not in json.loads(line)["message"]


pieces = st.sampled_from(
    (
        "sk-",
        "gsk_",
        "fb-",
        "bearer",
        " ",
        '"',
        "\\",
        ":",
        "=",
        "password",
        "api_key",
        "://u:",
        "@",
        "a1B2c3D4e5",
        "x",
        ",",
        "é",
    )
)


@given(st.lists(pieces, max_size=60).map("".join), st.integers(20, 80))
def test_part_by_part_it_masks_the_same(text: str, part_chars: int) -> None:
    pauses: list[None] = []
    before = module.PART_CHARS, module.OVERLAP_CHARS
    module.PART_CHARS, module.OVERLAP_CHARS = part_chars, part_chars - 1  # type: ignore[misc]  # as short as the text
    try:
        assert redact_long(text, lambda: pauses.append(None)) == redact(text)
    finally:
        module.PART_CHARS, module.OVERLAP_CHARS = before  # type: ignore[misc]


def test_others_go_on_while_a_long_body_is_masked() -> None:
    pauses: list[None] = []
    body = "some words, " * 20_000 + f"api_key: {SECRET}"
    assert redact_long(body, lambda: pauses.append(None)) == redact(body)
    assert len(pauses) >= 5 * len(body) // module.PART_CHARS
