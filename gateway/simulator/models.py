"""The models on offer: context windows, prices and pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in USD per million tokens, as decimal strings; for the whole of a request whose input is longer."""

    input: str
    cached_input: str
    output: str
    above_input_tokens: int = 0
    cache_write: str = ""
    """What costs as plain input where empty."""
    cache_write_1h: str = ""
    """What costs as `cache_write` where empty."""


TOOL_FEES: Mapping[str, str] = MappingProxyType(
    {"web_search": "0.01", "file_search": "0.0025", "code_interpreter": "0.03"}
)
"""What a call of a tool that runs at the provider costs, in USD."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model answers at speed 1."""

    first_token_s: float
    """Median time to the first token; log-normal around it."""
    first_token_sigma: float
    tokens_per_s: float
    jitter: float
    """Standard deviation of the time between tokens, as a share of its mean."""


@dataclass(frozen=True, slots=True)
class SimModel:
    """One model. `rates` are ordered by `above_input_tokens`, the first at 0."""

    id: str
    kind: str
    """What it does, which decides the endpoints that take it: `chat`, `embedding`, `fixed` ..."""
    context_window: int
    max_output_tokens: int
    rates: tuple[Rates, ...]
    pace: Pace
    answer_tokens: int = 0
    """Median length of an answer; log-normal around it."""
    reasoning_tokens: int = 0
    """Median length of the hidden reasoning; 0 for a model that does not reason."""
    dimensions: int = 0
    """Length of an embedding vector."""
    fees: Mapping[str, str] = field(default_factory=dict)
    """USD per unit of what is billed beside tokens (`web_search`, `image`, `second` ...), as decimal strings."""


def _beside_chat(
    name: str, kind: str, rates: Rates = Rates("0", "0", "0"), fees: Mapping[str, str] | None = None
) -> SimModel:
    """A model of the APIs beside chat; without rates it is billed by its fees alone, or free."""
    return SimModel(
        id=name,
        kind=kind,
        context_window=32_000,
        max_output_tokens=8_000,
        rates=(rates,),
        pace=Pace(first_token_s=0.2, first_token_sigma=0.2, tokens_per_s=5_000, jitter=0.0),
        fees=fees or {},
    )


IMAGE_FEES: Mapping[str, str] = MappingProxyType(
    {
        "image": "0.04",
        "image:1024x1024:hd": "0.08",
        "image:1792x1024": "0.08",
        "image:1792x1024:hd": "0.12",
    }
)
"""What an image costs, in USD."""

MODELS: dict[str, SimModel] = {
    model.id: model
    for model in (
        SimModel(
            id="sim-large",
            kind="chat",
            context_window=400_000,
            max_output_tokens=32_768,
            rates=(Rates("5", "0.50", "15"), Rates("10", "1.00", "30", above_input_tokens=128_000)),
            pace=Pace(first_token_s=0.55, first_token_sigma=0.35, tokens_per_s=70, jitter=0.4),
            answer_tokens=220,
            fees=TOOL_FEES,
        ),
        SimModel(
            id="sim-small",
            kind="chat",
            context_window=128_000,
            max_output_tokens=16_384,
            rates=(Rates("0.15", "0.075", "0.60"),),
            pace=Pace(first_token_s=0.25, first_token_sigma=0.3, tokens_per_s=150, jitter=0.3),
            answer_tokens=120,
            fees=TOOL_FEES,
        ),
        SimModel(
            id="sim-reasoner",
            kind="chat",
            context_window=200_000,
            max_output_tokens=100_000,
            rates=(Rates("2", "0.50", "8"),),
            pace=Pace(first_token_s=0.7, first_token_sigma=0.4, tokens_per_s=110, jitter=0.3),
            answer_tokens=180,
            reasoning_tokens=400,
            fees=TOOL_FEES,
        ),
        SimModel(
            id="sim-claude",
            kind="chat",
            context_window=200_000,
            max_output_tokens=64_000,
            rates=(Rates("3", "0.30", "15", cache_write="3.75", cache_write_1h="6"),),
            pace=Pace(first_token_s=0.6, first_token_sigma=0.35, tokens_per_s=80, jitter=0.4),
            answer_tokens=160,
            fees=TOOL_FEES,
        ),
        SimModel(
            id="sim-embed",
            kind="embedding",
            context_window=8_192,
            max_output_tokens=0,
            rates=(Rates("0.0125", "0.0125", "0"),),
            pace=Pace(first_token_s=0.08, first_token_sigma=0.25, tokens_per_s=100_000, jitter=0.0),
            dimensions=1_536,
        ),
        SimModel(
            id="sim-fixed",
            kind="fixed",
            context_window=128_000,
            max_output_tokens=100_000,
            rates=(Rates("0.15", "0.075", "0.60"),),
            pace=Pace(first_token_s=0.0, first_token_sigma=0.0, tokens_per_s=0.0, jitter=0.0),
        ),
        _beside_chat("sim-image", "image", Rates("5", "1.25", "40")),
        _beside_chat("sim-painter", "image", fees=IMAGE_FEES),
        _beside_chat("sim-voice", "speech", fees={"character": "0.000015"}),
        _beside_chat("sim-voice-mini", "speech", Rates("0.60", "0.60", "12")),
        _beside_chat("sim-whisper", "hearing", fees={"second": "0.0001"}),
        _beside_chat("sim-transcribe", "hearing", Rates("2.50", "2.50", "10")),
        _beside_chat("sim-rerank", "rerank", fees={"search_unit": "0.002"}),
        _beside_chat("sim-rerank-mini", "rerank", Rates("0.02", "0.02", "0")),
        _beside_chat("sim-moderation", "moderation"),
    )
}


def price_table() -> dict[str, list[dict[str, str | int]]]:
    """Each model's rates, USD per million tokens, as the documentation and the shipped configuration state them."""
    return {
        model.id: [
            {
                "above_input_tokens": rates.above_input_tokens,
                "input": rates.input,
                "cached_input": rates.cached_input,
                "output": rates.output,
                **({"cache_write": rates.cache_write} if rates.cache_write else {}),
                **({"cache_write_1h": rates.cache_write_1h} if rates.cache_write_1h else {}),
            }
            for rates in model.rates
        ]
        for model in MODELS.values()
    }


def fee_table() -> dict[str, dict[str, str]]:
    """Each model's fees, USD per unit, of those that have any."""
    return {model.id: dict(model.fees) for model in MODELS.values() if model.fees}
