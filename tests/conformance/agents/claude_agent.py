"""The Claude Agent SDK: Claude Code as a library, with the tool in an MCP server of its own."""

import saying
from claude_agent_sdk import (
    ClaudeAgentOptions,
    ResultMessage,
    StreamEvent,
    create_sdk_mcp_server,
    query,
    tool,
)


@tool("weather", "The weather in a city.", {"city": str})
async def weather(arguments):
    return {"content": [{"type": "text", "text": saying.weather(arguments["city"])}]}


SERVER = create_sdk_mcp_server("forecast", tools=[weather])


async def plain(here):
    return await _run(here, partial=False)


async def streamed(here):
    return await _run(here, partial=True)


async def _run(here, *, partial):
    here.options["env"]["CLAUDE_CODE_MAX_RETRIES"] = (
        "2"  # ten otherwise, which takes minutes when a provider breaks off
    )
    options = ClaudeAgentOptions(
        **here.options,
        tools=[],
        mcp_servers={"forecast": SERVER},
        allowed_tools=["mcp__forecast__weather"],
        include_partial_messages=partial,
        setting_sources=[],
        max_turns=4,
    )
    chunks, result = 0, None
    async for message in query(prompt=saying.QUESTION, options=options):
        chunks += isinstance(message, StreamEvent)
        result = message if isinstance(message, ResultMessage) else result
    if result.is_error:
        raise RuntimeError(f"{result.subtype} {result.api_error_status}: {result.result}")
    usage = result.usage
    read = usage.get("cache_read_input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
    return saying.Seen(result.result, usage["input_tokens"] + read, usage["output_tokens"], chunks)


saying.play(plain, streamed)
