"""The ledger and its neighbours from inside: what is booked, what a request may cost, what a log must not tell."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import Budget, Limits, Purpose, SetupError, Spent
from dspy_semantic_backprop._errors import Abandoned, BudgetSpent, CapReached
from dspy_semantic_backprop._evaluate.parcel import packed, unpacked
from dspy_semantic_backprop._secrets.errors import hide
from dspy_semantic_backprop._secrets.known import learn_secrets
from dspy_semantic_backprop._session.budget import Bound
from dspy_semantic_backprop._session.journal import Journal
from dspy_semantic_backprop._session.ledger import Ledger
from dspy_semantic_backprop._session.lm import for_purpose, metered
from dspy_semantic_backprop._session.lm.usage import bound_of

requests = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100)), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(requests=requests, most=st.integers(1, 1500), threads=st.integers(1, 8))
def test_what_is_booked_never_exceeds_the_budget_and_no_room_is_given_away(requests, most, threads):
    ledger = Ledger(budget=Budget(tokens=most))
    left, refused = list(requests), []

    def work():
        while left:
            try:
                bound, cost = left.pop()
            except IndexError:
                return
            try:
                with ledger.admitted((Purpose.FORWARD, ""), Bound(tokens=bound)):
                    ledger.book((Purpose.FORWARD, ""), Spent(calls=1, prompt_tokens=min(bound, cost)))
            except BudgetSpent:
                refused.append(bound)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert ledger.total.tokens <= most
    # A request is refused only where it alone would not fit beside what was really spent.
    assert all(bound + ledger.total.tokens > most for bound in refused)


@pytest.mark.parametrize("name", ["calls", "tokens", "usd", "metric_calls", "seconds"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "ten", True])
def test_a_budget_that_is_no_number_above_zero_is_refused(name, value):
    with pytest.raises(SetupError, match=f"budget.{name} must be"):
        Budget(**{name: value})


@pytest.mark.parametrize("price", [None, (1.0,), (1.0, -2.0), ("a", "b"), 3.0])
def test_a_price_that_is_no_price_is_refused(price):
    with pytest.raises(SetupError, match="prices"):
        Budget(usd=1.0, prices={"openai/local": price})


@pytest.mark.parametrize("limit", ["request", "example", "metric"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "soon"])
def test_a_limit_that_is_no_time_is_refused(limit, value):
    with pytest.raises(SetupError, match=f"limits.{limit}"):
        Limits(**{limit: value})


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "all"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(SetupError, match=r"limits\.missing"):
        Limits(missing=share)


def test_a_request_waits_while_those_under_way_may_leave_room():
    ledger, order = Ledger(budget=Budget(tokens=100)), []

    def second():
        with ledger.admitted((Purpose.FORWARD, ""), Bound(tokens=60)):
            order.append("second")

    with ledger.admitted((Purpose.FORWARD, ""), Bound(tokens=60)):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.05)
        order.append("first")
        ledger.book((Purpose.FORWARD, ""), Spent(calls=1, prompt_tokens=10))
    waiting.join()
    assert order == ["first", "second"]


def test_on_an_event_loop_nothing_waits_for_what_only_the_loop_can_end():
    async def blocking() -> None:
        ledger = Ledger(budget=Budget(tokens=100))
        ticket = await ledger.enter((Purpose.FORWARD, ""), Bound(tokens=60))
        with pytest.raises(BudgetSpent), ledger.admitted((Purpose.FORWARD, ""), Bound(tokens=60)):
            pass
        ledger.leave(ticket)

    asyncio.run(asyncio.wait_for(blocking(), 5))


def test_what_a_lost_answer_may_have_cost_counts():
    ledger = Ledger(budget=Budget(tokens=100))
    ledger.book((Purpose.FORWARD, ""), Spent(calls=1, unsure_tokens=90))
    with pytest.raises(BudgetSpent, match="90 so far; the next request may cost 20"):
        with ledger.admitted((Purpose.FORWARD, ""), Bound(tokens=20)):
            raise AssertionError("it was let through")
    assert ledger.total.tokens == 0


def test_a_cap_of_one_purpose_leaves_the_others_alone():
    ledger = Ledger({Purpose.CHECK: 1})
    with ledger.admitted((Purpose.CHECK, "")):
        with pytest.raises(CapReached), ledger.admitted((Purpose.CHECK, "")):
            pass
        with ledger.admitted((Purpose.FORWARD, "")):
            pass


def test_after_the_run_nothing_is_let_through():
    ledger = Ledger()
    ledger.close()
    with pytest.raises(Abandoned), ledger.admitted((Purpose.FORWARD, "")):
        pass
    with pytest.raises(Abandoned):
        ledger.metric_call()


def test_time_spent_by_earlier_processes_counts():
    with pytest.raises(BudgetSpent, match="5 seconds"):
        with Ledger(budget=Budget(seconds=5), seconds=6.0).admitted((Purpose.FORWARD, "")):
            pass


def test_accounts_are_told_apart_by_purpose_and_predictor():
    ledger = Ledger(carried={(Purpose.FORWARD, "first"): Spent(calls=2)})
    ledger.book((Purpose.FORWARD, "final"), Spent(calls=1))
    ledger.book((Purpose.GATE, "final"), Spent(calls=1))
    assert {name: spent.calls for name, spent in ledger.by_purpose.items()} == {"forward": 3, "gate": 1}
    assert {name: spent.calls for name, spent in ledger.by_predictor.items()} == {"first": 2, "final": 2}
    assert ledger.total.calls == 4


@given(text=st.text(), answer=st.integers(1, 500), count=st.integers(1, 4))
def test_the_bound_of_a_request_is_no_less_than_its_bytes_and_the_longest_answer(text, answer, count):
    lm = dspy.LM("openai/none", api_key="none", max_tokens=answer)
    budget = Budget(tokens=1, usd=1.0, prices={"openai/none": (1.0, 2.0)})
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]
    bound = bound_of(lm, budget, messages, {"n": count})
    size = len(text.encode("utf-8", "surrogatepass"))
    assert bound.calls == count
    assert bound.tokens >= count * (size + answer)
    assert bound.usd >= count * (size * 1e-6 + answer * 2e-6)


class Wrapped(Exception):
    """Keeps a text where nobody looks for one."""

    def __init__(self, text: str):
        super().__init__()
        self.inner = {"text": text}

    def __str__(self) -> str:
        return self.inner["text"]


def test_secrets_are_taken_out_of_errors_wherever_they_stand():
    lm = dspy.LM("openai/none", api_key="sk-0123456789", extra_headers={"Authorization": "Bearer tok-987654321"})
    learn_secrets(lm)
    error = Wrapped("the key sk-0123456789 is wrong")
    error.__cause__ = ValueError("header tok-987654321", {"key": "sk-0123456789"})
    error.note = "sk-0123456789"  # pyright: ignore[reportAttributeAccessIssue]
    hide(error)
    seen = [error, error.__cause__, error.__context__]
    texts = " ".join(f"{one} {one!r} {vars(one) if one else ''}" for one in seen)
    assert "tok-987654321" not in texts
    assert "sk-0123456789" not in str(error) + repr(error)


def test_an_error_travels_from_a_worker_without_the_secret_of_whoever_raised_it():
    class Tool:
        api_key = "cAnary7x31415926535"

        def __call__(self) -> None:
            raise RuntimeError(f"refused: {self.api_key}")

    with pytest.raises(RuntimeError) as caught:
        Tool()()
    error = unpacked(packed(caught.value, trusted=True))
    assert type(error) is RuntimeError and str(error) == "refused: [hidden]"


def test_a_worker_takes_a_key_from_its_own_environment_and_refuses_where_it_has_none(monkeypatch):
    for name, key in (("OPENAI_API_KEY", "sk-0123456789ab"), ("TEAM_SECRET", "sk-ba9876543210")):
        monkeypatch.setenv(name, key)
    cases: Any = ({}, "OPENAI_API_KEY"), ({"api_key": "sk-ba9876543210"}, "TEAM_SECRET")
    for own, name in cases:
        data = packed(dspy.LM("openai/none", **own), trusted=False)
        assert b"sk-" not in data
        monkeypatch.setenv(name, "sk-of-the-worker-1")
        assert unpacked(data).kwargs.get("api_key") == ("sk-of-the-worker-1" if own else None)
        monkeypatch.delenv(name)
        with pytest.raises(SetupError, match=f"has no {name}, which 'openai/none' needs"):
            unpacked(data)
    # What stands in no environment is no secret of one: a stand-in that a local server does not look at.
    assert unpacked(packed(dspy.LM("openai/none", api_key="none"), trusted=False)).kwargs["api_key"] == "none"


class Holder(dspy.BaseLM):
    """Keeps its key where no client does."""

    def __init__(self, key: str) -> None:
        super().__init__("holder/one")
        self.team_key = key


class Remade(Holder):
    def __reduce__(self) -> Any:
        return Remade, (self.team_key,)


@pytest.mark.parametrize("kind", [Holder, Remade])
def test_the_key_of_a_language_model_of_ones_own_leaves_the_machine_no_more_than_others(kind):
    lm = kind("0123456789-of-the-team")
    assert unpacked(packed(lm, trusted=True)).team_key == lm.team_key
    with pytest.raises(SetupError, match="a credential of 'holder/one' would have to be sent") as refused:
        packed(lm, trusted=False)
    assert lm.team_key not in str(refused.value)
    lm.team_key = "none"
    assert unpacked(packed(lm, trusted=False)).team_key == "none"


def test_answers_of_another_shape_than_text_come_back_from_the_journal(tmp_path):
    asked = []

    class Calling(dspy.BaseLM):
        def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            asked.append(messages)
            return [{"text": None, "tool_calls": [{"id": "1", "function": {"name": "look_up", "arguments": "{}"}}]}]

    for _ in range(2):
        journal = Journal(tmp_path, {"version": "1"})
        ledger = journal.open_ledger()
        with for_purpose(Purpose.FORWARD, ledger, where="here"):
            (answer,) = metered(Calling(model="calling"), ledger)(messages=[{"role": "user", "content": "Which?"}])
        journal.close()
        assert answer["tool_calls"][0]["function"]["name"] == "look_up"
    assert len(asked) == 1
