"""What /v1/responses refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.seals import seal
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import post

PATH = "/v1/responses"
USER = {"role": "user", "content": "Why is the sky blue at noon?"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
CUSTOM = {"type": "custom_tool_call", "call_id": "call_2", "name": "run", "input": "ls"}
CUSTOM_OUTPUT = {
    "type": "custom_tool_call_output",
    "call_id": "call_2",
    "output": [{"type": "input_text", "text": "x"}],
}
TOOL = {"type": "function", "name": "get_weather", "parameters": {}}


def ask(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "sim-small", "input": [USER, *items], **fields}


REFUSED: list[tuple[dict[str, Any], str | None, str | None, str]] = [
    ({"model": "sim-small"}, "input", "missing_required_parameter", "Missing required parameter: 'input'."),
    ({"model": "sim-small", "input": 3}, "input", "invalid_type", "Invalid type for 'input'"),
    ({"model": "sim-small", "input": []}, "input", "empty_array", "Invalid 'input': empty array."),
    (ask(3), "input[1]", "invalid_type", "Invalid type for 'input[1]'"),
    (ask({"type": "x"}), "input[1]", "invalid_value", "Invalid value: 'x'."),
    (ask({"role": "tool", "content": "x"}), "input[1]", "invalid_value", "Invalid value: 'tool'."),
    (ask({"role": "user"}), "input[1].content", "invalid_type", "Invalid type for 'input[1].content'"),
    (
        ask({"role": "user", "content": [{"type": "text", "text": "x"}]}),
        "input[1].content[0]",
        "invalid_value",
        "Invalid value: 'text'. Supported values are: 'input_text', 'input_image', 'input_file', 'input_audio'.",
    ),
    (
        ask({"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}),
        "input[1].content[0]",
        "invalid_value",
        "Invalid value: 'input_text'. Supported values are: 'output_text', 'refusal'.",
    ),
    (ask({"role": "user", "content": [{"type": "input_image"}]}), "input[1].content[0].image_url",
     "missing_required_parameter", "Missing"),
    (ask({**CALL, "id": "call_1"}), "input[1].id", "invalid_value",
     "Invalid 'input[1].id': 'call_1'. Expected an ID that begins with 'fc'."),
    (ask({**USER, "id": "x"}), "input[1].id", "invalid_value", "Invalid 'input[1].id'"),
    (ask(CALL), "input", None, "No tool output found for function call call_1."),
    (ask(CUSTOM), "input", None, "No tool output found for custom tool call call_2."),
    (ask(OUTPUT), "input", None, "No tool call found for function call output with call_id call_1."),
    (ask(CALL, {**CUSTOM_OUTPUT, "call_id": "call_1"}), "input", None, "No tool call found for custom tool call"),
    (ask({**CALL, "call_id": "x" * 65}), "input[1].call_id", "string_above_max_length", "Invalid 'input[1].call_id'"),
    (ask({**CALL, "arguments": {}}), "input[1].arguments", "missing_required_parameter", "Missing"),
    (ask(CALL, {**OUTPUT, "output": {}}), "input[2].output", "invalid_type", "Invalid type"),
    (ask({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AAAA"}), "input[1]",
     "invalid_encrypted_content", "The encrypted content for item rs_1 could not be verified."),
    (ask(max_output_tokens=15), "max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens'"),
    (ask(tools=[{"name": "x"}]), "tools[0].type", "missing_required_parameter", "Missing"),
    (ask(tools=[{"type": "function"}]), "tools[0].name", "missing_required_parameter", "Missing"),
    (ask(tools=[{"type": "function", "function": {"name": "x"}}]), "tools[0].name", "missing_required_parameter", "M"),
    (ask(tools=[{"type": "x"}]), "tools[0].type", "invalid_value", "Invalid value: 'x'."),
    (ask(tools=[{"type": "file_search"}]), "tools[0].vector_store_ids", "missing_required_parameter", "Missing"),
    (ask(tools=[{"type": "code_interpreter"}]), "tools[0].container", "missing_required_parameter", "Missing"),
    (ask(tools=[TOOL], tool_choice={"type": "function", "name": "x"}), "tool_choice", None, "Tool choice 'x'"),
    (ask(tools=[TOOL], tool_choice={"type": "web_search"}), "tool_choice", None, "Tool choice 'web_search' not found"),
    (ask(tools=[TOOL], tool_choice="any"), "tool_choice", None, "Invalid value: 'any'."),
    (ask(tool_choice="required"), "tool_choice", None, "Tool choice 'required' must be specified with 'tools'"),
    (ask(text={"format": {"type": "x"}}), "text.format.type", None, "Invalid value: 'x'."),
    (ask(text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name",
     "missing_required_parameter", "Missing"),
    (ask(text={"format": {"type": "json_schema", "name": "x"}}), "text.format.schema",
     "missing_required_parameter", "Missing"),
    (ask(previous_response_id="resp_1"), "previous_response_id", "previous_response_not_found",
     "Previous response with id 'resp_1' not found."),
    (ask(background=True), "background", "unsupported_parameter", "The simulator runs no responses in the background."),
    (ask(model="sim-embed"), "model", "model_not_supported", "The model `sim-embed` does not support"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "code", "message"), REFUSED, ids=[str(at) for at in range(len(REFUSED))])
async def test_refused(
    sim: SimulatorServer, body: dict[str, Any], param: str | None, code: str | None, message: str
) -> None:
    answer = await post(sim, body, path=PATH)
    error = answer.json()["error"]
    assert (answer.status, error["param"], error["code"]) == (400, param, code)
    assert error["message"].startswith(message), error
    assert error["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"]
    assert not sim.bill.records
    assert sim.bill.open == 0


@pytest.mark.parametrize(
    "item",
    [{"type": "reasoning", "id": "rs_1", "summary": []}, {"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}],
)
async def test_items_that_are_not_kept(sim: SimulatorServer, item: dict[str, Any]) -> None:
    answer = await post(sim, {"model": "sim-small", "input": [USER, {"type": "item_reference", **item}]}, path=PATH)
    assert answer.status == 404
    assert answer.json()["error"]["message"].startswith(f"Item with id '{item['id']}' not found.")


@pytest.mark.parametrize(
    "items",
    [
        [CALL, OUTPUT, CUSTOM, CUSTOM_OUTPUT],
        [CALL, {**CALL, "call_id": "call_3"}, OUTPUT, {**OUTPUT, "call_id": "call_3"}],
        [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal("", "x")}, CALL, OUTPUT],
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
          "encrypted_content": seal("", "x")}],
        [{"type": "message", "id": "msg_9", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Well", "annotations": []}, {"type": "refusal", "refusal": "No"}]}, USER],
        [{"role": "system", "content": [{"type": "input_text", "text": "x"}]}, {"role": "developer", "content": "y"}],
        [{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}],
        [{"type": "computer_call_output", "call_id": "x", "output": {}}],
        [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}],
    ],
)  # fmt: skip
async def test_taken(sim: SimulatorServer, items: list[dict[str, Any]]) -> None:
    body = ask(*items, max_output_tokens=16, tools=[TOOL, {"type": "mcp", "server_label": "x"}], temperature=None)
    answer = await post(sim, body, path=PATH)
    assert answer.status == 200, answer.body


async def test_an_image_counts(sim: SimulatorServer) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
    answers = [
        (await post(sim, ask({"role": "user", "content": [{**image, "detail": detail}]}), path=PATH)).json()
        for detail in ("low", "high")
    ]
    low, high = (answer["usage"]["input_tokens"] for answer in answers)
    assert high - low == 765 - 85


async def test_keys_as_for_chat(sim: SimulatorServer) -> None:
    assert (await post(sim, ask(), path=PATH, authorization="Bearer sim-bad-key")).status == 401
    assert (await post(sim, ask(), path=PATH, authorization="Bearer sim-poor-key")).status == 429
