"""DSPy: its agent that calls tools natively, and ends with a tool of its own."""

import asyncio

import dspy
import saying

dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
AGENT = dspy.ReActV2("question -> answer", tools=[saying.weather], max_iters=3)


def _seen(prediction, chunks=0):
    usage = (prediction.get_lm_usage() or {}).values()
    if not usage:
        return saying.Seen(prediction.answer, None, None, chunks)
    tokens = [sum(each[name] for each in usage) for name in ("prompt_tokens", "completion_tokens")]
    return saying.Seen(prediction.answer, *tokens, chunks)


def plain(here):
    with dspy.context(lm=here.lm, adapter=dspy.JSONAdapter(use_native_function_calling=True), track_usage=True):
        return _seen(AGENT(question=saying.QUESTION))


async def streamed(here):
    with dspy.context(lm=here.lm, adapter=dspy.JSONAdapter(use_native_function_calling=True), track_usage=True):
        chunks, last = 0, None
        async for part in dspy.streamify(AGENT)(question=saying.QUESTION):
            if isinstance(part, dspy.Prediction):
                last = part
            else:
                chunks += 1
        await asyncio.sleep(0)
        return _seen(last, chunks)


saying.play(plain, streamed)
