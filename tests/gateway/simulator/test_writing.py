from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator import chance, tokenizer, writing


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(8, 400), st.integers(0, 1000))
def test_whole_sentences_of_about_the_length(question: str, tokens: int, seed: int) -> None:
    text = writing.write(question, tokens, chance.dice(seed))
    assert text[-1] in ".?!"
    assert text == writing.write(question, tokens, chance.dice(seed))


def test_about_the_question_and_about_as_long() -> None:
    text = writing.write("How do lighthouses signal to trawlers?", 300, chance.dice(1))
    assert "lighthouses" in text.lower()
    assert "trawlers" in text.lower()
    assert 200 < len(tokenizer.load().encode(text)) < 450
