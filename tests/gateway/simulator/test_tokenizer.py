import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator import tokenizer


def test_known_ids() -> None:
    assert tokenizer.load().encode("hello world") == [15339, 1917]
    assert tokenizer.load().encode("<|endoftext|>") != [100257]


@settings(deadline=None)
@given(st.text())
def test_round_trip(text: str) -> None:
    words = tokenizer.load()
    assert b"".join(words.decode_each(words.encode(text))).decode() == text


def test_no_network_no_cache_file_and_no_litellm() -> None:
    code = (
        "import socket, sys, os, tempfile\n"
        "def no(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = no\n"
        "tempfile.tempdir = tempfile.mkdtemp()\n"
        "from gateway.simulator import tokenizer\n"
        "assert tokenizer.load().encode('a')\n"
        "assert 'litellm' not in sys.modules and 'requests' not in sys.modules\n"
        "assert os.listdir(tempfile.tempdir) == []\n"
        "os.rmdir(tempfile.tempdir)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_vocabulary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(tokenizer.TokenizerMissing, match="cl100k_base"):
        tokenizer.vocabulary_file()
