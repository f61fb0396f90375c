from __future__ import annotations

import hashlib

from gateway.identity.keys import KEY_PREFIX, display_id, key_digest


def test_a_digest_is_of_the_whole_key_as_text_or_bytes() -> None:
    assert key_digest("fb-ü") == key_digest("fb-ü".encode()) == hashlib.sha256("fb-ü".encode()).digest()
    assert key_digest("fb-a") != key_digest("fb-b")


def test_what_is_shown_of_a_key_is_its_name_alone() -> None:
    key = f"{KEY_PREFIX}k3m8q2xwsecretsecret"
    assert display_id(key) == "fb-k3m8q2xw"
