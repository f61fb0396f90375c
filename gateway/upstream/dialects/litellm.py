"""Providers that the LiteLLM SDK translates for: Bedrock, Vertex, Cohere and the rest. Pure.

What goes out is no HTTP request but a call of the SDK, written down: `gateway.upstream.dialects.litellm_bridge` makes
it, and answers in OpenAI's wire. Only fields with a known meaning go on: the SDK takes its own switches (where to
connect, which key, what to pretend) by the same road, and no client may set those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gateway.config.snapshot import Endpoint
from gateway.errors import InvalidField
from gateway.upstream.dialects import openai
from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.protocol import Complaint, Outgoing, Translation, Wish
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, ModelRequest

NAME: Final = "litellm"
COMPLETION: Final = b"acompletion"
EMBEDDING: Final = b"aembedding"

CLIENTS: Final = {
    "bedrock": ("boto3", "farebox[bedrock]"),
    "sagemaker": ("boto3", "farebox[bedrock]"),
    "vertex_ai": ("google.auth", "farebox[vertex]"),
}
"""What the SDK needs besides for a provider whose name begins so: a module, and what brings it."""

_CHAT_FIELDS = frozenset(
    (
        *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "messages", "min_p"),
        *("modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty", "reasoning_effort"),
        *("repetition_penalty", "response_format", "seed", "service_tier", "stop", "stream", "stream_options"),
        *("temperature", "thinking", "tool_choice", "tools", "top_k", "top_logprobs", "top_p", "user", "verbosity"),
        "web_search_options",
    )
)
_FIELDS = {
    CHAT: _CHAT_FIELDS,
    COMPLETIONS: _CHAT_FIELDS - {"logprobs", "messages", "tools", "tool_choice", "functions", "function_call"},
    EMBEDDINGS: frozenset(("dimensions", "encoding_format", "input", "input_type", "user")),
}
_LABELS = frozenset(("metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "store"))
"""What OpenAI keeps beside an answer: nothing of it changes the answer, and other providers have no place for it."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "encoding_format": ("float",),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "stream": (False,),
    "suffix": ("",),
    "tools": ([],),
}
"""What a field says that says nothing: SDKs send it, and the LiteLLM SDK would refuse it for many providers."""
_BOUNDS = ("max_tokens", "max_completion_tokens")
_LINK = re.compile(r"\s*(https?|ftp|file):", re.IGNORECASE)
_MAX_DEPTH = 64


class Order(msgspec.Struct):
    """A call of the SDK."""

    arguments: dict[str, Any]
    """Of the function that the path names; the endpoint's own parameters come on top."""
    stream: bool = False
    text: bool = False
    """The answer is a completion's: text in place of messages."""
    base64: bool = False
    """The client wants its vectors in base64, which is done here."""


class LiteLLM:
    """Implements `gateway.upstream.dialects.protocol.Dialect`."""

    name = NAME
    apis = frozenset((CHAT, COMPLETIONS, EMBEDDINGS))
    credentials = ("", "")
    """The key is a parameter of the call."""
    words = Words()

    def outgoing(self, request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
        """The call that the request becomes. Raises InvalidField."""
        sdk = endpoint.litellm
        assert sdk is not None, "the configuration gives every such endpoint its parameters"  # noqa: S101 -- as it says
        fields = msgspec.json.decode(openai.DIALECT.body(request, wish))
        where = f"{wish.upstream_model}` at `{endpoint.provider}"
        order = Order(_meaningful(fields, request.api, where, drop=sdk.drop_params))
        order.arguments["model"] = f"{sdk.provider}/{wish.upstream_model}"
        order.stream = order.arguments.get("stream") is True
        if request.api == EMBEDDINGS:
            order.base64 = order.arguments.pop("encoding_format", None) == "base64"
            return Outgoing(EMBEDDING, b"", msgspec.json.encode(order))
        if request.api == COMPLETIONS:
            order.text = True
            order.arguments["messages"] = [{"role": "user", "content": _prompt(fields["prompt"])}]
        _refuse_links(order.arguments["messages"], "messages")
        return Outgoing(COMPLETION, b"", msgspec.json.encode(order))

    def translation(self, request: ModelRequest, wish: Wish) -> Translation | None:
        """None: the bridge answers in OpenAI's words."""
        return None

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means."""
        return self.words.complaint(status, body)


def _meaningful(fields: dict[str, Any], api: str, where: str, *, drop: bool) -> dict[str, Any]:
    """The fields that say something, under the names that the SDK takes everywhere. Raises InvalidField for others."""
    arguments: dict[str, Any] = {}
    known = _FIELDS[api]
    for name, value in fields.items():
        if value is None or name in _LABELS or name in {"model", "prompt", *_BOUNDS} or _is_neutral(name, value):
            continue
        if name in known:
            arguments[name] = value
        elif not drop:
            raise InvalidField(f"`{name}` cannot be said to `{where}`, which is reached through an SDK.", param=name)
    bounds = [fields[name] for name in _BOUNDS if fields.get(name) is not None]
    if bounds and api != EMBEDDINGS:
        arguments["max_tokens"] = min(bounds)
    return arguments


def _is_neutral(name: str, value: Any) -> bool:
    return any(type(value) is type(neutral) and value == neutral for neutral in _NEUTRAL.get(name, ())) or (
        value == 0 and name in {"frequency_penalty", "presence_penalty"}
    )


def _prompt(prompt: Any) -> str:
    """The one text of a completion's prompt."""
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise InvalidField("`prompt` must be one text: this provider answers one prompt at a time.", param="prompt")
    return prompt


def _refuse_links(messages: Any, param: str) -> None:
    """The SDK would fetch what a message points to, from here: from inside of the operator's network."""
    for link in _links(messages, 0):
        raise InvalidField(
            f"`{link[:100]}` would have to be fetched by the gateway, which it does not do: send the contents "
            "(a `data:` URL) in its place.",
            param=param,
        )


def _links(value: Any, depth: int) -> Iterator[str]:
    """Links anywhere but in texts."""
    if depth > _MAX_DEPTH:
        raise InvalidField("`messages` is nested too deeply.", param="messages")
    if isinstance(value, dict):
        for name, part in value.items():
            if name in {"text", "thinking", "arguments", "name"} or (name == "content" and isinstance(part, str)):
                continue
            if isinstance(part, str):
                if _LINK.match(part):
                    yield part
            else:
                yield from _links(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _links(part, depth + 1)


DIALECT = LiteLLM()
