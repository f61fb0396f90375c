"""How long a stream is held back."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamFailure
from gateway.exchange.failures import AttemptFailed
from gateway.exchange.holding import (
    UNVERIFIED_MAX_BYTES,
    awaits_verdict,
    has_begun,
    require_whole,
)
from routing.rules import Verify
from tests.gateway.exchange.scene import DONE, ERROR, STOP, Provider, begin, chunk

VERIFIED = Verify(("empty",), buffer_streams=True)


async def test_a_stream_begins_with_content_or_its_end() -> None:
    for last in (chunk(), STOP, DONE):
        scene = await begin(Provider())
        observe = scene.settlement.observer.observe
        observe(chunk(""))
        assert not has_begun(scene.delivery, [chunk("")])
        assert scene.attempt.first_byte_s is None
        observe(last)
        assert has_begun(scene.delivery, [chunk(""), last])
        assert scene.attempt.first_byte_s is not None


async def test_one_that_never_says_anything_begins_when_it_is_long() -> None:
    scene = await begin(Provider())
    assert not has_begun(scene.delivery, [b"x", b"x" * (65_535)])
    assert has_begun(scene.delivery, [b"x", b"x" * 65_536])


async def test_one_that_begins_with_an_error_can_be_replaced() -> None:
    scene = await begin(Provider())
    scene.settlement.observer.observe(ERROR)
    scene.attempt.status = 203
    with pytest.raises(AttemptFailed) as failed:
        has_begun(scene.delivery, [ERROR])
    assert failed.value.failure.kind == "server_error"
    assert isinstance(failed.value.answer, UpstreamFailure)
    assert failed.value.answer.upstream_status == 203
    assert scene.provider.aborted
    assert scene.charge.outcome == "cut"


async def test_only_what_has_to_be_verified_is_held_until_it_is_whole() -> None:
    scene = await begin(Provider())
    assert not awaits_verdict(scene.delivery, [chunk()])
    scene = await begin(Provider(), verify=VERIFIED)
    assert awaits_verdict(scene.delivery, [chunk()])
    assert awaits_verdict(scene.delivery, [chunk()] * 64)


async def test_what_is_very_long_is_not_held() -> None:
    """Its size is looked at once in 64 pieces."""
    scene = await begin(Provider(), verify=VERIFIED)
    piece = bytes(UNVERIFIED_MAX_BYTES // 64)
    assert awaits_verdict(scene.delivery, [piece[1:]] + [piece] * 63)
    assert not awaits_verdict(scene.delivery, [piece] * 64)
    assert awaits_verdict(scene.delivery, [piece] * 65)
    assert not awaits_verdict(scene.delivery, [piece] * 128)


async def test_a_whole_one_is_required() -> None:
    scene = await begin(Provider())
    scene.settlement.observer.observe(STOP)
    require_whole(scene.delivery)
    assert not scene.attempt.settled
    with pytest.raises(AttemptFailed) as failed:
        require_whole(scene.delivery, malformed=True)
    assert failed.value.failure.kind == "cut"
    assert scene.attempt.settled


@pytest.mark.parametrize(("event", "kind"), [(chunk(""), "cut"), (ERROR, "server_error")])
async def test_what_has_ended_early_is_charged_and_told(event: bytes, kind: str) -> None:
    scene = await begin(Provider())
    scene.settlement.observer.observe(event)
    with pytest.raises(AttemptFailed) as failed:
        require_whole(scene.delivery)
    assert failed.value.failure.kind == kind
    assert scene.charge.outcome == "cut"
