"""The input's bound against real tokenizers: whatever the script, the schema and the chat template, it holds.

The tokenizers are those whose data comes with the litellm package (cl100k, o200k, p50k) and two made here that know
little but runs of spaces: byte-level BPE, and BPE that falls back to bytes as SentencePiece does. The templates are
more talkative than real ones: their marks are plain text, tools are written with indentation and `\\u` escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.pricing.bounds import bound
from gateway.pricing.override import compile_override
from gateway.simulator.tokenizer import vocabulary_file
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, read_request
from routing.catalog import Deployment

Count = Callable[[str], int]
AT = Deployment("p/m", "p", "m", compile_override({"input": "1", "output": "1"}, "test"), max_output_tokens=10)
CORPUS = [
    "The quick brown fox jumps over the lazy dog, again and again. {}[]:,",
    "def main() -> None: return None\n\n    ",
]


def _tiktoken(name: str) -> Count:
    encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode_ordinary(text))


def _byte_level() -> Count:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, tokenizers.trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    return lambda text: len(made.encode(_one_space(text)).ids)


def _byte_fallback() -> Count:
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="always")
    return lambda text: len(made.encode(_one_space(text)).ids)


def _one_space(text: str) -> str:
    """A run of spaces is one token, as in every vocabulary in use."""
    return re.sub(" {2,}", " ", text)


@pytest.fixture(scope="module", params=["cl100k_base", "o200k_base", "p50k_base", "byte_level", "byte_fallback"])
def count(request: pytest.FixtureRequest) -> Iterator[Count]:
    if request.param == "byte_level":
        yield _byte_level()
    elif request.param == "byte_fallback":
        yield _byte_fallback()
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIKTOKEN_CACHE_DIR", str(Path(vocabulary_file()).parent))
            yield _tiktoken(request.param)


# --- the templates ---

PREAMBLE_TOKENS = 200
"""A default system prompt, in a language that the tokenizer knows."""
TOOLS_TOKENS = 900
"""Instructions on how to call tools."""


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] if isinstance(part, dict) else part for part in content)
    return content or ""


def chat_template(body: dict[str, Any]) -> str:
    """Every message between marks, tools written out at length before them."""
    text = []
    if "tools" in body:
        text += [f"<tool>\n{json.dumps(tool, indent=4)}\n</tool>\n" for tool in body["tools"]]
    if "response_format" in body:
        text.append(json.dumps(body["response_format"], indent=2))
    for message in body["messages"]:
        text.append(f"<|im_start|>{message['role']} {message.get('name', '')}\n{_content(message.get('content'))}")
        for call in message.get("tool_calls", ()):
            arguments = json.dumps(json.loads(call["function"]["arguments"]), ensure_ascii=False)
            text.append(f'<call>{{"name": "{call["function"]["name"]}", "arguments": {arguments}}}</call>')
        text.append("<|im_end|>\n")
    return "".join(text) + "<|im_start|>assistant\n"


def typescript_template(body: dict[str, Any]) -> str:
    """As OpenAI's models read them: tools as types, messages between single tokens."""
    text = ["<>"]
    if "tools" in body:
        text.append("# Tools\n\n## functions\n\nnamespace functions {\n\n")
        for tool in body["tools"]:
            function = tool["function"]
            text.append(f"// {function.get('description', '')}\ntype {function['name']} = (_: {{\n")
            for name, schema in function["parameters"]["properties"].items():
                text.append(f"// {schema.get('description', '')}\n{name}?: {schema.get('type')},\n")
            text.append("}) => any;\n\n")
        text.append("} // namespace functions")
    text += [f"<{message['role']}><{_content(message.get('content'))}<>" for message in body["messages"]]
    return "".join(text)


# --- the requests ---

_SCRIPTS = [
    "abcdefgh ,.!?\n\t{}[]:\"'\\/<|>0123456789",
    "äöüßéèñçøåþđłžšőαβγδежзийклм",
    "的一是不了人我在有他这为之大来以个中上们、。\u3042\u3044\u3046\u3048\u304a\u30ab\u30ad\uac00\ub098\ub2e4",
    "אבגדהוزسشصضطظعغفकखगघङচছজঝഅആഇกขคง",
    "😀👩‍👩‍👧‍👦🏳️‍🌈🇩🇪𝔄𒀀𐎀𓀀\u200d\u0301\u0489\ufffd\u0000\u001b\U0010ffff",
]
_WORDS = st.one_of(*(st.text(st.sampled_from(script), max_size=60) for script in _SCRIPTS), st.text(max_size=30))
_TEXTS = st.lists(_WORDS, max_size=6).map("".join)
_NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | _WORDS,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(_NAMES | _WORDS, inner, max_size=4),
    max_leaves=20,
)
_SCHEMAS = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(
            _NAMES,
            st.fixed_dictionaries(
                {"type": st.just("string")}, optional={"description": _TEXTS, "enum": st.lists(_WORDS, max_size=5)}
            ),
            max_size=4,
        ),
    },
    optional={"x": _VALUES},
)
_TOOL = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": _NAMES, "parameters": _SCHEMAS}, optional={"description": _TEXTS}),
    }
)
_CALL = st.fixed_dictionaries(
    {
        "id": _NAMES,
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {
                "name": _NAMES,
                "arguments": _VALUES.map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))),
            }
        ),
    }
)
_PARTS = st.lists(_TEXTS.map(lambda text: {"type": "text", "text": text}) | _WORDS, max_size=4)
_MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "developer"]), "content": _TEXTS | _PARTS},
        optional={"name": _NAMES},
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none() | _TEXTS},
        optional={"tool_calls": st.lists(_CALL, max_size=3)},
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": _NAMES, "content": _TEXTS}),
)
_BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(_MESSAGE, max_size=8)},
    optional={
        "tools": st.lists(_TOOL, min_size=1, max_size=4),
        "response_format": st.fixed_dictionaries({"type": st.just("json_schema"), "json_schema": _SCHEMAS}),
    },
)
_NESTED = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}, "x": [[[[[[[[[[[[1, 2, 3]]]]]]]]]]]]}},
}

_CALLS = {
    "role": "assistant",
    "tool_calls": [{"function": {"name": "f", "arguments": json.dumps([1] * 2_000, separators=(",", ":"))}}],
}


def encoded(body: dict[str, Any], *, ascii_only: bool) -> bytes:
    """As compactly as a client can write it."""
    return json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":")).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("template", [chat_template, typescript_template])
@given(body=_BODIES, ascii_only=st.booleans())
@example(body={"model": "m", "messages": [], "tools": [_NESTED] * 30}, ascii_only=False)
@example(body={"model": "m", "messages": [{"role": "user", "content": ""}] * 200}, ascii_only=False)
@example(body={"model": "m", "messages": [{"role": "user", "content": "𒀀" * 200}]}, ascii_only=False)
@example(body={"model": "m", "messages": [_CALLS]}, ascii_only=False)
@settings(deadline=None, max_examples=40)
def test_chats(count: Count, template: Callable[[dict[str, Any]], str], body: dict[str, Any], ascii_only: bool) -> None:
    request = read_request(CHAT, encoded(body, ascii_only=ascii_only))
    assert request.media == []
    tokens = PREAMBLE_TOKENS + ("tools" in body) * TOOLS_TOKENS + count(template(body))
    assert tokens <= bound(request, AT, None, 0.0).input_tokens


_PROMPTS = _TEXTS | st.lists(_TEXTS, max_size=5) | st.lists(st.integers(0, 200_000), max_size=50)


@given(api=st.sampled_from([COMPLETIONS, EMBEDDINGS]), prompt=_PROMPTS, ascii_only=st.booleans())
@settings(deadline=None, max_examples=40)
def test_prompts_and_inputs(count: Count, api: str, prompt: Any, ascii_only: bool) -> None:
    """With a mark before and after each, as embedding models have them."""
    field = "prompt" if api == COMPLETIONS else "input"
    request = read_request(api, encoded({"model": "m", field: prompt}, ascii_only=ascii_only))
    items = [prompt] if isinstance(prompt, str) else prompt
    tokens = sum(3 if isinstance(item, int) else 2 + count(item) for item in items)
    assert tokens <= bound(request, AT, None, 0.0).input_tokens
