"""Level 5: the outside. Raw ASGI for the data plane, FastAPI for the admin API."""
