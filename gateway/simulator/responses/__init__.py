"""/v1/responses as OpenAI has it: typed items in, typed items and events out, finished responses kept in memory."""
