"""What the agents talk about. Made up, and the same for the same dice."""

from __future__ import annotations

from random import Random

TOPICS = (
    "fare evasion", "tidal power", "battery recycling", "night trains", "urban heat", "soil carbon",
    "port logistics", "bus priority", "rail freight", "heat pumps",
)  # fmt: skip
QUESTIONS = (
    "My ticket was charged twice. Can I have one of them back?",
    "How do I change the name on my monthly pass?",
    "The app says that my card has expired, but it has not.",
    "Is the 7:40 running tomorrow? It is a public holiday.",
    "I left an umbrella on the tram. Where do I ask?",
    "Can my daughter travel on my family pass without me?",
)
FOLLOW_UPS = ("Thank you. How long will that take?", "And if that does not work?", "Could you send me that by mail?")
TASKS = (
    "The retry loop in client.py never stops. Find out why and fix it.",
    "Add a --dry-run option to the importer.",
    "The test of the date parser fails in February. Make it pass for the right reason.",
    "Replace the hand-written cache by functools.lru_cache where that is safe.",
)
FILES = ("client.py", "importer.py", "dates.py", "cache.py", "README.md")
_SUBJECTS = ("The operator", "A recent survey", "The annual report", "One pilot project", "The city", "An audit")
_VERBS = ("describes", "measured", "questions", "confirms", "compares", "published figures on")
_OBJECTS = ("costs per passenger", "the evening peak", "maintenance intervals", "delays at junctions", "energy use",
            "long-term contracts", "staff rosters", "older vehicles")  # fmt: skip


def document(topic: str, dice: Random, sentences: int = 12) -> str:
    """A source about `topic`: about 12 tokens a sentence."""
    lines = [
        f"{dice.choice(_SUBJECTS)} {dice.choice(_VERBS)} {dice.choice(_OBJECTS)} in relation to {topic}."
        for _ in range(sentences)
    ]
    return " ".join(lines)


def handbook() -> str:
    """A system prompt long enough to be read from the provider's prompt cache the second time: some 1,500 tokens."""
    return "You are a careful researcher. These are the rules of the house.\n" + document("our work", Random(7), 110)  # noqa: S311 -- text, not secrets


def tool_result(name: str, dice: Random) -> str:
    """What a coder's tool answers."""
    if name == "run_tests":
        failed = dice.randint(0, 3)
        return f"{dice.randint(20, 80)} passed, {failed} failed"
    lines = [f"{number}: {dice.choice(_OBJECTS).replace(' ', '_')}({dice.randint(0, 9)})" for number in range(1, 15)]
    return "\n".join(lines)
