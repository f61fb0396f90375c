"""The conversation: OpenAI's messages become Anthropic's system prompt and turns.

Messages of one side that follow each other become one turn, the results of parallel calls among them: Anthropic wants
them in one message, first. What the translation makes of the beginning of a conversation never depends on what comes
later, where the model allows that: prompt caches and thinking blocks hold only as long as what is before them does not
change.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic.content import (
    ABSENT,
    NULL,
    blocks_of,
    is_blank,
    is_string,
    marked,
    text_block,
    with_cache_control,
)
from gateway.wire.messages.blocks import RETURNABLE, THOUGHTS, read_block

_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOT_OF_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = ABSENT


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str = ""
    cache_control: msgspec.Raw = ABSENT


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    thinking_blocks: list[msgspec.Raw] | None = None
    content_blocks: list[msgspec.Raw] | None = None
    is_error: bool | None = None
    cache_control: msgspec.Raw = ABSENT


_messages_decoder = msgspec.json.Decoder(list[_Message])
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Turn:
    """A message as Anthropic has them."""

    __slots__ = ("blocks", "results", "role", "text")

    def __init__(self, role: bytes) -> None:
        self.role = role
        self.text = b""
        """The JSON string that is all of its content, as long as there is nothing else."""
        self.blocks: list[bytes] = []
        self.results = 0
        """How many of its blocks, the first, are results of tools."""

    def say(self, text: bytes) -> None:
        """Add a text, a JSON string, behind what is there."""
        if self.text or self.blocks:
            self.extend([text_block(text)])
        else:
            self.text = text

    def extend(self, blocks: list[bytes]) -> None:
        """Add blocks behind what is there."""
        if self.text:
            self.blocks.append(text_block(self.text))
            self.text = b""
        self.blocks += blocks

    def json(self) -> bytes:
        """The message."""
        content = self.text or b"[" + b",".join(self.blocks) + b"]"
        return b'{"role":"' + self.role + b'","content":' + content + b"}"


class Conversation:
    """System prompt and turns, as they are put together."""

    __slots__ = ("_system_turns", "_waiting", "system", "thoughtless_calls", "turns")

    def __init__(self, *, system_turns: bool) -> None:
        self.system: list[bytes] = []
        """Blocks of the system prompt."""
        self.turns: list[Turn] = []
        self.thoughtless_calls = False
        """Calls since the last question do not tell what was thought: the model cannot think on with a budget."""
        self._system_turns = system_turns
        self._waiting: list[bytes] = []
        """System messages whose place depends on who speaks next."""

    def system_message(self, blocks: list[bytes]) -> None:
        """A system or developer message."""
        if self.turns and (self._system_turns or self.turns[-1].role == b"assistant"):
            self._waiting += blocks
        else:
            self.system += blocks

    def turn(self, role: bytes) -> Turn:
        """The turn that what `role` says goes to."""
        if role == b"assistant":
            self.place_waiting()
        elif not self._system_turns:
            self.system += self._waiting
            self._waiting = []
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role))
        return self.turns[-1]

    def place_waiting(self) -> None:
        """The user's side has said what it has to say before an answer: give system messages their place behind it.

        Behind an answer they can have none: there they are said as the user's, which is better than an answer that
        the model would have to go on with.
        """
        if self._waiting:
            after_user = self.turns[-1].role == b"user"
            turn = Turn(b"system" if after_user else b"user")
            turn.blocks, self._waiting = self._waiting, []
            self.turns.append(turn)

    def messages_json(self) -> bytes:
        """The value of `messages`."""
        return b"[" + b",".join([turn.json() for turn in self.turns]) + b"]"

    def system_json(self) -> bytes:
        """The value of `system`; empty when there is none."""
        return b"[" + b",".join(self.system) + b"]" if self.system else b""


def read_conversation(messages: msgspec.Raw, *, system_turns: bool) -> Conversation:
    """Translate `messages`. Raises InvalidField for what cannot be said."""
    try:
        decoded = _messages_decoder.decode(messages)
    except _MALFORMED as error:
        raise InvalidField(f"`messages` is not valid: {error}.", param="messages") from None
    conversation = Conversation(system_turns=system_turns)
    for index, message in enumerate(decoded):
        field = f"messages[{index}]"
        role = message.role
        if role == "user":
            conversation.thoughtless_calls = False
            _say(conversation, b"user", message, field)
        elif role == "assistant":
            _answer(conversation, message, field)
        elif role == "tool":
            _result(conversation.turn(b"user"), message, field)
        elif role in ("system", "developer"):
            conversation.system_message(_marked(blocks_of(message.content, f"{field}.content"), message))
        else:
            raise InvalidField(f"`{field}.role` is {role[:32]!r}, which Claude does not know.", param=f"{field}.role")
    conversation.place_waiting()
    if not conversation.turns:  # a system prompt alone, which OpenAI answers
        turn = conversation.turn(b"user")
        turn.blocks, conversation.system = conversation.system, []
        if not turn.blocks:
            raise InvalidField("`messages` says nothing.", param="messages")
    return conversation


def _say(conversation: Conversation, role: bytes, message: _Message, field: str) -> None:
    """A message of text and other parts. One with nothing in it is left out."""
    content = message.content
    if is_string(content) and bytes(message.cache_control) in NULL:  # the usual message
        text = bytes(content)
        if not is_blank(text):
            conversation.turn(role).say(text)
        return
    blocks = _marked(blocks_of(content, f"{field}.content"), message)
    if blocks:
        conversation.turn(role).extend(blocks)


def _marked(blocks: list[bytes], message: _Message) -> list[bytes]:
    """Blocks of which the last carries the mark that the client put on the message."""
    if blocks:
        blocks[-1] = with_cache_control(blocks[-1], message.cache_control)
    return blocks


def _answer(conversation: Conversation, message: _Message, field: str) -> None:
    """An assistant's message: what it thought, said and called, in this order."""
    if message.content_blocks:
        blocks = _given_back(message.content_blocks, RETURNABLE, f"{field}.content_blocks")
    else:
        blocks = _given_back(message.thinking_blocks or [], THOUGHTS, f"{field}.thinking_blocks")
        if not blocks and not message.tool_calls and bytes(message.refusal) in NULL:
            _say(conversation, b"assistant", message, field)
            return
        blocks += blocks_of(message.content, f"{field}.content")
        if is_string(message.refusal) and not is_blank(bytes(message.refusal)):
            blocks.append(text_block(bytes(message.refusal)))
        blocks += [marked(_call(call), call.cache_control) for call in message.tool_calls or ()]
        if message.tool_calls and not any(b'"signature"' in each or b'"redacted_thinking"' in each for each in blocks):
            conversation.thoughtless_calls = True
    if blocks:
        conversation.turn(b"assistant").extend(_marked(blocks, message))


def _given_back(blocks: list[msgspec.Raw], kinds: frozenset[str], field: str) -> list[bytes]:
    """Blocks of an earlier answer, as they were. Only of these types: others could be anything, at any cost."""
    given = []
    for index, raw in enumerate(blocks):
        param = f"{field}[{index}]"
        try:
            block = read_block(raw)
        except _MALFORMED:
            raise InvalidField(f"`{param}` is no block: an object with a `type`.", param=param) from None
        if block.type not in kinds:
            raise InvalidField(f"`{param}` is of a type that no answer had: {block.type[:32]!r}.", param=param)
        if block.type != "text" or not is_blank(bytes(block.text)):
            given.append(bytes(raw))
    return given


def tool_id(call_id: str) -> bytes:
    """A call's id as JSON. Anthropic takes letters, digits, `_` and `-`; other providers' ids may hold more."""
    return b'"' + (_NOT_OF_AN_ID.sub("_", call_id) or "_").encode() + b'"'


def _call(call: _ToolCall) -> bytes:
    name = _encode(call.function.name)
    return b'{"type":"tool_use","id":%b,"name":%b,"input":%b}' % (tool_id(call.id), name, _input(call))


def _input(call: _ToolCall) -> bytes:
    """The arguments as an object. What a model wrote that is none is passed on as it stands, under a name."""
    raw = bytes(call.function.arguments)
    if raw[:1] != b'"':
        return raw if raw[:1] == b"{" else b"{}"
    try:
        text = msgspec.json.decode(raw, type=str).strip()
        if not text or text == "null":
            return b"{}"
        _object_decoder.decode(text)
    except _MALFORMED:
        return b'{"arguments":' + raw + b"}"
    return text.encode()


def _result(turn: Turn, message: _Message, field: str) -> None:
    """A tool's result: behind the other results, before all else of the turn."""
    if not message.tool_call_id:
        param = f"{field}.tool_call_id"
        raise InvalidField(f"`{param}` is missing: Claude has to know which call it answers.", param=param)
    content = message.content
    block = b'{"type":"tool_result","tool_use_id":' + tool_id(message.tool_call_id)
    if is_string(content) and not is_blank(bytes(content)):
        block += b',"content":' + bytes(content)
    elif blocks := blocks_of(content, f"{field}.content"):
        block += b',"content":[' + b",".join(blocks) + b"]"
    if message.is_error:
        block += b',"is_error":true'
    turn.extend([])
    turn.blocks.insert(turn.results, marked(block + b"}", message.cache_control))
    turn.results += 1
