"""The agents' scripts: generators that yield steps and are sent what they saw. They decide; `fleet` does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, NamedTuple

from gateway.demo import texts
from gateway.demo.steps import BUDGET_SPENT, Chat, Embed, Labels, Message, Pause, Script, Seen
from routing.money import NANO_PER_USD, NanoUsd

MOST_TURNS = 4
"""Tool calls that the coder makes for one task before it has to answer."""


class Role(NamedTuple):
    """An agent of the fleet."""

    name: str
    team: str
    script: Callable[[Random, int], Script]
    """Takes the dice and the worker's number."""
    workers: int = 1
    """How many copies of it work at the same time, with the same key."""
    allowed_models: tuple[str, ...] | None = None
    budget: NanoUsd | None = None
    """What it may spend in the whole demo."""


def researcher(dice: Random, worker: int) -> Script:
    """Reads long sources, asks the large model, and lets it write on."""
    handbook = texts.handbook()
    for number in count(1):
        topic = dice.choice(texts.TOPICS)
        labels = Labels(f"research-{worker}-{number}", f"research-{worker}", tags=f"topic={topic.replace(' ', '-')}")
        sources = [texts.document(topic, dice) for _ in range(6)]
        yield Embed(f"embeds {len(sources)} sources", "sim-embed", sources, labels)
        messages: list[Message] = [
            {"role": "system", "content": handbook},
            {"role": "user", "content": f"What do these say about {topic}?\n\n" + "\n\n".join(sources)},
        ]
        seen = yield Chat(f"reads: {topic}", "sim-large", messages, labels, stream=True)
        if not seen.error:
            messages += [_assistant(seen), {"role": "user", "content": "What is missing from that?"}]
            yield Chat("asks what is missing", "sim-large", messages, labels, stream=True)
        yield Pause(2.0)


def coder(dice: Random, worker: int) -> Script:
    """A tool loop: the reasoner asks for files and tests, the agent answers, the large model writes the patch."""
    for number in count(1):
        labels = Labels(f"task-{worker}-{number}", f"repo-{worker}", tags="repo=tickets,kind=fix")
        messages: list[Message] = [
            {"role": "system", "content": "You are a programmer. Look before you change anything."},
            {"role": "user", "content": dice.choice(texts.TASKS)},
        ]
        for turn in range(1, MOST_TURNS + 1):
            seen = yield Chat(f"thinks, turn {turn}", "sim-reasoner", messages, labels, tools=TOOLS)
            if seen.error or not seen.tool_calls:
                break
            messages.append(_assistant(seen))
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": texts.tool_result(call.name, dice)}
                for call in seen.tool_calls
            ]
            yield Pause(0.5)
        messages.append({"role": "user", "content": "Write the patch now."})
        yield Chat("writes the patch", "sim-large", messages, labels, stream=True)
        yield Pause(2.0)


def support(dice: Random, worker: int) -> Script:
    """Many short chats with the small model, for many customers."""
    for number in count(1):
        labels = Labels(session=f"chat-{worker}-{number}", user=f"customer-{dice.randint(1, 40)}", tags="channel=web")
        messages: list[Message] = [
            {"role": "system", "content": "You are friendly and brief."},
            {"role": "user", "content": dice.choice(texts.QUESTIONS)},
        ]
        for _ in range(dice.randint(1, 3)):
            seen = yield Chat(f"answers {labels.user}", "sim-small", messages, labels, stream=True)
            if seen.error:
                break
            messages += [_assistant(seen), {"role": "user", "content": dice.choice(texts.FOLLOW_UPS)}]
            yield Pause(1.0)
        yield Pause(0.5)


def rogue(dice: Random, worker: int) -> Script:
    """Does what agents do when something is wrong with them, over and over."""
    essay: list[Message] = [{"role": "user", "content": "Write all you know about trains."}]
    stuck: list[Message] = [{"role": "user", "content": "Continue."}]
    yield Chat("tries a wrong key", "sim-small", stuck, wrong_key=True)
    for number in count(1):
        labels = Labels(f"rogue-{worker}-{number}")
        yield Chat("asks for gpt-99", "gpt-99", stuck, labels)
        yield Chat("wants a forbidden one", "sim-reasoner", stuck, labels)
        for turn in range(1, 9):
            yield Chat(f"loops, {turn} of 8", "sim-small", stuck, labels, max_tokens=60)
            yield Pause(0.2)
        for _ in range(2):
            leaves = dice.randint(5, 40)
            yield Chat("hangs up on an answer", "sim-large", essay, labels, True, max_tokens=200, leave_after=leaves)
            yield Pause(0.5)
        yield Chat("meets a broken provider", "sim-down", stuck, labels)
        yield Chat("gets half an answer", "sim-cut", essay, labels, stream=True, max_tokens=200)
        seen = yield Chat("gets no usage", "sim-silent", stuck, labels, max_tokens=60)
        yield Pause(3.0 if seen.error.startswith(BUDGET_SPENT) else 1.0)


ROGUE_MODELS = ("sim-small", "sim-large", "sim-down", "sim-cut", "sim-silent", "gpt-*")
ROGUE_BUDGET = NanoUsd(NANO_PER_USD // 100)
"""A cent: before the usual half minute is over it has no room for the large model any more."""

FLEET = (
    Role("researcher", "research", researcher),
    Role("coder", "engineering", coder),
    Role("support", "support", support, workers=3),
    Role("rogue", "engineering", rogue, allowed_models=ROGUE_MODELS, budget=ROGUE_BUDGET),
)


def _tool(name: str, description: str, **parameters: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "required": list(parameters), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = (
    _tool("read_file", "Read a file of the repository.", path={"type": "string", "enum": list(texts.FILES)}),
    _tool("run_tests", "Run the tests.", pattern={"type": "string"}),
)


def _assistant(seen: Seen) -> Message:
    """What the model said, as the next request repeats it."""
    if not seen.tool_calls:
        return {"role": "assistant", "content": seen.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in seen.tool_calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}
