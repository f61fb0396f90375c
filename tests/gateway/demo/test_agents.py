import json
from itertools import islice
from random import Random

import pytest

from gateway.demo.agents import FLEET, MOST_TURNS, Role, coder, rogue
from gateway.demo.settings import BAD_DAYS
from gateway.demo.steps import Chat, Embed, Pause, Script, Seen, Step, ToolCall
from gateway.simulator.models import MODELS

ANSWER = Seen("Because of the rails.")
TOOL = Seen("", (ToolCall("call_1", "read_file", '{"path": "client.py"}'),))
FAILED = Seen(error="502 upstream_error")


def steps(script: Script, sight: Seen, count: int = 60) -> list[Step]:
    """The first steps of an agent that sees the same every time."""
    taken = [next(script)]
    taken += [script.send(sight) for _ in range(count - 1)]
    return taken


@pytest.mark.parametrize("role", FLEET, ids=lambda role: role.name)
@pytest.mark.parametrize("sight", [ANSWER, TOOL, FAILED], ids=["answered", "tool", "failed"])
def test_agents_go_on_whatever_they_see(role: Role, sight: Seen) -> None:
    taken = steps(role.script(Random(1), 1), sight)
    assert any(isinstance(step, Chat) for step in taken)
    assert any(isinstance(step, Pause) for step in taken)


@pytest.mark.parametrize("role", FLEET, ids=lambda role: role.name)
def test_what_agents_say_fits_the_table_and_is_json(role: Role) -> None:
    for step in steps(role.script(Random(3), 1), TOOL, 200):
        if not isinstance(step, Pause):
            assert len(step.doing) <= 24, step.doing
        if isinstance(step, Chat):
            json.dumps([step.messages, step.tools])


@pytest.mark.parametrize("role", FLEET, ids=lambda role: role.name)
def test_only_the_rogue_asks_for_what_is_not_there(role: Role) -> None:
    asked = {step.model for step in steps(role.script(Random(1), 1), ANSWER, 100) if isinstance(step, Chat | Embed)}
    unknown = asked - set(MODELS) - set(BAD_DAYS)
    assert unknown == ({"gpt-99"} if role.name == "rogue" else set())


@pytest.mark.parametrize("role", FLEET, ids=lambda role: role.name)
def test_the_same_dice_take_the_same_steps(role: Role) -> None:
    first, second, other = (steps(role.script(Random(seed), 1), ANSWER) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_the_coder_gives_up_on_tools_and_answers_each_of_them() -> None:
    chats = [step for step in islice(steps(coder(Random(1), 1), TOOL), 2 * MOST_TURNS + 1) if isinstance(step, Chat)]
    assert [step.model for step in chats] == ["sim-reasoner"] * MOST_TURNS + ["sim-large"]
    roles = [message["role"] for message in chats[-1].messages]
    assert roles == ["system", "user"] + ["assistant", "tool"] * MOST_TURNS + ["user"]


def test_the_rogue_does_all_its_misdeeds() -> None:
    chats = [step for step in steps(rogue(Random(1), 1), ANSWER, 40) if isinstance(step, Chat)]
    assert sum(step.wrong_key for step in chats) == 1
    assert any(step.leave_after for step in chats)
    assert {"gpt-99", "sim-down", "sim-cut", "sim-silent"} <= {step.model for step in chats}
    loop = [step for step in chats if step.doing.startswith("loops")]
    assert len({json.dumps(step.messages) for step in loop}) == 1
