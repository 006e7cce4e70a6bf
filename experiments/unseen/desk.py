"""A router with branches, one rare, under noise; two rules stand in the start and are lost by careless rewriting."""

from __future__ import annotations

from typing import Any

import dspy
from unseen.world import Rule, Turn, World, case, predict

GIVEN_ESTIMATES = "Readings that are estimates are credited by ten units."
GIVEN_REFUND = "What the customer gets is a negative amount."
RULES = {
    "price": Rule(
        "triage",
        "the price of a unit goes to the tariff desk",
        "A question on the price of a unit goes to the tariff desk.",
    ),
    "flicker": Rule(
        "triage", "flickering lights go to the outage desk", "Reports that flickering lights go to the outage desk."
    ),
    "rollover": Rule("meter", "a meter starts again after 9999", "Consider that a meter starts again after 9999."),
    "estimate": Rule("meter", "estimates are credited", GIVEN_ESTIMATES),
    "night": Rule("tariff", "night units cost half", "Consider that night units cost half."),
    "waiting": Rule("outage", "the first four hours are not paid", "Consider that the first four hours are not paid."),
    "refund": Rule("settle", "is a negative amount", GIVEN_REFUND),
    "cap": Rule("settle", "nobody pays more than 90", "Consider that nobody pays more than 90 at once."),
}
SLIP, JITTER = 0.025, 0.01


class Desk(dspy.Module):
    """A complaint to an electricity company: a desk, what it finds, and what is due."""

    def __init__(self) -> None:
        super().__init__()
        self.triage = predict("complaint -> desk", "Name the desk: meter, tariff or outage.")
        self.meter = predict("complaint -> charge", f"Work out the units used, at 0.30 each. {GIVEN_ESTIMATES}")
        self.tariff = predict("complaint -> cost", "Work out what the units cost, at 0.30 each.")
        self.outage = predict("complaint -> refund", "Work out the compensation, 5 for each hour.")
        self.settle = predict("finding -> due", f"Say what is due. {GIVEN_REFUND}")

    def forward(self, complaint: str) -> dspy.Prediction:
        """One of three desks, then the settlement."""
        desk = self.triage(complaint=complaint).desk.lower()
        if "meter" in desk:
            finding = self.meter(complaint=complaint).charge
        elif "tariff" in desk:
            finding = self.tariff(complaint=complaint).cost
        else:
            finding = self.outage(complaint=complaint).refund
        return dspy.Prediction(due=self.settle(finding=finding).due)


def example(key: str) -> dspy.Example:
    """A complaint of one of three kinds."""
    rng = case(key)
    kind = rng.choices(["meter", "tariff", "outage"], (0.42, 0.4, 0.18))[0]
    odd, other = rng.random() < 0.5, rng.random() < 0.45
    if kind == "meter":
        used, old = rng.randint(120, 420), rng.randint(9700, 9990) if odd else rng.randint(1000, 9000)
        text = f"my meter stood at {old} and now at {(old + used) % 10000}{', an estimate' if other else ''}"
        right = 0.3 * (used - 10 * other)
    elif kind == "tariff":
        units, night = rng.randint(60, 200), rng.randint(60, 250) if odd else 0
        text = "the price of a unit on my meter is odd" if other else "the tariff is odd"
        text += f": {units} day and {night} night units"
        right = 0.3 * (units + night / 2)
    else:
        hours = rng.randint(6, 20)
        text = f"{'the lights were flickering' if odd else 'there was an outage'} for {hours} hours"
        right = -5.0 * (hours - 4)
    due = f"{key} due {min(right, 90):.2f}"
    return dspy.Example(complaint=f"{key}: {text}", due=due).with_inputs("complaint")


def metric(example: dspy.Example, prediction: Any) -> dspy.Prediction:
    """The nearer the better; nothing from half of the right amount away."""
    right, given = (_amount(text) for text in (example.due, prediction.due))
    score = 0.0 if given is None or right is None else max(0.0, 1 - 2 * abs(given - right) / max(1.0, abs(right)))
    return dspy.Prediction(score=score, feedback=f"The answer was {prediction.due}; right is {example.due}.")


def _amount(text: Any) -> float | None:
    try:
        return float(str(text).split(" due ")[1])
    except (IndexError, ValueError):
        return None


def answer(turn: Turn) -> dict[str, str]:
    """What each predictor writes."""
    wanted = example(turn.key).due.removeprefix(f"{turn.key} ") if turn.key else ""
    try:
        if turn.predictor == "triage":
            return {"desk": f"{turn.key} {_desk(turn, turn.inputs['complaint'], wanted)}"}
        if turn.predictor == "settle":
            return {"due": f"{turn.key} due {_noisy(turn, _due(turn, turn.inputs['finding'], wanted)):.2f}"}
        unit, amount = FINDINGS[turn.predictor](turn, turn.inputs["complaint"], wanted)
    except (ValueError, IndexError):
        return {OUTPUTS[turn.predictor]: f"{turn.key} nothing found"}
    return {OUTPUTS[turn.predictor]: f"{turn.key} {unit} {_noisy(turn, amount):.2f}"}


def _noisy(turn: Turn, amount: float) -> float:
    return amount * (turn.rng.uniform(0.3, 1.7) if turn.slips(SLIP) else turn.rng.gauss(1, JITTER))


def _desk(turn: Turn, text: str, wanted: str) -> str:
    if "price of a unit" in text:
        return "tariff" if turn.follows("price", "price of a unit", "meter", wanted) else "meter"
    if "flickering" in text:
        return "outage" if turn.follows("flicker", "flickering", "tariff", wanted) else "tariff"
    return next(desk for desk in ("meter", "tariff", "outage") if desk in text)


def _meter(turn: Turn, text: str, wanted: str) -> tuple[str, float]:
    old, new = (int(text.split(mark)[1].split(",")[0].split(" ")[0]) for mark in ("stood at ", "now at "))
    if new < old and turn.follows("rollover", f"at {new}", "charge", wanted):
        new += 10000
    less = 10 if "estimate" in text and turn.follows("estimate", "an estimate", "charge", wanted) else 0
    return "charge", 0.3 * abs(new - old - less)


def _tariff(turn: Turn, text: str, wanted: str) -> tuple[str, float]:
    day, night = (float(text.split(mark)[0].split(" ")[-1]) for mark in (" day", " night"))
    half = night and turn.follows("night", f"{night:.0f} night", "charge", wanted)
    return "charge", 0.3 * (day + (night / 2 if half else night))


def _outage(turn: Turn, text: str, wanted: str) -> tuple[str, float]:
    hours = int(text.split(" hours")[0].split(" ")[-1])
    return "refund", 5.0 * (hours - 4 if turn.follows("waiting", f"{hours} hours", "refund", wanted) else hours)


def _due(turn: Turn, finding: str, wanted: str) -> float:
    _, unit, number = finding.split(" ")
    amount = float(number)
    if unit == "refund":
        return -amount if turn.follows("refund", "refund", "due", wanted) else amount
    return 90.0 if amount > 90 and turn.follows("cap", number, "due", wanted) else amount


OUTPUTS = {"triage": "desk", "meter": "charge", "tariff": "cost", "outage": "refund", "settle": "due"}
FINDINGS = {"meter": _meter, "tariff": _tariff, "outage": _outage}
DESK = World(
    "desk",
    "DE",
    Desk,
    example,
    metric,
    answer,
    RULES,
    finds={"agw": 0.35, "ag": 0.08, "gw": 0.1, "aw": 0.05, "g": 0.02, "hint": 0.8},
    keeps=0.93,
    calls=3,
)
