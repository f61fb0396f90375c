"""LangGraph with LangChain's OpenAI model: the prebuilt agent."""

import saying
from langchain.agents import create_agent
from langchain_core.messages import AIMessage


def _agent(here):
    return create_agent(here.model, tools=[saying.weather])


QUESTION = {"messages": [{"role": "user", "content": saying.QUESTION}]}


def _seen(messages, chunks=0):
    usages = [message.usage_metadata for message in messages if isinstance(message, AIMessage)]
    if not all(usages):
        return saying.Seen(messages[-1].text, None, None, chunks)
    tokens = [sum(usage[name] for usage in usages) for name in ("input_tokens", "output_tokens")]
    return saying.Seen(messages[-1].text, *tokens, chunks)


def plain(here):
    return _seen(_agent(here).invoke(QUESTION)["messages"])


def streamed(here):
    chunks, last = 0, None
    for mode, event in _agent(here).stream(QUESTION, stream_mode=["messages", "values"]):
        if mode == "messages":
            chunks += 1
        else:
            last = event
    return _seen(last["messages"], chunks)


saying.play(plain, streamed)
