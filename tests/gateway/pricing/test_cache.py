from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.pricing import cache
from gateway.pricing.cache import PriceTableError, file_name, pack, unpack
from gateway.pricing.compile import main
from gateway.pricing.table import PriceTable


def test_the_file_names_its_versions_and_is_alone(price_cache: Path, table: PriceTable) -> None:
    assert [path.name for path in price_cache.iterdir()] == [file_name()]
    content = (price_cache / file_name()).read_bytes()
    assert content.startswith(f"farebox {file_name()} ".encode())


def test_a_kept_table_is_read_and_not_compiled_again(
    price_cache: Path, table: PriceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # so that compiling would fail
    assert PriceTable.load(price_cache).find("openai", "gpt-5-mini") == table.find("openai", "gpt-5-mini")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "older", "text"])
def test_a_damaged_or_foreign_file_is_replaced(
    price_cache: Path, tmp_path: Path, table: PriceTable, damage: str
) -> None:
    path = tmp_path / file_name()
    good = (price_cache / file_name()).read_bytes()
    path.write_bytes(
        {
            "cut": good[:-1],
            "flipped": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
            "empty": b"",
            "older": good.replace(b"farebox prices-", b"farebox prices-0", 1),
            "text": b"farebox",
        }[damage]
    )
    assert PriceTable.load(tmp_path).find("openai", "gpt-4o") == table.find("openai", "gpt-4o")
    assert path.read_bytes() == good


def test_tables_of_other_versions_are_removed(price_cache: Path, tmp_path: Path) -> None:
    directory = tmp_path / "made" / "for it"
    directory.mkdir(parents=True)
    (directory / "prices-0-0.0.1-py311.msgpack").write_bytes(b"old")
    (directory / "journal.db").write_bytes(b"not ours")
    PriceTable.load(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["journal.db", file_name()]


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    PriceTable.load(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / file_name()).is_file()


def test_without_a_directory_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: PriceTable
) -> None:
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    assert PriceTable.load().find("openai", "gpt-4o") == table.find("openai", "gpt-4o")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(PriceTableError, match="the price table could not be written to"):
        PriceTable.load(tmp_path / "file")


def test_a_compiler_that_does_not_start_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(PriceTableError, match=r"could not be compiled: .*no-python"):
        PriceTable.load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "genai_prices").mkdir(parents=True)
    (source / "genai_prices" / "__init__.py").write_text("raise ImportError('half an installation')")
    root = Path(cache.__file__).parents[2]
    for package in ("gateway", "routing"):
        shutil.copytree(root / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "_SOURCE_ROOT", source)
    with pytest.raises(PriceTableError, match="from genai-prices: ImportError: half an installation"):
        PriceTable.load(tmp_path / "cache")


def test_a_compiler_that_leaves_rubbish_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    with pytest.raises(PriceTableError, match="left no usable price table"):
        PriceTable.load(tmp_path)


def test_packing_round_trip() -> None:
    assert unpack(pack([["x"]])) == b"\x91\x91\xa1x"
    with pytest.raises(ValueError, match="damaged"):
        unpack(pack([["x"]]) + b" ")


def test_the_compiler_says_how_to_call_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--report" in capsys.readouterr().err


def test_the_gateway_never_imports_genai_prices(price_cache: Path, table: PriceTable) -> None:
    program = (
        "import sys; from pathlib import Path; from gateway.pricing.table import PriceTable\n"
        f"assert PriceTable.load(Path({str(price_cache)!r})).find('openai', 'gpt-4o')\n"
        "bad = {'genai_prices', 'litellm', 'pydantic', 'asyncio', 'subprocess'} & sys.modules.keys()\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
