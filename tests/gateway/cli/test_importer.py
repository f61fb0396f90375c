# ruff: noqa: E501  # whole lines of output, as they appear
from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.importer import importer
from gateway.config import load

LITELLM = """\
model_list:
  - {model_name: gpt, litellm_params: {model: openai/gpt-4o, api_key: sk-clear, stream_timeout: 5}}
"""


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(importer, ["litellm", *(str(argument) for argument in arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "litellm.yaml"
    path.write_text(LITELLM)
    return path


def test_the_translation_goes_to_standard_output_and_the_rest_to_standard_error(source: Path, tmp_path: Path) -> None:
    code, out, err = run(source)

    assert code == 0
    assert err.splitlines() == [
        f"{source}: model_list[0].litellm_params.stream_timeout: has no counterpart",
        f"{source}: model_list[0].litellm_params.api_key: the key in clear was not copied: put it into the variable OPENAI_API_KEY",
    ]  # fmt: skip
    assert "sk-clear" not in out + err
    (tmp_path / "ours.yaml").write_text(out)
    assert "gpt" in load(tmp_path / "ours.yaml", {"OPENAI_API_KEY": "k"}).catalog.models


def test_it_writes_a_file_and_replaces_none(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "config.yaml"

    assert run(source, "--out", out)[0] == 0
    written = out.read_text()
    code, _, err = run(source, "--out", out)

    assert (code, out.read_text()) == (1, written)
    assert "--force" in err
    assert run(source, "--out", out, "--force")[0] == 0


def test_what_is_no_litellm_configuration(tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text("[")

    assert run(tmp_path / "none.yaml")[0] == 2
    code, _, err = run(tmp_path / "l.yaml")
    assert code == 1
    assert f"{tmp_path / 'l.yaml'}:" in err
