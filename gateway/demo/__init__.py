"""`farebox demo`: scripted agents, the real OpenAI SDK, a gateway process, and its books beside the provider's bill.

`steps` and `agents` say what the agents want, `books` whether the money adds up: values in, values out. `client`,
`fleet`, `child` and `evidence` do it; `screen` and `summary` show it; `run` holds it together.
"""
