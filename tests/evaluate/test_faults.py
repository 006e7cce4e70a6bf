"""What a provider did not answer is missing and never a score; what it answered is booked, once, at what it cost."""

from __future__ import annotations

import socket
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import LMRateLimitError

from dspy_semantic_backprop import Budget, Limits, SemanticGradientDescent, TooManyFailures, presets
from dspy_semantic_backprop.testing import Prompt
from tests.evaluate.faulty import (
    Faulty,
    Spoil,
    always,
    choice,
    firsts,
    replaced,
    since,
    some,
    spoiling,
    status,
    usage,
)
from tests.scripted import careful, questions, served

ENGINES = pytest.mark.parametrize("engine", ["auto", "litellm"])
TOOL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REFUSALS = {str(code): status(code) for code in (400, 401, 403, 404, 405, 410, 413, 418, 422, 451)}
HEALED = {str(code): status(code) for code in (408, 409, 425, 500, 502, 503, 504, 520, 529)}
NO_ANSWERS = {
    "no choices": replaced(choices=[]),
    "null choices": replaced(choices=None),
    "null content": choice(content=None),
    "tools only": choice("tool_calls", content=None, tool_calls=[TOOL]),
    "not JSON": lambda reply: (200, b"<html>busy</html>"),
    "empty body": lambda reply: (200, b""),
    "null body": lambda reply: (200, b"null"),
    "error with 200": lambda reply: (200, {"error": {"message": "no", "code": 500}}),
    "broken off": choice("error", content="[[ ## hint ## ]]\ncare"),
    "out of resources": choice("insufficient_system_resource", content=""),
    "half a character": choice(content="[[ ## hint ## ]]\n\ud83d\n\n[[ ## answer ## ]]\n\ud83d"),
}
WITHHELD = {
    "filter": choice("content_filter", content=None),
    "filter with a beginning": choice("content_filter", content="careful"),
    "filter in other words": choice("SAFETY", content="careful"),
    "declined": choice(content=None, refusal="I cannot help with that."),
}
MISSING = REFUSALS | HEALED | NO_ANSWERS | WITHHELD


class Pair(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.last = dspy.Predict("question, hint -> answer")

    def forward(self, question):
        return self.last(question=question, hint=self.first(question=question).hint)


class Swallowing(Pair):
    def forward(self, question):
        try:
            return super().forward(question)
        except Exception:
            return dspy.Prediction(answer="nothing")


def good(prompt: Prompt) -> dict[str, Any]:
    return {name: "careful answer" for name in prompt.names}


def right(example: Any, prediction: Any, trace: Any = None) -> float:
    return float(prediction.answer == "careful answer")


def scored(program: Any = None, metric: Any = right, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(
        metric, **{"steps": 0, "limits": Limits(missing=0.9), "subscribers": (), **settings}
    )
    return optimizer.compile(program or Pair(), trainset=questions(6)).detailed_results


@ENGINES
@pytest.mark.parametrize("spoil", MISSING.values(), ids=MISSING)
def test_what_the_provider_did_not_answer_is_missing_and_never_scored(spoil: Spoil, engine: str):
    with spoiling(spoil, lambda number, body: number > 2 and some(number, body), rule=good, engine=engine) as server:
        result = scored(num_threads=1)
        assert server.spoilt
        assert result.total.calls == server.requests
    assert result.score_before == 1.0


@pytest.mark.parametrize("spoil", [status(400), status(503), choice(content=None)], ids=["400", "503", "null"])
def test_a_program_that_hides_a_failure_is_not_scored_for_it_either(spoil: Spoil):
    with spoiling(spoil, rule=good):
        assert scored(Swallowing()).score_before == 1.0


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        SystemError("AST constructor recursion depth mismatch (before=24, after=20)"),
    ],
)
def test_a_machine_that_fails_is_no_failure_of_the_program(error):
    class Threaded(Pair):
        def forward(self, question):
            raise error

    with served(careful), pytest.raises(TooManyFailures, match=str(error)[:16]):
        optimizer = SemanticGradientDescent(lambda example, prediction: 1.0, steps=1, subscribers=())
        optimizer.compile(Threaded(), trainset=questions(6))


@ENGINES
@pytest.mark.parametrize("spoil", (HEALED | NO_ANSWERS).values(), ids=HEALED | NO_ANSWERS)
def test_what_may_heal_is_asked_again(spoil: Spoil, engine: str):
    # A server that names no time is waited for longer with every try.
    at_once = 0.0 if engine == "auto" else None
    with spoiling(spoil, firsts(), rule=good, engine=engine, num_retries=1, retry_after=at_once) as server:
        result = scored(limits=Limits(missing=0.0))
        assert result.total.calls == server.requests == 2 * server.spoilt
    assert result.score_before == 1.0


def test_an_empty_reply_in_the_cache_is_not_given_again():
    with spoiling(choice(content=None), firsts(), rule=good, cache=True, num_retries=1):
        assert scored(limits=Limits(missing=0.0)).score_before == 1.0


OWN = {
    "too long": status(400, code="context_length_exceeded"),
    "too long, in words": status(400, message="This model's maximum context length is 8192 tokens."),
    "unreadable": choice(content="I would rather not say."),
    "empty": choice(content=""),
    "all tokens used before a word": choice("length", content=None),
}


@ENGINES
@pytest.mark.parametrize("spoil", OWN.values(), ids=OWN)
def test_what_the_program_brought_about_is_its_own_failure(spoil: Spoil, engine: str):
    with spoiling(spoil, rule=good, engine=engine):
        result = scored(limits=Limits(missing=0.0))
    assert 0.0 < result.score_before < 1.0


class Judged:
    """A metric that asks a language model."""

    def __init__(self, judge: Any, hide: bool = False) -> None:
        self.judge, self.hide = judge, hide

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float:
        try:
            return float(self.judge(question=example.question, answer=prediction.answer).verdict == "careful answer")
        except Exception:
            if not self.hide:
                raise
            return 0.0


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("spoil", [status(400), status(503), choice(content=None), WITHHELD["filter"]])
def test_a_judge_that_does_not_answer_makes_its_example_missing(spoil: Spoil, hide: bool):
    judge = dspy.Predict("question, answer -> verdict")
    with spoiling(spoil, lambda number, body: b"verdict" in body and some(number, body), rule=good) as server:
        result = scored(metric=Judged(judge, hide))
        assert server.spoilt
    assert result.score_before == 1.0


def test_a_judge_that_writes_nonsense_makes_its_example_missing():
    judge = dspy.Predict("question, answer -> verdict: float")

    def nonsense(prompt: Prompt) -> dict[str, Any] | str:
        return "nonsense" if "verdict" in prompt.names else good(prompt)

    with served(nonsense), pytest.raises(TooManyFailures, match="the metric's language model did not answer"):
        scored(metric=Judged(judge))


UNBELIEVABLE = {
    "missing": lambda reply: (200, {name: value for name, value in reply.items() if name != "usage"}),
    "null": replaced(usage=None),
    "no object": replaced(usage="many"),
    "list": replaced(usage=[3, 4]),
    "zero": usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
    "negative": usage(prompt_tokens=-5, completion_tokens=-3, total_tokens=-8),
    "fraction": usage(prompt_tokens=5.5, completion_tokens=3.2, total_tokens=8.7),
    "text": usage(prompt_tokens="five", completion_tokens="3", total_tokens="x"),
    "huge": usage(prompt_tokens=10**15, completion_tokens=10**15, total_tokens=2 * 10**15),
    "nulls": usage(prompt_tokens=None, completion_tokens=None, total_tokens=None),
    "true": usage(prompt_tokens=True, completion_tokens=True, total_tokens=True),
    "objects": usage(prompt_tokens={"value": 5}, completion_tokens=[3], total_tokens={}),
    "details that are none": usage(prompt_tokens_details=5, completion_tokens_details="many"),
    "too few": usage(prompt_tokens=1, completion_tokens=1, total_tokens=2),
}


@ENGINES
@pytest.mark.parametrize("spoil", UNBELIEVABLE.values(), ids=UNBELIEVABLE)
def test_a_usage_that_cannot_be_believed_counts_as_the_most_and_no_answer_is_bought_twice(spoil: Spoil, engine: str):
    with spoiling(spoil, always, rule=good, engine=engine, num_retries=3) as server:
        result = scored(num_threads=1)
        sent = server.requests
        assert sent == len(server.log) == result.total.calls
        assert len({str(one.messages) for one in server.log}) == sent
        whole = server.prompt_tokens + server.completion_tokens
        assert result.total.tokens == 0
        assert result.total.unsure_tokens >= whole
        cut = scored(num_threads=1, budget=Budget(tokens=whole // 2))
        assert server.prompt_tokens + server.completion_tokens - whole <= whole // 2
        assert cut.ending.name == "BUDGET"
    assert result.score_before == 1.0


def test_tokens_that_only_the_total_holds_count_too():
    told = usage(prompt_tokens=40, completion_tokens=7, total_tokens=140)
    with spoiling(told, always, rule=good) as server:
        total = scored().total
        assert (total.prompt_tokens, total.completion_tokens) == (40 * server.requests, 100 * server.requests)


@ENGINES
@pytest.mark.parametrize(
    "address", ["closed", "http://nowhere.invalid/v1", "ftp://127.0.0.1/v1", "http://127.0.0.1:99999/v1"]
)
def test_what_was_never_sent_is_no_call(address: str, engine: str):
    if address == "closed":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    lm = dspy.LM("openai/x", api_base=address, api_key="none", num_retries=0, cache=False, engine=engine)
    with served(good) as server:
        total = scored(Elsewhere(lm)).total
        assert (total.calls, total.unsure_tokens) == (server.requests, 0)


def test_a_reply_that_the_client_does_not_take_was_a_call():
    def twice(reply: dict[str, Any]) -> tuple[int, Any]:
        return 200, {**reply, "choices": reply["choices"] * 2}

    with spoiling(twice, rule=good) as server:
        total = scored().total
        assert server.spoilt and total.calls == server.requests
        assert total.unsure_tokens > 0


class Elsewhere(Pair):
    """Asks for one example a server that is not there."""

    def __init__(self, lm: Any) -> None:
        super().__init__()
        self.away = dspy.Predict("question -> hint")
        self.away.lm = lm

    def forward(self, question):
        return self.away(question=question) if question.endswith("1?") else super().forward(question)


def test_a_server_is_given_the_time_that_it_asks_for_as_far_as_the_budget_goes():
    class Busy(dspy.BaseLM):
        def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
            raise LMRateLimitError(message="slow down", retry_after=3600.0)

    with dspy.context(lm=Busy("busy")):
        result = scored(budget=Budget(seconds=1.0))
    assert result.ending.name == "BUDGET"


def test_a_request_is_cut_after_ten_minutes_unless_told_otherwise():
    assert Limits().request == 600.0


def improved(gradient_lm: Any, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(
        right, gradient_lm=gradient_lm, subscribers=(), **{"steps": 3, "method": presets.published(), **settings}
    )
    return optimizer.compile(Pair(), trainset=questions(20)).detailed_results


BACKWARD, PROPOSE = b"wanted_change", b"current_instruction"


@pytest.mark.parametrize(("asks", "kind"), [(BACKWARD, "backward passes"), (PROPOSE, "proposals")])
@pytest.mark.parametrize("spoil", [status(400), status(503), WITHHELD["filter"]], ids=["400", "503", "filter"])
def test_an_outage_of_the_gradient_model_ends_the_run_and_is_asked_again_on_resume(spoil, asks, kind, tmp_path):
    down = Faulty(careful, spoil=spoil, when=lambda number, body: asks in body)
    with served(careful, max_tokens=60), down as server:
        lm = server.lm(num_retries=0, cache=False)
        with pytest.raises(TooManyFailures, match=f"{kind} were not answered") as caught:
            improved(lm, log_dir=tmp_path)
        assert caught.value.best.detailed_results.score_before == 0.0
        down.when = lambda number, body: False
        assert improved(lm, log_dir=tmp_path).score_after == 1.0


def test_an_outage_that_begins_in_the_middle_of_a_run_ends_it_too():
    def hopeless(prompt: Prompt) -> dict[str, Any]:
        return {**careful(prompt), **({"answer": "sloppy"} if "answer" in prompt.names else {})}

    down = Faulty(hopeless, spoil=status(503), when=since(40))
    with served(hopeless, max_tokens=60), down as server:
        lm = server.lm(num_retries=0, cache=False)
        with pytest.raises(TooManyFailures) as caught:
            improved(lm, steps=40)
        assert down.spoilt <= 20
    assert caught.value.best is not None


def test_a_few_failures_of_the_gradient_model_are_warnings_with_counts():
    with (
        served(careful, max_tokens=60),
        Faulty(careful, spoil=status(400), when=lambda number, body: number == 1) as server,
    ):
        result = improved(server.lm(num_retries=0, cache=False))
    assert result.score_after == 1.0
    assert any(
        warning.startswith("1 of ") and "backward passes were not answered" in warning for warning in result.warnings
    )


@pytest.mark.parametrize("code", [401, 403, 404, 400, 503])
def test_an_outage_in_the_middle_of_a_run_ends_it_with_the_best_program(code):
    with spoiling(status(code), since(45), rule=careful) as server, pytest.raises(TooManyFailures) as caught:
        improved(None)
    assert caught.value.best is not None
    assert caught.value.best.detailed_results.total.calls == server.requests
