"""Empty answers, defaults and scores, where an answer decides which calls there are; the edges were written before a
tracer saw the programs.
"""

from typing import Any, Optional

import dspy

from .base import Case, case


class Empty(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("topic -> question")
        self.reply = dspy.Predict("topic -> answer")

    def forward(self, topic: str) -> dspy.Prediction:
        if self.ask(topic=topic).question == "":
            return dspy.Prediction(answer="nothing to ask")
        return self.reply(topic=topic)


class NoItems(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.find = dspy.Predict("text -> errors: list[str]")
        self.report = dspy.Predict("errors: list[str] -> report")

    def forward(self, text: str) -> dspy.Prediction:
        errors = self.find(text=text).errors
        if not errors:
            return dspy.Prediction(report="no errors")
        return self.report(errors=errors)


class Reason(dspy.Signature):
    """Say why a request must be refused, if it must."""

    request: str = dspy.InputField()
    reason: Optional[str] = dspy.OutputField()  # noqa: UP045 - DSPy's users write it


class Refuses(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.check = dspy.Predict(Reason)
        self.explain = dspy.Predict("request -> letter")

    def forward(self, request: str) -> dspy.Prediction:
        if self.check(request=request).reason is not None:
            return dspy.Prediction(letter=self.explain(request=request).letter)
        return dspy.Prediction(letter="granted")


class Zero(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = dspy.Predict("text -> mistakes: int")
        self.correct = dspy.Predict("text -> corrected")

    def forward(self, text: str) -> dspy.Prediction:
        if self.count(text=text).mistakes:
            text = self.correct(text=text).corrected
        return dspy.Prediction(text=text)


class Fallback(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict("page -> price")
        self.guess = dspy.Predict("page -> price")

    def forward(self, page: str) -> dspy.Prediction:
        price = self.read(page=page).price
        if price.strip().lower() in {"", "none", "n/a"}:
            price = self.guess(page=page).price
        return dspy.Prediction(price=price)


class Defaults(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.name = dspy.Predict("mail -> sender")
        self.greet = dspy.Predict("sender -> greeting")

    def forward(self, mail: str) -> dspy.Prediction:
        return self.greet(sender=self.name(mail=mail).sender.strip() or "friend")


class Amount(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict("bill -> amount")
        self.ask = dspy.Predict("bill -> amount_in_figures: float")

    def forward(self, bill: str) -> dspy.Prediction:
        try:
            amount = float(self.read(bill=bill).amount)
        except ValueError:
            amount = self.ask(bill=bill).amount_in_figures
        return dspy.Prediction(amount=amount * 2)


class Publishes(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grade = dspy.Predict("text -> score: int, verdict")
        self.title = dspy.Predict("text -> title")

    def forward(self, text: str) -> dspy.Prediction:
        graded: Any = self.grade(text=text)
        if graded.score >= 7 and graded.verdict == "publish":
            return dspy.Prediction(title=self.title(text=text).title)
        return dspy.Prediction(title="")


CASES: tuple[Case, ...] = (
    case(
        "an-empty-question",
        Empty,
        {"topic": "tides"},
        {"ask": {"question": "When is the tide highest?"}, "reply": {"answer": "At full moon."}},
        output="reply[0].answer -> answer",
        control="ask[0].question -> reply[0]",
        allowed="ask[0].question -> answer",
        note="Only the empty text takes the other way.",
    ),
    case(
        "an-empty-list",
        NoItems,
        {"text": "teh sea"},
        {"find": {"errors": ["teh", "no full stop"]}, "report": {"report": "Two errors."}},
        data="find[0].errors -> report[0].errors",
        output="report[0].report -> report",
        control="find[0].errors -> report[0]",
        allowed="find[0].errors -> report",
        note="Only the empty list takes the other way.",
    ),
    case(
        "a-reason-or-none",
        Refuses,
        {"request": "I want the moon"},
        {"check": {"reason": "it is not ours"}, "explain": {"letter": "We are sorry."}},
        output="explain[0].letter -> letter",
        control="check[0].reason -> explain[0]",
        allowed="check[0].reason -> letter",
        note="No text at all decides, only whether there is one.",
    ),
    case(
        "a-count-of-zero",
        Zero,
        {"text": "teh sea"},
        {"count": {"mistakes": 1}, "correct": {"corrected": "the sea"}},
        output="correct[0].corrected -> text",
        control="count[0].mistakes -> correct[0]",
        allowed="count[0].mistakes -> text",
        note="Only zero takes the other way.",
    ),
    case(
        "one-of-several-words-for-nothing",
        Fallback,
        {"page": "lamp, price on request"},
        {"read": {"price": "N/A"}, "guess": {"price": "some 30"}},
        output="guess[0].price -> price",
        control="read[0].price -> guess[0]",
        allowed="read[0].price -> price",
        note="The run took the way of the empty answer.",
    ),
    case(
        "a-default-for-nothing",
        Defaults,
        {"mail": "Yours, Ann"},
        {"name": {"sender": "Ann"}, "greet": {"greeting": "Dear Ann,"}},
        data="name[0].sender -> greet[0].sender",
        output="greet[0].greeting -> greeting",
        note="A default takes the place of an empty text: a value, and no way.",
    ),
    case(
        "an-amount-in-words",
        Amount,
        {"bill": "twelve and a half"},
        {"read": {"amount": "twelve and a half"}, "ask": {"amount_in_figures": 12.5}},
        output="ask[0].amount_in_figures -> amount",
        control="read[0].amount -> ask[0]",
        allowed="read[0].amount -> amount",
        note="A text that is a number takes the other way.",
    ),
    case(
        "published-by-score-and-verdict",
        Publishes,
        {"text": "Fog is a soft coat."},
        {"grade": {"score": 8, "verdict": "publish"}, "title": {"title": "A Coat"}},
        output="title[0].title -> title",
        control="grade[0].score, grade[0].verdict -> title[0]",
        allowed="grade[0].score, grade[0].verdict -> title",
        note="Two outputs decide together.",
    ),
)
