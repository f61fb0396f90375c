"""Responses that nobody waits for: what becomes of each, whoever looks, and whatever ends first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import BodyTooLarge, BudgetExceeded, FareboxError, InvalidField, LimitReached, NotFound
from gateway.journal.database import Database
from gateway.reply import ClientGone, Reply
from gateway.responses.background import LEASE_S, Asked, Background
from gateway.responses.conversations import Conversations
from gateway.responses.job import Job
from gateway.responses.objects import as_event
from gateway.responses.store import Keeper, Keeping
from tests.gateway.responses.world import ALICE, BOB, EVE, World, answer, ids, request, said

Script = Callable[["Served"], Awaitable[None]]


class Served:
    """One request as the pipeline would serve it, step by step as the test says."""

    def __init__(self) -> None:
        self.reply: Reply
        self.keeper: Keeper
        self.left = asyncio.Event()
        self.go = asyncio.Event()
        self.ended = False

    def call_upstream(self) -> None:
        """From here on it is accepted."""
        self.reply.on_disconnect(self.left.set)

    async def keep(self, name: str = "resp_upstream", **changes: Any) -> bytes:
        """What answered, kept before it is sent."""
        body = answer(name, **changes)
        keeping = Keeping(ALICE, "req_1", "gpt", [said("q")], user="alice", deployment_id="sim/gpt", native=True)
        await self.keeper.keep(keeping, body)
        return body

    async def answer(self, **changes: Any) -> None:
        """All of it."""
        await self.reply.whole(200, [], await self.keep(**changes))


class Gateway:
    """One gateway's background."""

    def __init__(self, world: World, *, alone: bool = False) -> None:
        self.world = world
        self.background = Background(world.store, alone=alone)

    async def begin(self, script: Script, **fields: Any) -> tuple[Job, Served]:
        """Ask for a response that is made so."""
        served = Served()

        async def serve(reply: Reply, keeper: Keeper) -> None:
            served.reply, served.keeper = reply, keeper
            try:
                await script(served)
            finally:
                served.ended = True

        asked = Asked(ALICE, "alice", request(background=True, **fields))
        return await self.background.begin(asked, serve, lambda callback: None), served

    async def status(self, job: Job) -> str:
        """As its client sees it; in the object too."""
        row = await self.background.find(BOB, job.row.id)
        told = json.loads(row.body)
        assert (told["id"], told["background"]) == (job.row.id, True)
        assert told["status"] == row.status
        return row.status

    async def over(self) -> None:
        """Once nothing runs any more."""
        while self.background.running:
            await asyncio.wait(list(self.background._tasks.values()))


@pytest.fixture
async def gateway(world: World) -> AsyncIterator[Gateway]:
    made = Gateway(world)
    yield made
    await made.background.close(0.0)


@pytest.fixture
async def single(small: World) -> AsyncIterator[Gateway]:
    """On SQLite."""
    made = Gateway(small, alone=True)
    yield made
    await made.background.close(0.0)


@pytest.fixture
async def other(either: Database, world: World) -> AsyncIterator[Gateway]:
    """Another gateway on the same journal."""
    made = Gateway(World(either.engine))
    made.world.now_s = world.now_s
    yield made
    await made.background.close(0.0)
    await made.world.store.close()


async def when_told(served: Served) -> None:
    """Calls somebody, and answers when the test says so, unless nobody wants it any more."""
    served.call_upstream()
    told, left = asyncio.ensure_future(served.go.wait()), asyncio.ensure_future(served.left.wait())
    await asyncio.wait((told, left), return_when=asyncio.FIRST_COMPLETED)
    told.cancel(), left.cancel()
    if not served.left.is_set():
        await served.answer()


async def test_it_is_taken_and_answered(gateway: Gateway, other: Gateway) -> None:
    job, served = await gateway.begin(when_told, instructions="be brief")
    taken = json.loads(job.row.body)
    assert (taken["status"], taken["output"], taken["instructions"]) == ("queued", [], "be brief")
    assert await gateway.status(job) == "in_progress"
    assert await other.status(job) == "queued"  # it was written when it was taken
    served.go.set()
    await gateway.over()
    for each in (gateway, other):
        assert await each.status(job) == "completed"
        row = await each.background.find(ALICE, job.row.id)
        assert (row.deployment, row.request_id, row.user, row.native) == ("sim/gpt", "req_1", "alice", False)
        assert (row.input_tokens, row.output_tokens, row.owner) == (7, 5, None)
    recalled = await other.world.store.recall(ALICE, job.row.id)
    assert ids(recalled.items) == ["msg_in_q", "msg_out_resp_upstream"]
    assert not recalled.native  # its provider knows it by another name


async def test_it_is_found_elsewhere_before_its_client_is_told_of_its_end(gateway: Gateway, other: Gateway) -> None:
    async def kept_first(served: Served) -> None:
        served.call_upstream()
        body = await served.keep()
        served.go.set()
        await served.left.wait()
        await served.reply.whole(200, [], body)

    job, served = await gateway.begin(kept_first)
    await served.go.wait()
    assert await other.status(job) == "completed"
    served.left.set()
    await gateway.over()
    assert await gateway.status(job) == "completed"


async def test_nobody_elses(single: Gateway) -> None:
    job, served = await single.begin(when_told)
    background, name = single.background, job.row.id
    for ask in (background.find, background.cancel, background.delete):
        with pytest.raises(NotFound):
            await ask(EVE, name)
    with pytest.raises(NotFound):
        await anext(background.events(EVE, name, -1))
    assert not served.left.is_set()
    assert await single.status(job) == "in_progress"


# --- refused ---


async def test_what_is_refused_before_it_is_taken_is_told_as_ever(single: Gateway) -> None:
    async def no_money(served: Served) -> None:
        await served.reply.error(BudgetExceeded("Nothing left."), "req_9")

    job, _ = await single.begin(no_money)
    assert job.refused is not None
    assert isinstance(job.refused.error, BudgetExceeded)
    assert job.refused.request_id == "req_9"
    with pytest.raises(NotFound):
        await single.background.find(ALICE, job.row.id)


async def test_so_is_a_providers_refusal_that_comes_at_once(single: Gateway) -> None:
    async def refusal(served: Served) -> None:
        await served.reply.whole(400, [(b"x", b"y")], b'{"error":{"message":"no"}}')

    job, _ = await single.begin(refusal)
    assert job.refused == (None, "", 400, [(b"x", b"y")], b'{"error":{"message":"no"}}')


async def test_a_client_that_leaves_before_it_is_taken(single: Gateway) -> None:
    """Nobody knows its name: it is not made."""
    leave: list[Callable[[], None] | None] = []

    async def slow(reply: Reply, keeper: Keeper) -> None:
        left = asyncio.Event()
        for callback in list(leave):
            if callback is not None:
                callback()
        reply.on_disconnect(left.set)
        told.append(left.is_set())

    told: list[bool] = []
    job = await single.background.begin(Asked(ALICE, None, request()), slow, leave.append)
    assert leave[1] is None
    await single.over()
    assert told == [True]
    assert json.loads(job.body)["status"] == "failed"

    async def gone(reply: Reply, keeper: Keeper) -> None:
        for callback in list(leave):
            if callback is not None:
                callback()

    with pytest.raises(ClientGone):
        await single.background.begin(Asked(ALICE, None, request()), gone, leave.append)


async def test_a_defect_is_told(single: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async def defect(_: Served) -> None:
        raise RuntimeError("never seen")

    with pytest.raises(FareboxError):
        await single.begin(defect)
    assert "unforeseen error" in caplog.text
    assert not single.background._jobs


async def test_as_many_as_are_allowed(single: Gateway) -> None:
    single.world.set(max_background=1)
    _, served = await single.begin(when_told)
    with pytest.raises(LimitReached) as raised:
        await single.begin(when_told)
    assert raised.value.status == 429
    served.go.set()
    await single.over()
    await single.begin(when_told)


async def test_it_has_to_be_kept(single: Gateway) -> None:
    with pytest.raises(InvalidField) as raised:
        await single.begin(when_told, store=False)
    assert raised.value.param == "store"
    single.world.set(enabled=False)
    with pytest.raises(InvalidField) as raised:
        await single.begin(when_told)
    assert raised.value.param == "background"


# --- ended otherwise ---


async def test_it_is_cancelled(gateway: Gateway, other: Gateway) -> None:
    job, served = await gateway.begin(when_told)
    row = await gateway.background.cancel(BOB, job.row.id)
    assert (row.status, json.loads(row.body)["status"]) == ("cancelled", "cancelled")
    assert served.left.is_set()  # the provider was told
    assert served.ended
    assert await other.status(job) == "cancelled"
    assert (await gateway.background.cancel(BOB, job.row.id)).status == "cancelled"


async def test_one_that_has_ended_stays_as_it_is(single: Gateway) -> None:
    job, served = await single.begin(when_told)
    served.go.set()
    await single.over()
    assert (await single.background.cancel(ALICE, job.row.id)).status == "completed"


async def test_only_one_of_the_background_is_cancelled(single: Gateway) -> None:
    await single.world.keep("a")
    with pytest.raises(InvalidField):
        await single.background.cancel(ALICE, "a")
    assert (await single.background.find(ALICE, "a")).status == "completed"


async def test_it_is_cancelled_at_another_gateway(
    gateway: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.responses.background.BEAT_S", 0.0)
    job, served = await gateway.begin(when_told)
    assert (await other.background.cancel(ALICE, job.row.id)).status == "cancelled"
    await served.left.wait()  # by the next beat
    await gateway.over()
    for each in (gateway, other):
        assert await each.status(job) == "cancelled"


async def test_it_is_deleted_while_it_is_made(gateway: Gateway, other: Gateway) -> None:
    job, served = await gateway.begin(when_told)
    await gateway.background.delete(ALICE, job.row.id)
    assert served.left.is_set()
    await gateway.over()
    for each in (gateway, other):
        with pytest.raises(NotFound):
            await each.background.find(ALICE, job.row.id)


async def test_it_is_deleted_at_another_gateway(
    gateway: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.responses.background.BEAT_S", 0.0)
    job, served = await gateway.begin(when_told)
    await other.background.delete(ALICE, job.row.id)
    await served.left.wait()
    await gateway.over()
    with pytest.raises(NotFound):
        await gateway.background.find(ALICE, job.row.id)


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        (lambda served: served.reply.error(LimitReached("Too many."), "r"), "rate_limit_exceeded", "Too many."),
        (lambda served: served.reply.whole(500, [], b'{"error":{"message":"no"}}'), "server_error", "no"),
        (lambda served: served.reply.whole(418, [], b"tea"), "server_error", "The provider refused the request with"),
        (lambda served: served.reply.whole(200, [], b"tea"), "server_error", "could not be read"),
        (lambda served: served.reply.finish(), "server_error", "ended before the answer was whole"),
        (lambda served: asyncio.sleep(0), "server_error", "ended without an answer"),
    ],
)
async def test_it_fails(single: Gateway, ending: Script, code: str, message: str) -> None:
    async def script(served: Served) -> None:
        served.call_upstream()
        await ending(served)

    job, _ = await single.begin(script)
    await single.over()
    assert await single.status(job) == "failed"
    error = json.loads((await single.background.find(ALICE, job.row.id)).body)["error"]
    assert error["code"] == code
    assert message in error["message"]


async def test_one_whose_answer_is_too_large_has_failed(single: Gateway) -> None:
    single.world.set(max_response_bytes=2_000)
    job, served = await single.begin(when_told)
    served.go.set()
    await single.over()
    row = await single.background.find(ALICE, job.row.id)
    assert row.status == "completed"
    job, served = await single.begin(too_large)
    await single.over()
    row = await single.background.find(ALICE, job.row.id)
    assert row.status == "failed"
    assert "too large" in json.loads(row.body)["error"]["message"]


async def test_so_is_a_request_that_is(single: Gateway) -> None:
    single.world.set(max_response_bytes=500)
    with pytest.raises(BodyTooLarge):
        await single.begin(when_told, input="x" * 500)
    assert not single.background.running


async def too_large(served: Served) -> None:
    served.call_upstream()
    await served.answer(text="x" * 2_000)


async def test_who_stops_lets_them_end_for_a_while(single: Gateway) -> None:
    job, served = await single.begin(when_told)
    closing = asyncio.ensure_future(single.background.close(60.0))
    await asyncio.sleep(0)
    served.go.set()
    await closing
    assert await single.status(job) == "completed"


@pytest.mark.parametrize("hurried", [False, True])
async def test_and_then_they_have_failed(single: Gateway, hurried: bool) -> None:
    job, served = await single.begin(when_told)
    hurry = asyncio.Event()
    if hurried:
        hurry.set()
    await single.background.close(60.0 if hurried else 0.0, hurry)
    assert served.ended
    assert await single.status(job) == "failed"
    assert "stopped" in json.loads((await single.background.find(ALICE, job.row.id)).body)["error"]["message"]


async def test_one_whose_gateway_is_gone_has_failed(gateway: Gateway, other: Gateway) -> None:
    job, _ = await gateway.begin(when_told)
    other.world.now_s += LEASE_S - 1
    assert await other.status(job) == "queued"
    other.world.now_s += 2
    assert await other.status(job) == "failed"
    row = await other.background.find(ALICE, job.row.id)
    assert "gateway that made this response ended" in json.loads(row.body)["error"]["message"]
    recalled = await other.world.store.recall(ALICE, job.row.id)
    assert len(recalled.items) == 1  # what was asked


async def test_one_that_says_it_lives_does(gateway: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.responses.background.BEAT_S", 0.0)
    job, served = await gateway.begin(when_told)
    gateway.world.now_s += 10 * LEASE_S
    while (await other.world.store.find(ALICE, job.row.id)).alive_until_s < gateway.world.now_s:
        await asyncio.sleep(0)
    other.world.now_s = gateway.world.now_s
    assert await other.status(job) == "in_progress"
    assert not served.left.is_set()


async def test_whoever_has_the_journal_alone_need_not_wait(single: Gateway, database: Database) -> None:
    job, _ = await single.begin(when_told)
    after = World(database.engine)
    started_again = Gateway(after, alone=True)
    assert await started_again.status(job) == "failed"
    await after.store.close()


# --- events ---


def streamed(served: Served) -> Awaitable[None]:
    async def run() -> None:
        served.call_upstream()
        await served.reply.start(200, [])
        await served.reply.send(as_event("response.created", 0, answer("resp_upstream", status="in_progress")))
        delta = b'data: {"type":"response.output_text.delta","sequence_number":1,"delta":"hi"}\n\n'
        await served.reply.send(delta[:20])
        await served.reply.send(delta[20:])
        await served.go.wait()
        await served.reply.send(as_event("response.completed", 2, await served.keep()))
        await served.reply.finish()

    return run()


async def numbers(gateway: Gateway, job: Job, after: int = -1) -> list[tuple[int, str]]:
    found = []
    async for event in gateway.background.events(ALICE, job.row.id, after):
        data = json.loads(event.partition(b"data: ")[2])
        if "response" in data:
            assert (data["response"]["id"], data["response"]["background"]) == (job.row.id, True)
        found.append((data["sequence_number"], data["type"]))
    return found


ALL = [(0, "response.created"), (1, "response.output_text.delta"), (2, "response.completed")]


async def test_of_one_without_a_stream_nothing_is_held_once_it_has_ended(single: Gateway) -> None:
    job, served = await single.begin(when_told)
    served.go.set()
    await single.over()
    assert not single.background._jobs
    assert await numbers(single, job) == [(0, "response.completed")]


async def test_events_are_followed_from_wherever(single: Gateway) -> None:
    job, served = await single.begin(streamed, stream=True)
    following = [asyncio.ensure_future(numbers(single, job, after)) for after in (-1, 0, 1, 7)]
    await asyncio.sleep(0)
    served.go.set()
    assert await asyncio.gather(*following) == [ALL, ALL[1:], ALL[2:], []]
    assert await numbers(single, job) == ALL  # for a while


async def test_where_there_are_none_the_last_one_is_told(
    gateway: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.responses.background.POLL_S", 0.0)
    job, served = await gateway.begin(streamed, stream=True)
    following = asyncio.ensure_future(numbers(other, job, 0))
    await asyncio.sleep(0)
    served.go.set()
    assert await following == [(1, "response.completed")]


async def test_events_that_take_too_much_are_left_out_but_for_the_last(
    single: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.responses.background._EVENTS_TIMES", 0)
    job, served = await single.begin(streamed, stream=True)
    served.go.set()
    assert await numbers(single, job) == ALL[2:]


async def test_a_stream_that_breaks_off_has_failed(single: Gateway) -> None:
    async def broken(served: Served) -> None:
        served.call_upstream()
        await served.reply.start(200, [])
        await served.reply.send(as_event("response.created", 0, answer("resp_upstream", status="in_progress")))
        await served.reply.finish()

    job, _ = await single.begin(broken, stream=True)
    assert await numbers(single, job) == [ALL[0], (1, "response.failed")]
    assert await single.status(job) == "failed"


async def test_its_conversation_goes_on(single: Gateway) -> None:
    store = single.world.store
    name = (await Conversations(store).create(ALICE, None, {}, [said("0")]))["id"]

    async def script(served: Served) -> None:
        served.call_upstream()
        recalled = await store.recall(ALICE, None, name)
        body = answer("resp_upstream")
        await served.keeper.keep(Keeping(ALICE, "req_1", "gpt", [said("1")], recalled), body)
        await served.reply.whole(200, [], body)

    job, _ = await single.begin(script, conversation=name)
    await single.over()
    assert ids((await store.recall(ALICE, None, name)).items) == ["msg_in_0", "msg_in_1", "msg_out_resp_upstream"]
    assert ids((await store.recall(ALICE, job.row.id)).items) == ["msg_in_0", "msg_in_1", "msg_out_resp_upstream"]
