"""instructor: no agent, but a structured answer by way of a tool, whole and in parts."""

import saying
from pydantic import BaseModel


class Forecast(BaseModel):
    """The weather in a city."""

    city: str
    sky: str


MESSAGES = [{"role": "user", "content": saying.QUESTION}]


def plain(here):
    forecast, completion = here.client.create_with_completion(
        model=here.MODEL, messages=MESSAGES, response_model=Forecast
    )
    saying.weather(forecast.city)
    usage = completion.usage
    return saying.Seen(forecast.sky, usage.prompt_tokens, usage.completion_tokens)


def streamed(here):
    forecast, chunks = None, 0
    for forecast in here.client.create_partial(model=here.MODEL, messages=MESSAGES, response_model=Forecast):  # noqa: B007
        chunks += 1
    saying.weather(forecast.city)
    return saying.Seen(forecast.sky, None, None, chunks)


saying.play(plain, streamed)
