"""The request that is decided about: what is looked up in its body, each thing once and only when it is asked for."""

from __future__ import annotations

from gateway.wire.complexity_input import complexity_input
from gateway.wire.requests import ModelRequest
from routing.complexity import Complexity, Scorer
from routing.quality import MIN_OUTCOMES, Quality, Signals

_ANSWERS_TOOLS = ("tool", "function")


class Judge:
    """Scores requests and knows how good models are. One per process."""

    __slots__ = ("_scorer", "quality")

    def __init__(self, quality: Quality | None = None) -> None:
        self.quality = Quality() if quality is None else quality
        """What is known of agents and models from outcomes."""
        self._scorer: Scorer | None = None

    @property
    def scorer(self) -> Scorer:
        """Made when a policy first reads complexity: numpy and the weights take 30 MB."""
        if self._scorer is None:
            from routing.weights import shipped

            self._scorer = Scorer(shipped())
        return self._scorer


class Subject:
    """One request."""

    __slots__ = ("_agent", "_given", "_judge", "_ranks", "_request", "_score")

    def __init__(
        self, request: ModelRequest, agent: str, judge: Judge, ranks: dict[str, float], given: float | None
    ) -> None:
        """`ranks`: how strong the policy's tiers are, 0 to 1. `given`: the complexity, as a trusted client says."""
        self._request = request
        self._agent = agent
        self._judge = judge
        self._ranks = ranks
        self._given = given
        self._score: Complexity | None = None

    def score(self) -> Complexity:
        """How hard it looks."""
        if self._score is None:
            request = self._request
            tools = request.fields.get("tools")
            size = 0 if tools is None else memoryview(tools).nbytes
            profile = request.profile
            asked = complexity_input(request.messages, profile.tools, size, profile.max_output_tokens)
            self._score = self._judge.scorer.score(asked)
        return self._score

    @property
    def signals(self) -> Signals | None:
        """What an agent's record is corrected by; None where nothing has asked for the score."""
        return None if self._score is None else self._score.signals

    def complexity(self) -> float:
        """0 to 1."""
        return self.score().complexity if self._given is None else self._given

    def p_correct(self, model: str, tier: str) -> float | None:
        """The probability that a model's answer is right: by its record with the agent, else by its tier.

        The complexity model knows light, medium and strong models; what lies between them is interpolated.
        """
        quality, score = self._judge.quality, self.score()
        if quality.outcomes(self._agent, model) >= MIN_OUTCOMES:
            return quality.p(self._agent, model, score.signals)
        rank = self._ranks.get(tier)
        if rank is None:
            return None
        light, medium, strong = score.p
        if self._given is not None:
            light = 1.0 - self._given
            medium, strong = max(light, medium), max(light, medium, strong)
        if rank <= 0.5:
            return light + (medium - light) * rank * 2
        return medium + (strong - medium) * (rank * 2 - 1)


def in_tool_loop(request: ModelRequest) -> bool:
    """Whether the last message is a tool's result."""
    messages = request.messages
    return bool(messages) and messages[-1].role in _ANSWERS_TOOLS
