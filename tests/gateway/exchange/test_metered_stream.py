"""Metered streams: as any other while the money lasts, properly ended when it does not."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamFailure
from gateway.exchange.failures import AttemptFailed
from gateway.exchange.metered_stream import relay_metered
from gateway.exchange.outbox import MAX_BYTES, ClientTooSlow
from gateway.upstream.transport import ConnectionBroken
from routing.rules import Verify
from tests.gateway.admission.world import turns
from tests.gateway.exchange.scene import DONE, ERROR, STOP, USAGE, Provider, begin, chunk

BROKEN = ConnectionBroken("the connection was lost", sent=True)


async def test_one_that_fits_is_passed_on_as_any_other() -> None:
    scene = await begin(Provider(chunk(""), chunk(), STOP, USAGE, DONE), metered=True)
    await relay_metered(scene.delivery, scene.provider)
    assert scene.client.got == [chunk("") + chunk(), STOP, DONE]
    assert (scene.charge.outcome, scene.charge.usage.output_tokens) == ("ok", 3)
    assert scene.client.finished


async def test_one_whose_money_ends_is_ended_as_at_its_length() -> None:
    scene = await begin(Provider(*[chunk()] * 400, STOP), metered=True)
    scene.take_the_rest()
    scene.context.recorded_answer = []
    await relay_metered(scene.delivery, scene.provider)
    assert scene.provider.aborted
    assert scene.client.finished
    assert b'"finish_reason":"length"' in scene.client.got[-1]
    assert scene.client.got[-1].endswith(DONE)
    assert b"".join(scene.context.recorded_answer) == scene.client.body
    assert (scene.context.outcome, scene.charge.outcome) == ("shortened", "shortened")
    assert 10 < len(scene.client.got) < 160
    assert scene.stage.store.reserved == 0


async def test_one_whose_money_ends_before_it_began_is_begun_first() -> None:
    burst = b"".join([chunk()] * 400)
    scene = await begin(Provider(burst, chunk()), metered=True)
    scene.take_the_rest()
    await relay_metered(scene.delivery, scene.provider)
    assert scene.client.started
    assert scene.client.got[0] == burst, "it is generated, so it is owed"
    assert scene.charge.outcome == "shortened"


HELD = Verify(("empty",), buffer_streams=True)


async def test_one_that_is_held_until_it_is_whole_leaves_at_once_then() -> None:
    seen: list[bool] = []
    scene = await begin(Provider(chunk(), chunk()), metered=True, verify=HELD)
    scene.provider.pieces += [lambda: seen.append(scene.client.started), STOP, USAGE, DONE]
    await relay_metered(scene.delivery, scene.provider)
    assert seen == [False]
    assert scene.client.got == [chunk() + chunk() + STOP + DONE]
    assert scene.charge.outcome == "ok"


async def test_one_whose_money_ends_while_it_is_held_leaves_as_it_is() -> None:
    scene = await begin(Provider(*[chunk()] * 400), metered=True, verify=HELD)
    scene.take_the_rest()
    await relay_metered(scene.delivery, scene.provider)
    held, ending = scene.client.got
    assert held == chunk() * held.count(b"word")
    assert b'"finish_reason":"length"' in ending


async def test_what_a_slow_client_has_to_come_is_sent_before_the_stream_breaks() -> None:
    late = chunk("late")
    scene = await begin(Provider(chunk()), metered=True)
    scene.provider.pieces += [lambda: setattr(scene.client, "blocked", True), late, BROKEN]
    with pytest.raises(ConnectionBroken):
        await relay_metered(scene.delivery, scene.provider)
    assert scene.client.got == [chunk(), late]


async def test_what_waits_for_a_client_that_was_given_up_is_dropped() -> None:
    scene = await begin(Provider(chunk()), metered=True)
    scene.provider.pieces += [lambda: setattr(scene.client, "blocked", True), chunk("late"), BROKEN]
    scene.delivery.given_up = True
    with pytest.raises(ConnectionBroken):
        await relay_metered(scene.delivery, scene.provider)
    await turns()
    assert scene.client.got == [chunk()]


async def test_a_last_event_without_its_blank_line_is_passed_on() -> None:
    scene = await begin(Provider(chunk(), STOP, b"data: [DONE]"), metered=True)
    await relay_metered(scene.delivery, scene.provider)
    assert scene.client.body == chunk() + STOP + b"data: [DONE]"


async def test_one_that_ends_before_it_began_can_be_replaced() -> None:
    scene = await begin(Provider(chunk("")), metered=True)
    with pytest.raises(AttemptFailed):
        await relay_metered(scene.delivery, scene.provider)
    assert not scene.client.started


async def test_one_that_ends_too_early_is_told() -> None:
    scene = await begin(Provider(chunk()), metered=True)
    with pytest.raises(UpstreamFailure, match="before its answer was whole"):
        await relay_metered(scene.delivery, scene.provider)
    assert scene.charge.outcome == "cut"


async def test_an_error_in_mid_stream_is_seen_by_the_client() -> None:
    scene = await begin(Provider(chunk(), ERROR), metered=True)
    await relay_metered(scene.delivery, scene.provider)
    assert scene.client.body == chunk() + ERROR
    assert scene.client.finished


async def test_one_that_breaks_is_settled_before_its_client_has_everything() -> None:
    scene = await begin(Provider(chunk(), BROKEN), metered=True)
    with pytest.raises(ConnectionBroken):
        await relay_metered(scene.delivery, scene.provider)
    assert scene.charge.outcome == "cut"


@pytest.mark.parametrize("pieces", [(chunk(),), ()])
async def test_one_that_was_given_up_or_not_begun_is_the_relays_to_settle(pieces: tuple[bytes, ...]) -> None:
    scene = await begin(Provider(*pieces, BROKEN), metered=True)
    scene.delivery.given_up = bool(pieces)
    with pytest.raises(ConnectionBroken):
        await relay_metered(scene.delivery, scene.provider)
    assert not scene.attempt.settled


async def test_a_client_that_is_too_far_behind_is_given_up() -> None:
    large = chunk("x" * (MAX_BYTES // 2))
    scene = await begin(Provider(chunk(), lambda: setattr(scene.client, "blocked", True), large, large), metered=True)
    with pytest.raises(ClientTooSlow):
        await relay_metered(scene.delivery, scene.provider)


async def test_what_cannot_be_read_is_not_metered_blindly() -> None:
    provider = Provider(chunk(), headers=[(b"content-encoding", b"br")])
    scene = await begin(provider, metered=True)
    with pytest.raises(ConnectionBroken, match="compressed"):
        await relay_metered(scene.delivery, scene.provider)
    assert scene.provider.aborted
