"""Anthropic's Messages API.

What becomes of the fields of a chat request:

    model, stream                 as they are
    max_tokens,                   `max_tokens`: the client's bound, at most ours and the model's; without one these;
    max_completion_tokens         else 4096, because the API demands a bound
    messages                      `system` and turns: see `messages` and `content`
    tools, tool_choice,           the same: see `tools`
    parallel_tool_calls
    response_format               `output_config.format`; for `json_object` a tool that has to be called
    reasoning_effort              `thinking` and `output_config.effort`, as the model knows them: see `thinking`
    temperature, top_p, top_k     as they are, up to 1, where the model takes them (until 4.6) and does not think;
                                  else left out: they are hints
    stop                          `stop_sequences`
    user, safety_identifier,      `metadata.user_id`
    metadata.user_id
    service_tier                  auto, priority, fast, scale: `auto`; default, flex: `standard_only`
    thinking, output_config,      as they came, and so is all that is not listed: Anthropic's own
    system, cache_control

Left out, being hints or of no meaning there: frequency_penalty, presence_penalty, seed, verbosity, prediction, store,
stream_options, prompt_cache_key, prompt_cache_options, prompt_cache_retention, the rest of metadata; in messages
`name`, `audio`, `annotations`, `reasoning_content` (without signatures it cannot be sent back), `detail` of images and
`prompt_cache_breakpoint`. Fields that are null are left out, too.

Refused, because the answer would be another: n above 1, audio, modalities with audio, logprobs, top_logprobs,
logit_bias, functions, function_call, moderation, web_search_options; parts of messages that are speech or video.

Pure but for the time of day, which is given as the answer's `created`.
"""

from __future__ import annotations

from gateway.upstream.dialects.anthropic.dialect import Anthropic

DIALECT = Anthropic()
