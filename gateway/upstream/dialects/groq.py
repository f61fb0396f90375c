"""Groq."""

from __future__ import annotations

from gateway.upstream.dialects.openai import OpenAI


class Groq(OpenAI):
    """Speaks OpenAI's wire."""

    name = "groq"


DIALECT = Groq()
