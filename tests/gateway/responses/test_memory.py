"""What the request's path asks of the memory."""

from __future__ import annotations

import msgspec
import pytest

from gateway.config.snapshot import Endpoint
from gateway.context import RequestContext
from gateway.errors import NotFound, ServiceUnavailable
from gateway.journal.database import Database
from gateway.responses.memory import Memory, keeping_of
from gateway.responses.store import Recalled
from gateway.wire import responses
from gateway.wire.native import RESPONSES
from gateway.wire.tongues import read_any, read_tongue
from routing.catalog import Deployment
from tests.gateway.responses.world import ALICE, EVE, World
from tests.gateway.snapshots import snapshot_of

DEPLOYMENT = Deployment("openai/gpt", "openai", "gpt", None)


async def test_a_request_that_goes_on_from_nothing_stays_as_it_is(world: World) -> None:
    request = read_tongue(RESPONSES, b'{"model":"gpt","input":"Hi"}')
    assert await Memory(world.store).recall(ALICE, request) is request
    chat = read_any("chat", b'{"model":"gpt","messages":[]}')
    assert await Memory(world.store).recall(ALICE, chat) is chat


@pytest.mark.parametrize("native", [True, False])
async def test_a_request_gets_what_it_goes_on_from(world: World, native: bool) -> None:
    await world.keep("resp_1", deployment_id="openai/gpt", native=native)
    asked = read_tongue(RESPONSES, b'{"model":"gpt","input":"Hi","previous_response_id":"resp_1"}')
    assert asked.native is not None
    asked.native.query = b"a=b"
    request = await Memory(world.store).recall(ALICE, asked)
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    said = request.native
    assert said is not None
    assert (said.held_at, said.query) == ("openai" if native else None, b"a=b")
    assert isinstance(said.before, Recalled)
    assert said.held_tokens == said.before.input_tokens > 0
    with pytest.raises(NotFound):
        await Memory(world.store).recall(EVE, asked)


async def test_items_that_a_request_refers_to_are_put_in(world: World) -> None:
    await world.keep("resp_1", deployment_id="openai/gpt")
    asked = read_tongue(
        RESPONSES,
        b'{"model":"gpt","previous_response_id":"resp_1","input":[{"type":"item_reference","id":"msg_out_resp_1"}]}',
    )
    request = await Memory(world.store).recall(ALICE, asked)
    assert [message.role for message in request.messages] == ["user", "assistant", "assistant"]


async def test_items_of_our_own_are_found_by_their_ids_alone(world: World) -> None:
    """AI SDK sends no more than that for what it has been answered."""
    name = responses.response_id("req_0123456789ab0123456789abcd")
    item = f"msg_{name.removeprefix('resp_')}000"
    said = {"id": item, "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    await world.keep(name, answer={"output": [said]})
    body = {"model": "gpt", "input": [{"type": "item_reference", "id": item}, {"role": "user", "content": "And?"}]}
    asked = read_tongue(RESPONSES, msgspec.json.encode(body))
    assert asked.native is not None
    assert asked.native.refused is not None
    request = await Memory(world.store).recall(ALICE, asked)
    assert [message.role for message in request.messages] == ["assistant", "user"]
    assert request.native is not None
    assert request.native.refused is None
    again = read_tongue(RESPONSES, msgspec.json.encode(body))
    with pytest.raises(NotFound) as caught:  # it is nobody else's
        await Memory(world.store).recall(EVE, again)
    assert caught.value.param == "input"


async def test_items_of_our_own_are_found_beside_what_a_request_goes_on_from(world: World) -> None:
    """Its provider would not know them: it is told all."""
    name = responses.response_id("req_0123456789ab0123456789abcd")
    item = f"msg_{name.removeprefix('resp_')}000"
    said = {"id": item, "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    await world.keep(name, answer={"output": [said]})
    await world.keep("resp_1", deployment_id="openai/gpt", native=True)
    body = {"model": "gpt", "previous_response_id": "resp_1", "input": [{"type": "item_reference", "id": item}]}
    request = await Memory(world.store).recall(ALICE, read_tongue(RESPONSES, msgspec.json.encode(body)))
    assert [message.role for message in request.messages] == ["user", "assistant", "assistant"]
    assert request.native is not None
    assert request.native.held_at is None


async def test_items_of_a_provider_are_left_to_it(world: World) -> None:
    asked = read_tongue(RESPONSES, b'{"model":"gpt","input":[{"type":"item_reference","id":"msg_68af"}]}')
    assert await Memory(world.store).recall(ALICE, asked) is asked


@pytest.mark.parametrize("native", [True, False])
def test_whose_an_answer_is(native: bool) -> None:
    endpoint = Endpoint("openai", "https://llm.example/v1", (), natives=frozenset((RESPONSES,) if native else ()))
    context = RequestContext(RESPONSES, snapshot_of(endpoints={"openai": endpoint}))
    context.principal, context.deployment = ALICE, DEPLOYMENT
    context.request = read_tongue(RESPONSES, b'{"model":"gpt","input":"Hi"}')
    keeping = keeping_of(context)
    assert keeping is not None
    assert (keeping.principal, keeping.native, keeping.deployment_id) == (ALICE, native, "openai/gpt")
    assert len(keeping.input) == 1


def test_what_its_client_does_not_want_kept_is_not() -> None:
    context = RequestContext(RESPONSES, snapshot_of())
    context.principal, context.deployment = ALICE, DEPLOYMENT
    context.request = read_tongue(RESPONSES, b'{"model":"gpt","input":"Hi","store":false}')
    assert keeping_of(context) is None
    context.request = read_any("chat", b'{"model":"gpt","messages":[]}')
    assert keeping_of(context) is None


async def test_a_journal_that_does_not_answer_is_no_unknown_item(database: Database) -> None:
    world = World(database.engine)
    await world.store.close()
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("DROP TABLE responses")
        await connection.commit()
    item = f"msg_{responses.response_id('req_0123456789ab0123456789abcd').removeprefix('resp_')}000"
    body = {"model": "gpt", "input": [{"type": "item_reference", "id": item}]}
    asked = read_tongue(RESPONSES, msgspec.json.encode(body))
    with pytest.raises(ServiceUnavailable):
        await Memory(world.store).recall(ALICE, asked)
