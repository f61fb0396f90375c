"""The most that a request can cost at a deployment: what an enforced budget reserves. Pure.

**Input.** No tokenizer in use gives more tokens than its input has UTF-8 bytes, and JSON never takes fewer bytes than
the text in it; what a provider adds around the text is `FRAMING_TOKENS` and its companions. What is not in the body
(files, links, earlier answers) counts as the whole context window. docs/budgets.md has the rule for each field.

**Output.** The client's bound, the deployment's and the agent's, whichever is least, for each answer.

**Rates.** The dearest that can apply (`gateway.pricing.dearest`).

What has no bound raises CostUnbounded, which names the field.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from gateway.errors import CostUnbounded
from gateway.ledger.meter import Terms
from gateway.ledger.operations import Amounts
from gateway.pricing.dearest import Rates, dearest
from gateway.pricing.extents import limit
from gateway.pricing.modalities import family_image_tokens
from gateway.wire.extent import Extent
from gateway.wire.native import Native, Service
from gateway.wire.requests import CHAT, EMBEDDINGS, ModelRequest, Tool
from routing.catalog import Deployment
from routing.money import PICO_PER_NANO, NanoUsd, Price
from routing.tariff import rate

FRAMING_TOKENS: Final = 256
"""What chat templates write of their own accord: the longest default system prompts have about 200 tokens."""
MESSAGE_TOKENS: Final = 8
"""Marks around one message. OpenAI documents 3 to 4; each message's JSON, 25 bytes at least, is counted as well."""
TOOLS_FRAMING_TOKENS: Final = 1_024
"""The instructions that come with tools: Anthropic documents up to 530 tokens, open models' templates go to 900."""
TOOL_TOKENS: Final = 32
"""Marks around one tool: OpenAI's are 8 to 19 tokens."""
UNIT_TOKENS: Final = 2
"""For each structural character and each byte beyond ASCII of a schema, which templates write again: with line breaks
and indentation, or with `\\u` escapes. Arguments of earlier calls get a space after each comma and colon at most."""

MAX_MONEY: Final = 2**53 - 1
"""Nano-USD, nine million dollars: beyond it a store's counters (doubles, in Lua) are not exact."""

_UNKNOWN_SIZE: Final = (
    "previous_response_id",
    "conversation",
    "data_sources",
    "file_ids",
    "files",
    "thread",
    "cached_content",
    "cachedContent",
    "extra_body",
)
"""Fields that make the provider read what is not in the body."""
_UNKNOWN_FEES: Final = (
    *("web_search_options", "web_search", "enable_search", "search_options", "search_parameters", "plugins"),
    *("mcp_servers", "container", "models", "fallbacks", "preset"),
    *("speed", "inference_geo", "context_management", "compaction"),
)
"""Fields that make the provider call, and bill, something else: searches, servers, other models, other rates."""
_WATCHED: Final = frozenset(
    (*_UNKNOWN_SIZE, *_UNKNOWN_FEES, "tools", "functions", "response_format", "prediction", "prompt", "input")
)
_SCHEMAS: Final = ("tools", "functions", "response_format")
_NOTHING: Final = (b"null", b"false", b"[]", b"{}", b'""')
_ON_AS_IT_IS: Final = ("web_search_options", "search_options", "search_parameters")
"""Fields that ask for a search without saying anything of it: `{}`."""
_OWN_TOOLS: Final = (b'"function"', b'"custom"')
_EXPLICIT_CACHES: Final = ("claude", "anthropic", "qwen")
"""Families that write to a cache only where the request says `cache_control`."""

_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class Bound(NamedTuple):
    """An upper bound on one attempt, and what is needed to shorten it."""

    input_tokens: int
    output_tokens: int
    """Of each answer, rejected predictions included."""
    answers: int
    money: NanoUsd
    """For all of it."""
    set_max_tokens: int | None
    """What the body must say so that the bound holds; None when it holds as the client wrote it."""
    predicted_tokens: int
    """Part of `output_tokens` that a lower bound in the body does not lower."""
    text_bytes: int
    """Size of the body without inline images: what learned tokens per byte apply to."""
    text_tokens: int
    """Part of `input_tokens`."""
    text_rate: int
    """Pico-USD a token of text."""
    media_pico_usd: int
    output_rate: int
    """Pico-USD a token."""
    fee: NanoUsd
    """For the request."""

    @property
    def strict(self) -> Amounts:
        """What strict claims reserve."""
        return Amounts(self.money, self.input_tokens + self.output_tokens * self.answers)

    @property
    def input_money(self) -> NanoUsd:
        """The fee and all of the input."""
        return self._money(self.text_tokens, 0)

    def least(self, min_output_tokens: int) -> Amounts:
        """What answers of `min_output_tokens` need: the room that clamping takes at the least."""
        return self._amounts(self.text_tokens, min_output_tokens + self.predicted_tokens)

    def expected(self, output_tokens: int, tokens_per_byte: float) -> Amounts:
        """What calibrated claims reserve: for answers and texts of the expected length; never more than `strict`.

        The size of images and of anything unknown stays at its bound.
        """
        return self._amounts(self._expected_text(tokens_per_byte), output_tokens + self.predicted_tokens)

    def terms(self, tokens_per_byte: float) -> Terms:
        """What a meter has to know, for a reservation of `expected` size that grows with the stream."""
        input_money = self._money(self._expected_text(tokens_per_byte), self.predicted_tokens)
        return Terms(input_money, self.output_rate, self.money, self.answers)

    def _expected_text(self, tokens_per_byte: float) -> int:
        return min(self.text_tokens, int(self.text_bytes * tokens_per_byte) + 1)

    def tokens_for(self, granted: Amounts, tokens_per_byte: float | None = None) -> int:
        """The `max_tokens` that what was granted pays for, rounded down; 0 when it does not even pay for the input.

        The input counts at its bound, or with `tokens_per_byte` at its expected length.
        """
        text_tokens = self.text_tokens if tokens_per_byte is None else self._expected_text(tokens_per_byte)
        input_pico_usd = self.media_pico_usd + text_tokens * self.text_rate
        pico_usd = (granted.money - self.fee) * PICO_PER_NANO - input_pico_usd
        if pico_usd < 0 or not self.answers:
            return 0
        paid = pico_usd // (self.output_rate * self.answers) if self.output_rate else self.output_tokens
        counted = (granted.tokens - self.input_tokens + self.text_tokens - text_tokens) // self.answers
        return max(0, min(paid, counted, self.output_tokens) - self.predicted_tokens)

    def _amounts(self, text_tokens: int, output_tokens: int) -> Amounts:
        output_tokens = min(output_tokens, self.output_tokens)
        tokens = self.input_tokens - self.text_tokens + text_tokens + output_tokens * self.answers
        return Amounts(self._money(text_tokens, output_tokens), tokens)

    def _money(self, text_tokens: int, output_tokens: int) -> NanoUsd:
        pico_usd = self.media_pico_usd + text_tokens * self.text_rate + output_tokens * self.answers * self.output_rate
        return NanoUsd(-(-pico_usd // PICO_PER_NANO) + self.fee)


class _Extras(NamedTuple):
    """What fields beside the messages add."""

    text_tokens: int = 0
    predicted_tokens: int = 0
    window: str | None = None
    """The field that brings in input of unknown size."""
    clamped: bool = True
    """Whether all of the input has to fit one context window."""


_NO_EXTRAS: Final = _Extras()
_FREE: Final = Bound(0, 0, 1, NanoUsd(0), None, 0, 0, 0, 0, 0, 0, NanoUsd(0))


def bound(request: ModelRequest, deployment: Deployment, cap: int | None, now_s: float) -> Bound:
    """The most that `request` can cost at `deployment`, whose price must be known, at Unix time `now_s`.

    `cap` is the longest answer that the agent may have. Raises CostUnbounded (400).
    """
    if request.is_free:
        return _FREE
    if request.extent is not None:
        return _of_extent(request, request.extent, deployment, now_s)
    profile, body = request.profile, request.body
    extras = _NO_EXTRAS if _WATCHED.isdisjoint(request.fields) else _extras(request)
    native, fees, windows = request.native, 0, 1
    if native is not None:
        fees, windows = _services(native.services, deployment)
        extras = _natively(native, extras, deployment.provider)
        body = max(body, native.body, key=len)
    text_bytes = len(body)
    text = text_bytes + FRAMING_TOKENS + extras.text_tokens
    if profile.api == CHAT:
        text += profile.messages * MESSAGE_TOKENS + body.count(b",") + body.count(b":")
    media = 0
    if request.media or extras.window is not None:
        media, inline_bytes = _media(request, deployment, extras.window)
        text -= inline_bytes
        text_bytes -= inline_bytes
    if native is not None and native.held_at == deployment.provider:
        media += max(0, native.held_tokens + len(native.body) + FRAMING_TOKENS + extras.text_tokens - text)
    window = deployment.context_tokens
    if windows > 1 and window is not None:
        media, text = windows * window, 0
    elif window is not None and extras.clamped and text + media > window:
        media = min(media, window)
        text = window - media
    output, set_max_tokens = _output(request, deployment, cap)
    price = deployment.price
    assert isinstance(price, Price), "a deployment without a price is never called"  # noqa: S101 -- admission refuses it
    rates = dearest(price, profile.service_tier, text + media, now_s)
    text_rate, output_rate = rates.input, rates.output
    if rates.written > text_rate and _writes_cache(request, deployment):
        text_rate = rates.written
    if rates.output_audio > output_rate and not {"audio", "modalities"}.isdisjoint(request.fields):
        output_rate = rates.output_audio
    output += extras.predicted_tokens
    media_pico = media * _media_rate(request, rates, text_rate, extras.window) if media else 0
    pico = text * text_rate + media_pico + output * profile.answers * output_rate
    fees += rates.request_nano_usd
    money = -(-pico // PICO_PER_NANO) + fees
    if money > MAX_MONEY:
        raise CostUnbounded("The request asks for answers worth millions. Lower `max_tokens` or `n`.", param="n")
    return Bound(
        text + media,
        output,
        profile.answers,
        NanoUsd(money),
        set_max_tokens,
        extras.predicted_tokens,
        text_bytes,
        text,
        text_rate,
        media_pico,
        output_rate,
        NanoUsd(fees),
    )


def _of_extent(request: ModelRequest, extent: Extent, deployment: Deployment, now_s: float) -> Bound:
    """The bound on a request beside chat, none of which can be shortened."""
    usage, input_pico, output_rate, fees = limit(extent, deployment, request.profile.service_tier, now_s)
    money = -(-(input_pico + usage.output_tokens * output_rate) // PICO_PER_NANO) + fees
    if money > MAX_MONEY:
        raise CostUnbounded(f"`{extent.field}` asks for answers worth millions.", param=extent.field)
    size = request.profile.input_bytes
    return Bound(
        *(usage.input_tokens, usage.output_tokens, 1, NanoUsd(money), None, 0, size, 0, 0),
        *(input_pico, output_rate, fees),
    )


def _services(services: tuple[Service, ...], deployment: Deployment) -> tuple[int, int]:
    """The most that what runs at the provider costs, in nano-USD, and how many windows of input it makes of one.

    The model reads again all that it has read when a call has returned: each call may be another window.
    """
    fees, windows = 0, 1
    for service in services:
        nano = rate(deployment.tariff, service.name)
        if nano is None:
            raise CostUnbounded(
                f"What a call of `{service.field}` costs is not known here. Leave it out, or configure the model's "
                f"`tariff` for `{service.name}`.",
                param=service.field,
            )
        if service.most is None or deployment.context_tokens is None:
            missing = "how often it may be called" if service.most is None else "the model's `context_tokens`"
            raise CostUnbounded(
                f"`{service.field}` runs at the provider, and nothing says {missing}. Leave it out, or bound it.",
                param=service.field,
            )
        fees += service.most * nano
        windows += service.most
    return fees, windows


def _natively(native: Native, extras: _Extras, provider: str) -> _Extras:
    """What a request in another tongue adds to its chat form: a field of unknown size, the room for tools' marks."""
    if native.services:
        extras = extras._replace(window=native.services[0].field, clamped=False)
    unknown = native.unknown
    if native.elsewhere is not None and native.held_at != provider:  # it is told all that it goes on from
        unknown = native.elsewhere.unknown
    return extras if unknown is None else extras._replace(window=unknown)


def _output(request: ModelRequest, deployment: Deployment, cap: int | None) -> tuple[int, int | None]:
    """Tokens of one answer at most, and the bound that the body does not say yet."""
    if request.api == EMBEDDINGS:
        return 0, None
    first, second = request.max_tokens, request.max_completion_tokens
    asked = max(-1 if first is None else first, -1 if second is None else second)
    most = deployment.max_output_tokens
    if asked >= 0 and (most is None or asked < most):
        most = asked
    window = deployment.context_tokens
    if most is not None and window is not None and window < most:
        most = window
    if cap is not None and (most is None or cap < most):
        return cap, cap
    if most is not None:
        return most, None
    if window is None:
        raise CostUnbounded(
            "Nothing bounds how long the answer may become. Send `max_tokens`, or configure the model's "
            "`max_output_tokens`.",
            param="max_tokens",
        )
    return window, None


def _extras(request: ModelRequest) -> _Extras:
    """What the fields in `_WATCHED` add."""
    fields = request.fields
    for name in _UNKNOWN_FEES:
        said = bytes(fields.get(name, b"null"))
        if said not in _NOTHING or (said == b"{}" and name in _ON_AS_IT_IS):
            raise CostUnbounded(f"What `{name}` adds to the cost is not known. Leave it out.", param=name)
    window = next((name for name in _UNKNOWN_SIZE if name in fields and bytes(fields[name]) not in _NOTHING), None)
    predicted = len(memoryview(fields["prediction"])) if "prediction" in fields else 0
    if request.api != CHAT:
        inputs = fields["input" if request.api == EMBEDDINGS else "prompt"]
        return _Extras(0, predicted, window, clamped=bytes(memoryview(inputs)[:1]) == b'"')
    text = 0
    for index, tool in enumerate(request.tools):
        if not _is_own(tool):
            field = f"tools[{index}]"
            raise CostUnbounded(
                f"`{field}` runs at the provider, which bills it as it likes. Leave it out.", param=field
            )
    for name in _SCHEMAS:
        if name in fields:
            text += UNIT_TOKENS * _units(bytes(fields[name]))
    if "response_format" in fields:
        text += TOOLS_FRAMING_TOKENS + TOOL_TOKENS  # some dialects say it as a tool
    if request.tools:
        text += TOOLS_FRAMING_TOKENS + TOOL_TOKENS * len(request.tools)
    if "functions" in fields and bytes(memoryview(fields["functions"])[:1]) == b"[":
        text += TOOLS_FRAMING_TOKENS + TOOL_TOKENS * len(_items_decoder.decode(fields["functions"]))
    return _Extras(text, predicted, window)


def _is_own(tool: Tool) -> bool:
    """Whether the client runs the tool itself, so that calling it costs nothing."""
    kind = bytes(tool.type)
    if kind in _OWN_TOOLS:
        return True
    return kind == b"null" and (bytes(tool.function) != b"null" or bytes(tool.name) != b"null")


def _units(schema: bytes) -> int:
    """Characters of a schema that may take more tokens once it is written again than they have bytes now."""
    units = len(schema) - len(schema.translate(None, _STRUCTURE))
    return units if schema.isascii() else units + len(schema.translate(None, _ASCII))


_STRUCTURE: Final = b"{}[],:"
_ASCII: Final = bytes(range(128))


def _media(request: ModelRequest, deployment: Deployment, window: str | None) -> tuple[int, int]:
    """Tokens of what is no text, and how much of the body it takes. Raises CostUnbounded."""
    each = deployment.image_tokens or family_image_tokens(deployment.upstream_model)
    unknown = window
    images = inline_bytes = 0
    for part in request.media:
        if part.kind == "image" and each is not None:
            images += each
            inline_bytes += part.inline_bytes
        else:
            unknown = part.field
    if unknown is None:
        return images, inline_bytes
    if deployment.context_tokens is None:
        raise CostUnbounded(
            f"How many tokens `{unknown}` counts for is not known here. Leave it out, or configure the model's "
            "`context_tokens` (for images, `image_tokens`).",
            param=unknown,
        )
    return deployment.context_tokens, inline_bytes


def _media_rate(request: ModelRequest, rates: Rates, text_rate: int, window: str | None) -> int:
    """Pico-USD a token at most for what is no text."""
    kinds = {part.kind for part in request.media}
    rate = text_rate
    if window is not None or kinds != {"audio"}:
        rate = max(rate, rates.image)
    if window is not None or kinds != {"image"}:
        rate = max(rate, rates.audio)
    return rate


def _writes_cache(request: ModelRequest, deployment: Deployment) -> bool:
    """Whether the provider may write the prompt to a cache, and bill that."""
    family = deployment.upstream_model.lower()
    if not any(name in family for name in _EXPLICIT_CACHES):
        return True
    bodies = (request.body,) if request.native is None else (request.body, request.native.body)
    return any(b"cache_control" in body or b"\\u00" in body for body in bodies)
