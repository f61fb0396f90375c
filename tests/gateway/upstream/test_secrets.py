"""What a provider repeats of our secrets does not go on to the client."""

from __future__ import annotations

from gateway.upstream.secrets import MASK, mask

HEADERS = (("Authorization", "Bearer sk-provider-key-1"), ("X-Api-Key", "another-secret"), ("X-Title", "our gateway"))


def test_secrets_are_masked_and_nothing_else() -> None:
    body = b"key sk-provider-key-1 or another-secret of our gateway"
    assert mask(body, HEADERS) == b"key " + MASK + b" or " + MASK + b" of our gateway"


def test_what_is_too_short_is_no_secret() -> None:
    assert mask(b"a short tale", (("api-key", "short"),)) == b"a short tale"
    assert mask(b"it is 1234567", (("api-key", "1234567"),)) == b"it is 1234567"
    assert mask(b"it is 12345678", (("api-key", "12345678"),)) == b"it is " + MASK


def test_no_headers_nothing_to_mask() -> None:
    assert mask(b"body", ()) == b"body"
