"""/v1/messages as Anthropic has it: content blocks in and out, caching on request, thoughts under seal."""
