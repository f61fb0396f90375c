"""Answers that look like answers: sentences about the words of the question."""

from __future__ import annotations

import re
from random import Random

_WORD = re.compile(r"[^\W\d_]{4,24}")
_COMMON_WORDS = """
    about after again also because been being between both could does doing down each even from have having here into
    just know like made make many more most much must need only other over please really same should some such tell
    than that their them then there these they thing this those through under using very want well were what when where
    which while will with would your yours explain write give show find assistant user system question answer
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_FALLBACK = ("the request", "the plan", "the data")
_QUESTION_CHARS = 4_000

_OPENINGS = (
    "In short, {a} depends mostly on {b}.",
    "There are three things to know about {a}.",
    "The usual answer is that {a} comes first and {b} follows.",
    "Yes, with one reservation: {a} is only as good as {b}.",
    "Let us take {a} step by step.",
)
_BODY = (
    "The simplest way to think about {a} is to ask who needs it and when.",
    "If {b} changes often, it pays to keep {a} small and easy to replace.",
    "Most teams measure {a} for a week before they decide anything about {c}.",
    "A common mistake is to treat {a} and {b} as the same thing.",
    "In practice {c} matters less than people expect, as long as {a} stays predictable.",
    "For example, a change in {b} usually shows up in {a} within a day.",
    "It helps to write down what {a} should cost, and to compare that with what it does cost.",
    "When {a} and {c} disagree, believe the one that was measured last.",
    "That is why {b} deserves a test of its own.",
    "On the other hand, {c} can wait until {a} is settled.",
    "Keep in mind that {a} has a limit, and that the limit is there for a reason.",
    "Nobody should have to guess where {b} came from.",
    "Start with the part of {c} that you already understand.",
    "Compare two versions of {a}, change one thing at a time and note the difference.",
    "The numbers for {b} are lower in the morning and rise until late in the afternoon.",
    "If in doubt, leave {c} as it is and look at {a} again tomorrow.",
)
_CLOSINGS = (
    "Once {a} is in place, {b} is mostly a matter of routine.",
    "I would begin with {a} and come back to {c} next week.",
    "If you can share more about {b}, the advice can be more exact.",
)


def topics(question: str, dice: Random) -> list[str]:
    """Up to three words of the question to write about; always three entries."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(question[-_QUESTION_CHARS:])))
    words = [word for word in words if word not in _COMMON]
    chosen = dice.sample(words, min(3, len(words)))
    return [*chosen, *_FALLBACK][:3]


def write(question: str, tokens: int, dice: Random) -> str:
    """About `tokens` tokens of text on `question`, in whole sentences and paragraphs."""
    found = topics(question, dice)
    sentences = [_fill(dice.choice(_OPENINGS), found, dice)]
    estimate = _estimate(sentences[0])
    while estimate < tokens:
        sentence = _fill(dice.choice(_BODY if tokens - estimate > 20 else _CLOSINGS), found, dice)
        sentences.append(sentence)
        estimate += _estimate(sentence)
    parts = [sentences[0]]
    for sentence in sentences[1:]:
        parts.append("\n\n" if dice.random() < 0.15 else " ")
        parts.append(sentence)
    return "".join(parts)


def _fill(template: str, found: list[str], dice: Random) -> str:
    a, b, c = dice.sample(found, 3)
    sentence = template.format(a=a, b=b, c=c)
    return sentence[0].upper() + sentence[1:]


def _estimate(sentence: str) -> int:
    return 2 + sentence.count(" ")
