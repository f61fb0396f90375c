"""Whether a request may go on, and with how much: its claims, the store's answer, waiting, and the refusal in words."""
