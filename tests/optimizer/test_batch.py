"""Requests in batches of the provider: the same run at half the price, resumed in the middle, whatever fails."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Batch, Budget, Ending, Limits, ModelError, SemanticGradientDescent, SetupError
from dspy_semantic_backprop.integrations import BatchWaiting, EvaluationDone
from dspy_semantic_backprop.testing import SimulatedServer
from tests.optimizer.test_resume import FILE, greedy, outcome
from tests.scripted import careful, questions, right, served

PRICE = (1.0, 2.0)
ENDLESS = 10**9
OTHER = "openai/another"


class Pair(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question):
        return self.final(question=question, hint=self.first(question=question).hint)


class Awaited(Pair):
    async def aforward(self, question):
        found = await self.first.acall(question=question)
        return await self.final.acall(question=question, hint=found.hint)

    forward = None  # pyright: ignore[reportAssignmentType]


def optimizer(server: SimulatedServer, folder: Path | None = None, **settings: Any) -> SemanticGradientDescent:
    prices = {f"openai/{server.model}": PRICE, OTHER: PRICE}
    budget = {"calls": 200, "usd": 100.0, **settings.pop("budget", {})}
    settings = {"steps": 1, "method": greedy(), "subscribers": (), "batch": True, **settings}
    return SemanticGradientDescent(right, log_dir=folder, budget=Budget(prices=prices, **budget), **settings)


def compiled(server: SimulatedServer, folder: Path | None = None, program: Any = None, **settings: Any) -> Any:
    made = optimizer(server, folder, **settings)
    return made.compile(program or Pair(), trainset=questions(3), valset=questions(5)).detailed_results


def in_batches(server: SimulatedServer) -> int:
    return sum(one["request_counts"]["total"] for one in server.desk.batches)


def models(server: SimulatedServer, batch: dict[str, Any]) -> set[str]:
    return {json.loads(line)["body"]["model"] for line in server.desk.files[batch["input_file_id"]].splitlines()}


def decided(result: Any) -> dict[str, Any]:
    """What a run came to, what it cost left out."""
    state = outcome(result)
    return {name: state[name] for name in ("instructions", "steps", "score", "ending")}


def lines(folder: Path, event: str) -> list[dict[str, Any]]:
    return [one for one in map(json.loads, (folder / FILE).read_text().splitlines()) if one["event"] == event]


@pytest.fixture(scope="module")
def plain() -> Any:
    """A run without batches."""
    with served(careful, max_tokens=500) as server:
        return compiled(server, batch=False, num_threads=8)


@pytest.mark.parametrize("kind", [Pair, Awaited])
def test_a_run_in_batches_is_the_same_run_at_half_the_price(kind, plain, tmp_path):
    shown: list[Any] = []
    with served(careful, max_tokens=500) as server:
        other = server.lm(cache=False, max_tokens=400)
        other.model = OTHER
        made = optimizer(server, tmp_path, subscribers=[shown.append], gradient_lm=other)
        compiled_program = asyncio.run(made.acompile(kind(), trainset=questions(3), valset=questions(5)))
        result = compiled_program.detailed_results
        assert decided(result) == decided(plain)
        assert in_batches(server) == len(server.log) == result.total.calls == plain.total.calls
        assert len(server.desk.batches) < result.total.calls / 2
        tokens = result.total.prompt_tokens * PRICE[0] + result.total.completion_tokens * PRICE[1]
        assert result.total.usd == pytest.approx(tokens / 1e6 / 2)
        assert result.total.unsure_tokens == 0
        assert all(len(models(server, one)) == 1 for one in server.desk.batches)
        assert {one.status for one in shown if isinstance(one, BatchWaiting)} == {"completed"}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: Any) -> Any:
    """A run in batches: its server, which goes on, its result, and the lines of its log."""
    folder = tmp_path_factory.mktemp("whole")
    with served(careful, max_tokens=500) as server:
        result = compiled(server, folder)
        yield server, result, (folder / FILE).read_bytes().splitlines(keepends=True), dspy.settings.lm, folder


def cut(logged: Any, folder: Path, after: str, nth: int, more: int = 0) -> int:
    """The log as a kill leaves it so many lines after the nth line of a kind; how many requests it does not answer."""
    whole = [json.loads(line)["event"] for line in logged[2]]
    at = [number for number, event in enumerate(whole) if event == after][nth] + 1 + more
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(b"".join(logged[2][:at]))
    (folder / "journal.key").write_bytes((logged[4] / "journal.key").read_bytes())
    sent = sum(len(json.loads(line)["requests"]) for line in logged[2][:at] if json.loads(line)["event"] == "batch")
    return logged[1].total.calls - sent


@pytest.mark.parametrize(
    ("after", "more"),
    [("batch", 0), ("batch made", 0), ("batch made", 2)],
    ids=["before the batch is known", "while it is waited for", "amid its answers"],
)
def test_a_run_killed_in_the_middle_of_a_batch_goes_on_with_it_and_pays_for_nothing_twice(
    logged, after, more, tmp_path
):
    server, whole = logged[:2]
    rest, before = cut(logged, tmp_path, after, 1, more), in_batches(server)
    with dspy.context(lm=logged[3]):
        again = compiled(server, tmp_path)
    assert in_batches(server) - before == rest
    assert decided(again) == decided(whole)
    assert (again.total.calls, again.total.unsure_tokens) == (whole.total.calls, 0)
    assert again.total.usd == pytest.approx(whole.total.usd)


def test_a_batch_that_was_never_made_is_paid_for_once(logged, tmp_path):
    server, whole = logged[:2]
    cut(logged, tmp_path, "batch", 1)
    name = lines(tmp_path, "batch")[-1]["name"]
    made = [one for one in server.desk.batches if one["metadata"] == {"run": name}]
    server.desk.batches.remove(made[0])
    try:
        before = in_batches(server)
        with dspy.context(lm=logged[3]):
            again = compiled(server, tmp_path)
        assert in_batches(server) - before == whole.total.calls - len(lines(tmp_path, "batch")[0]["requests"])
    finally:
        server.desk.batches += made
    assert decided(again) == decided(whole)
    assert (again.total.calls, again.total.unsure_tokens) == (whole.total.calls, 0)


def test_a_batch_under_way_is_not_paid_for_again_by_a_run_without_batches(logged, tmp_path):
    cut(logged, tmp_path, "batch made", 1)
    before = len(logged[0].log)
    with dspy.context(lm=logged[3]), pytest.raises(SetupError, match="batch=True"):
        compiled(logged[0], tmp_path, batch=False)
    assert len(logged[0].log) == before


def test_a_run_that_is_interrupted_says_what_is_still_at_the_provider_and_goes_on_from_there(plain, tmp_path):
    with served(careful, max_tokens=500) as server:
        server.desk.faults.polls = ENDLESS

        def interrupt(event: Any) -> None:
            if isinstance(event, BatchWaiting) and server.desk.faults.polls:
                server.desk.faults.polls = 0
                signal.raise_signal(signal.SIGINT)

        first = compiled(server, tmp_path, subscribers=[interrupt])
        assert first.ending is Ending.INTERRUPTED
        assert any("5 requests are still at the provider" in one and "same log_dir" in one for one in first.warnings)
        assert first.total.calls == 5
        again = compiled(server, tmp_path)
        assert decided(again) == decided(plain)
        assert in_batches(server) == again.total.calls == plain.total.calls


def test_a_batch_that_is_never_over_ends_the_run_with_its_error_and_the_best_program(tmp_path):
    with served(careful, max_tokens=500) as server:

        def stall(event: Any) -> None:
            if isinstance(event, EvaluationDone):
                server.desk.faults.polls = ENDLESS

        with pytest.raises(ModelError, match="still in_progress") as caught:
            compiled(server, tmp_path, batch=Batch(seconds=1), subscribers=[stall])
        assert caught.value.best is not None
        server.desk.faults.polls, before = 0, in_batches(server)
        assert compiled(server, tmp_path).total.calls == in_batches(server) > before


@pytest.mark.parametrize("ending", ["failed", "cancelled", "expired"])
def test_a_batch_that_comes_to_nothing_ends_the_run_and_is_sent_anew_when_it_is_resumed(ending, tmp_path):
    with served(careful, max_tokens=500) as server:
        server.desk.faults.ending = ending
        with pytest.raises(ModelError, match=f"is {ending}"):
            compiled(server, tmp_path, steps=0)
        assert not server.log
        server.desk.faults.ending = "completed"
        again = compiled(server, tmp_path, steps=0)
        assert len(server.log) == again.total.calls == 10
        assert again.total.unsure_tokens == 0


STATUSES = {
    "POST /v1/files": [500, 429, 0],
    # The first is made though its answer is lost, the second is not made at once.
    "POST /v1/batches": [-1, 503],
    "GET /v1/batches/": [404, 500, 0, 502],
    "GET /v1/files/": [500, 0],
}


def test_what_passes_in_the_batch_interface_changes_nothing(plain, tmp_path):
    with served(careful, max_tokens=500) as server:
        statuses = {path: list(each) for path, each in STATUSES.items()}
        vars(server.desk.faults).update(statuses=statuses, polls=1, torn=1, twice=True)
        result = compiled(server, tmp_path)
        assert decided(result) == decided(plain)
        assert in_batches(server) == len(server.log) == result.total.calls == plain.total.calls
        assert not any(statuses.values())
        assert result.total.unsure_tokens == 0


@pytest.mark.parametrize(
    ("fault", "paid"), [({"lost": 2}, True), ({"ending": "expired", "answered": 3}, False)], ids=["lost", "expired"]
)
def test_requests_that_come_back_without_an_answer_are_asked_again(fault, paid, plain, tmp_path):
    with served(careful, max_tokens=500) as server:
        vars(server.desk.faults).update(fault)

        def mend(event: Any) -> None:
            if isinstance(event, BatchWaiting) and event.status in ("completed", "expired"):
                vars(server.desk.faults).update(lost=0, ending="completed")

        result = compiled(server, tmp_path, steps=0, subscribers=[mend])
        assert result.score_before == plain.score_before
        assert result.total.calls == in_batches(server) == 12
        assert (result.total.unsure_tokens > 0) is paid
        assert any("2 of 5 requests" in one for one in result.warnings) is paid


@pytest.mark.parametrize("budget", [{"calls": 7}, {"usd": 0.006}])
def test_a_budget_is_never_exceeded_as_the_server_counts(budget, tmp_path):
    with served(careful, max_tokens=500) as server:
        result = compiled(server, tmp_path, budget=budget)
        usd = (server.prompt_tokens * PRICE[0] + server.completion_tokens * PRICE[1]) / 2e6
        assert result.ending is Ending.BUDGET
        assert len(server.log) <= in_batches(server) <= result.total.calls <= budget.get("calls", 200)
        assert usd - 1e-12 <= result.total.usd + result.total.unsure_usd <= budget.get("usd", 100)
        assert usd > 0.3 * budget.get("usd", 0)


class Own(dspy.BaseLM):
    def forward(self, prompt=None, messages=None, **kwargs):
        raise AssertionError("it was asked")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"gradient_lm": Own("own")}, "not a dspy.LM"),
        ({"gradient_lm": dspy.LM("anthropic/claude-sonnet-4-5")}, "is of anthropic"),
        ({"gradient_lm": dspy.LM("openai/gpt-5-mini", model_type="responses")}, "model_type 'responses'"),
        ({"where": "processes"}, "leave where out"),
        ({"limits": Limits(example=60)}, "limits.example"),
        ({"batch": "yes"}, "batch must be"),
        ({"batch": 3}, "batch must be"),
    ],
)
def test_what_cannot_be_sent_in_batches_is_refused_before_anything_is_sent(settings, why):
    with served(careful, max_tokens=500) as server, pytest.raises(SetupError, match=why):
        made = SemanticGradientDescent(right, **{"batch": True, "subscribers": (), **settings})
        made.compile(Pair(), trainset=questions(3), valset=questions(5))
    assert not server.log
    assert not server.desk.files


class Making(Pair):
    def forward(self, question):
        with dspy.context(lm=dspy.LM("anthropic/claude-sonnet-4-5", api_key="none")):
            return super().forward(question)


def test_a_model_that_a_program_makes_on_the_way_is_refused_before_it_is_asked():
    with served(careful, max_tokens=500) as server, pytest.raises(SetupError, match="is of anthropic"):
        made = SemanticGradientDescent(right, batch=True, steps=0, subscribers=())
        made.compile(Making(), trainset=questions(3), valset=questions(5))
    assert not server.log


@pytest.mark.parametrize("bad", [{"seconds": 0}, {"gather": -1.0}, {"requests": 1.5}, {"requests": True}])
def test_a_batch_of_impossible_settings_is_refused(bad):
    with pytest.raises(SetupError, match=r"batch\."):
        Batch(**bad)
