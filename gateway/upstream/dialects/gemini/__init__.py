"""Gemini's own API: `generateContent`, `streamGenerateContent?alt=sse` and `batchEmbedContents` (ai.google.dev/api).

Names of fields and values are those of google-genai 3.4; `base_url` ends with the version: `.../v1beta`.

**Said otherwise.** System and developer messages, wherever they stand, are the one `systemInstruction`. Results of
tools that follow one another are one turn, in the order of the calls. `reasoning_effort` is a thinking level, or a
budget for Gemini 2 (ai.google.dev/gemini-api/docs/openai has the table); the thoughts that Gemini then tells come as
`reasoning_content`. A call's thought signature comes and goes as Google's own compatible endpoint has it, in
`extra_content.google.thought_signature`; for clients that lose it, the documented stand-in is sent, because Gemini 3
refuses calls without one (ai.google.dev/gemini-api/docs/thought-signatures).

**Gemini's own fields**, at the top level or in `extra_body.google`: `safety_settings`, `cached_content`,
`thinking_config`, `media_resolution`; `top_k`.

**Left out, as hints**: `user`, `safety_identifier`, `session_id`, `metadata`, `store`, `stream_options`, `verbosity`,
`prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options`, a tool's `strict`, an image's `detail`, the `name`
of a message, `cache_control` of parts, `reasoning_content` of earlier answers, `parallel_tool_calls` of one tool.

**Refused** with the field's name: whatever else Gemini has no word for.
"""

from __future__ import annotations

from gateway.upstream.dialects.gemini.dialect import Gemini

DIALECT = Gemini()

__all__ = ["DIALECT"]
