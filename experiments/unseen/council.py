"""A fan-out, a merge and a loop under a graded metric that misleads; a longer instruction is heard less."""

from __future__ import annotations

from typing import Any

import dspy
from unseen.world import Rule, Trap, Turn, World, case, predict

RULES = {
    "levy": Rule("costs", "a fifth off gross sums", "Take a fifth off gross sums before reporting them."),
    "instalments": Rule("costs", "times the number of instalments", "Count a sum times the number of instalments."),
    "river": Rule("risks", "a site by the river is high", "The risk of a site by the river is high."),
    "minors": Rule("people", "minors are counted too", "Remember that minors are counted too."),
    "repeat": Rule("chair", "repeat every item after a remark", "Make sure to repeat every item after a remark."),
    "crowd": Rule("clerk", "many people are no reason to object", "Note that many people are no reason to object."),
}
TRAPS = (Trap("as few words as possible", "Use as few words as possible.", "long-winded", 0.5),)
SLIP = 0.01
BOILERPLATE = (
    "You serve the council of a small town and handle what its citizens send in. Work with care, read everything "
    "twice, and stay polite. The council values a calm tone, plain words and an even hand towards all who write "
    "to it. Never guess at motives, and never promise anything on behalf of the council. Petitions are public, so "
    "write nothing that could not be read aloud in the hall. If two readings are possible, take the more natural "
    "one. Keep to the order of business that the standing orders lay down, and begin what you write with the "
    "number of the petition. Do not use abbreviations that a newcomer to the town would not know."
)
TASKS = {
    "costs": ("petition -> cost_finding", "Find what the petition costs."),
    "risks": ("petition -> risk_finding", "Find how high the risk of the site is."),
    "people": ("petition -> people_finding", "Find how many people the petition is for."),
    "chair": ("cost_finding, risk_finding, people_finding, remark -> minutes", "Put the findings together as minutes."),
    "clerk": ("petition, minutes -> remark", "Object to minutes that cannot stand, else say none."),
}


class Council(dspy.Module):
    """Three readers side by side, a chair, and a clerk who may send the minutes back twice."""

    def __init__(self) -> None:
        super().__init__()
        steps = [predict(fields, f"{BOILERPLATE} {task}") for fields, task in TASKS.values()]
        self.costs, self.risks, self.people, self.chair, self.clerk = steps

    def forward(self, petition: str) -> dspy.Prediction:
        """Read, put together, and revise while the clerk objects."""
        found = {
            "cost_finding": self.costs(petition=petition).cost_finding,
            "risk_finding": self.risks(petition=petition).risk_finding,
            "people_finding": self.people(petition=petition).people_finding,
        }
        minutes = self.chair(**found, remark="none").minutes
        for _ in range(2):
            remark = self.clerk(petition=petition, minutes=minutes).remark
            if remark.strip().lower() == "none":
                break
            minutes = self.chair(**found, remark=remark).minutes
        return dspy.Prediction(minutes=minutes)


def example(key: str) -> dspy.Example:
    """A petition and the minutes that it should lead to."""
    rng = case(key)
    gross, paid, river, young = (rng.random() < share for share in (0.35, 0.3, 0.4, 0.4))
    amount, parts, adults, minors = 5 * rng.randint(4, 40), rng.randint(2, 5), rng.randint(5, 30), rng.randint(3, 20)
    text = f"{key}: a grant of {amount} {'gross' if gross else 'net'}, paid in {parts if paid else 1} parts"
    text += (
        f", a site {'by the river' if river else 'on the hill'}, {adults} adults and {minors if young else 0} minors"
    )
    costs = (amount * 4 // 5 if gross else amount) * (parts if paid else 1)
    people = adults + (minors if young else 0)
    right = f"{key} costs {costs}; risk {'high' if river else 'low'}; people {people}"
    return dspy.Example(petition=text, minutes=right).with_inputs("petition")


def metric(example: dspy.Example, prediction: Any) -> dspy.Prediction:
    """A third of a point for each right item; of four cases with a fault one is told the wrong thing about it."""
    key, _, items = example.minutes.partition(" ")
    written = str(prediction.minutes).removeprefix(key).split(";")
    wrong = [item for item in items.split("; ") if item not in [one.strip() for one in written]]
    if not wrong:
        feedback = f"{key}: the minutes stand."
    elif case(f"{key} feedback").random() < 0.25:
        feedback = f"{key}: the minutes do not stand; they are long-winded."
    else:
        feedback = f"{key}: the minutes should say: {wrong[0]}."
    return dspy.Prediction(score=1 - len(wrong) / 3, feedback=feedback)


def answer(turn: Turn) -> dict[str, str]:
    """What each of the five writes."""
    try:
        wrote = {"costs": _costs, "risks": _risks, "people": _people, "chair": _chair, "clerk": _clerk}[turn.predictor](
            turn
        )
    except (ValueError, IndexError, AttributeError):
        wrote = f"{turn.key} cannot be read"
    if turn.predictor not in ("chair", "clerk") and (turn.slips(SLIP) or turn.trapped(TRAPS[0].phrase, 0.4)):
        wrote = f"{turn.key} noted"
    return {TASKS[turn.predictor][0].split(" -> ")[1]: wrote}


def _costs(turn: Turn) -> str:
    text, right = turn.inputs["petition"], _items(turn)[0]
    amount, kind = text.split(" a grant of ")[1].split(",")[0].split(" ")
    parts = text.split("paid in ")[1].split(" ")[0]
    told = int(amount)
    if kind == "gross" and turn.follows("levy", f"{amount} gross", "costs", right):
        told = told * 4 // 5
    if parts != "1" and turn.follows("instalments", f"{parts} parts", "costs", right):
        told *= int(parts)
    return f"{turn.key} costs {told}"


def _risks(turn: Turn) -> str:
    river = "by the river" in turn.inputs["petition"]
    high = river and turn.follows("river", "by the river", "risk low", "risk high")
    return f"{turn.key} risk {'high' if high else 'low'}"


def _people(turn: Turn) -> str:
    adults, minors = (int(part.split(" ")[-2]) for part in turn.inputs["petition"].split(", ")[-1].split(" and "))
    if minors and turn.follows("minors", f"{minors} minors", f"people {adults}", _items(turn)[2]):
        adults += minors
    return f"{turn.key} people {adults}"


def _chair(turn: Turn) -> str:
    found = [turn.inputs[f"{name}_finding"].removeprefix(f"{turn.key} ") for name in ("cost", "risk", "people")]
    remark = turn.inputs["remark"].strip()
    lost = remark.lower() != "none" and not turn.follows("repeat", "object", found[0], _items(turn)[2])
    if lost or turn.slips(SLIP) or turn.trapped(TRAPS[0].phrase, 0.4):
        found.pop()
    return f"{turn.key} {'; '.join(found)}"


def _clerk(turn: Turn) -> str:
    minutes = turn.inputs["minutes"]
    if "people" not in minutes:
        return f"{turn.key} object: the people are missing"
    number = minutes.split("people ")[1].split(" ")[0]
    if int(number) >= 24 and not turn.follows("crowd", f"people {number}", "object", _items(turn)[2]):
        return f"{turn.key} object: so many people"
    return "none"


def _items(turn: Turn) -> list[str]:
    return example(turn.key).minutes.partition(" ")[2].split("; ")


COUNCIL = World(
    "council",
    "CO",
    Council,
    example,
    metric,
    answer,
    RULES,
    finds={"agw": 0.55, "ag": 0.12, "gw": 0.2, "aw": 0.08, "g": 0.02, "hint": 0.85},
    traps=TRAPS,
    deafness=lambda words: min(1.0, max(0.35, 1 - (words - 180) / 250)),
    calls=6,
)
