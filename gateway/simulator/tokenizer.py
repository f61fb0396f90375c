"""A real tokenizer: cl100k_base, from a file in the litellm package, which is not imported. No network."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

# litellm names its copies as tiktoken's cache does: by the SHA-1 of the address that they came from.
_FILE = Path("litellm_core_utils") / "tokenizers" / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


class TokenizerMissing(RuntimeError):
    """The vocabulary is not where the installed litellm package keeps it, or is not cl100k_base."""


def vocabulary_file() -> Path:
    """Where cl100k_base's vocabulary is. Raises TokenizerMissing."""
    spec = importlib.util.find_spec("litellm")  # finds a top-level package without running it
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise TokenizerMissing(f"the installed litellm package has no {_FILE.as_posix()} (cl100k_base)")


class Tokenizer:
    """Text to token ids and back. Special tokens in a text are text like any other."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding

    def encode(self, text: str) -> list[int]:
        """The ids of `text`."""
        return self._encoding.encode_ordinary(text)

    def decode_each(self, ids: list[int]) -> list[bytes]:
        """The bytes of each token: not always whole characters."""
        return self._encoding.decode_tokens_bytes(ids)


@functools.lru_cache(maxsize=1)
def load() -> Tokenizer:
    """Read the vocabulary, once per process (about 0.1 s). Raises TokenizerMissing.

    tiktoken's own loader would copy the file into a cache in the temporary directory, which is why it is not used.
    """
    import tiktoken

    data = vocabulary_file().read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise TokenizerMissing("the vocabulary in the installed litellm package is not cl100k_base")
    ranks = {
        base64.b64decode(token): int(rank) for token, _, rank in (line.partition(b" ") for line in data.splitlines())
    }
    return Tokenizer(tiktoken.Encoding("cl100k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={}))
