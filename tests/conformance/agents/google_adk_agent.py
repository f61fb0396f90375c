"""Google's Agent Development Kit, over LiteLLM."""

import saying
from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import InMemoryRunner
from google.genai import types


async def plain(here):
    return await _run(here, StreamingMode.NONE)


async def streamed(here):
    return await _run(here, StreamingMode.SSE)


async def _run(here, mode):
    agent = Agent(name="forecaster", model=here.model, instruction="You are brief.", tools=[saying.weather])
    runner = InMemoryRunner(agent=agent, app_name="forecast")
    session = await runner.session_service.create_session(app_name="forecast", user_id="ann")
    question = types.Content(role="user", parts=[types.Part(text=saying.QUESTION)])
    events = runner.run_async(
        user_id="ann", session_id=session.id, new_message=question, run_config=RunConfig(streaming_mode=mode)
    )
    answer, chunks, spent, error = "", 0, [0, 0], None
    async for event in events:
        chunks += bool(event.partial)
        error = error or event.error_message
        if usage := (None if event.partial else event.usage_metadata):
            spent = [spent[0] + usage.prompt_token_count, spent[1] + usage.candidates_token_count]
        if event.is_final_response() and event.content:
            answer = "".join(part.text or "" for part in event.content.parts)
    if error:
        raise RuntimeError(error)
    return saying.Seen(answer, *spent, chunks)


saying.play(plain, streamed)
