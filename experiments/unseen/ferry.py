"""A chain of five steps under a silent metric: early faults show at the end only, and two pairs count only together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dspy
from unseen.world import Rule, Turn, World, case, predict

RULES = {
    "fragile": Rule("read", "china and glass are fragile", "Note that china and glass are fragile goods."),
    "pounds": Rule(
        "weigh", "pounds are turned into kilograms", "Masses in pounds are turned into kilograms by halving."
    ),
    "island": Rule("route", "islands are reached by sea", "Remember that islands are reached by sea."),
    "weekend": Rule("stamp", "weekend goods are due on monday", "Remember that weekend goods are due on Monday."),
    "frost": Rule("seal", "heated hold in frost", "Ask for the heated hold in frost."),
}
SLIP = 0.006


class Ferry(dspy.Module):
    """A consignment note on its way to a label."""

    def __init__(self) -> None:
        super().__init__()
        self.read = predict("note -> slip", "Read the note and fill in the slip.")
        self.weigh = predict("slip -> load", "Enter the mass in kilograms.")
        self.route = predict("load -> leg", "Choose the way of transport.")
        self.stamp = predict("leg -> docket", "Enter the day of dispatch.")
        self.seal = predict("docket -> label", "Write the label.")

    def forward(self, note: str) -> dspy.Prediction:
        """Five steps, one after another."""
        slip = self.read(note=note).slip
        load = self.weigh(slip=slip).load
        leg = self.route(load=load).leg
        docket = self.stamp(leg=leg).docket
        return dspy.Prediction(label=self.seal(docket=docket).label)


def example(key: str) -> dspy.Example:
    """A consignment; foreign ones are in pounds and for an island, auctioned ones fragile and of a weekend."""
    rng = case(key)
    foreign, auctioned, frost = (rng.random() < share for share in (0.4, 0.4, 0.25))
    mass, unit = 2 * rng.randint(10, 60), "lb" if foreign else "kg"
    place = rng.choice(["Orkney", "Skye", "Lewis"] if foreign else ["Bergen", "Leith", "Hull"])
    goods = rng.choice(["china", "glass"] if auctioned else ["wool", "paper", "timber"])
    day = rng.choice(["Saturday", "Sunday"] if auctioned else ["Tuesday", "Thursday"])
    weather = "frost" if frost else "mild"
    kilograms = mass // 2 if foreign else mass
    parts = ("fragile" if auctioned else "plain", f"{kilograms}kg", "sea" if foreign else "road")
    label = " / ".join((key, *parts, "Monday" if auctioned else day, "heated" if frost else "open"))
    note = f"{key}: {mass} {unit} of {goods} for {place}, handed in on {day}, {weather}"
    return dspy.Example(note=note, label=label).with_inputs("note")


def metric(example: dspy.Example, prediction: Any) -> float:
    """Right or wrong, without a word."""
    return float(prediction.label == example.label)


def telling(example: dspy.Example, prediction: Any) -> dspy.Prediction:
    """The same, with the right label in words."""
    feedback = f"The answer was {prediction.label}; right is {example.label}."
    return dspy.Prediction(score=metric(example, prediction), feedback=feedback)


def answer(turn: Turn) -> dict[str, str]:
    """What each step writes; a wrong entry is carried to the label."""
    field, text = next(iter(turn.inputs.items()))
    wanted = example(turn.key).label if turn.key else ""
    if turn.slips(SLIP):
        text = text.replace("kg", "t").replace("lb", "t")
    try:
        return STEPS[field](turn, text, wanted)
    except (ValueError, IndexError):
        return {OUTPUTS[field]: f"{turn.key} cannot be read"}


def _read(turn: Turn, note: str, wanted: str) -> dict[str, str]:
    key, rest = note.split(": ")
    what, place, day, weather = rest.replace(" for ", ", ").replace("handed in on ", "").split(", ")
    mass, goods = what.split(" of ")
    kind = "plain"
    if goods in ("china", "glass") and turn.follows("fragile", goods, "plain", wanted):
        kind = "fragile"
    return {"slip": " | ".join((key, kind, mass, place, day, weather))}


def _weigh(turn: Turn, slip: str, wanted: str) -> dict[str, str]:
    key, kind, mass, *rest = slip.split(" | ")
    number, unit = mass.split(" ")
    if unit == "lb" and turn.follows("pounds", mass, f"{number}kg", wanted):
        number = str(int(number) // 2)
    return {"load": " | ".join((key, kind, f"{number}kg" if unit != "t" else f"{number}t", *rest))}


def _route(turn: Turn, load: str, wanted: str) -> dict[str, str]:
    key, kind, mass, place, day, weather = load.split(" | ")
    way = "road"
    if place in ("Orkney", "Skye", "Lewis") and turn.follows("island", place, "road", wanted):
        way = "sea"
    return {"leg": " | ".join((key, kind, mass, place, way, day, weather))}


def _stamp(turn: Turn, leg: str, wanted: str) -> dict[str, str]:
    *rest, day, weather = leg.split(" | ")
    if day in ("Saturday", "Sunday") and turn.follows("weekend", day, f"due {day}", wanted):
        day = "Monday"
    return {"docket": " | ".join((*rest, f"due {day}", weather))}


def _seal(turn: Turn, docket: str, wanted: str) -> dict[str, str]:
    key, kind, mass, _, way, due, weather = docket.split(" | ")
    hold = "open"
    if weather == "frost" and turn.follows("frost", "frost", "open", wanted):
        hold = "heated"
    return {"label": " / ".join((key, kind, mass, way, due.removeprefix("due "), hold))}


STEPS = {"note": _read, "slip": _weigh, "load": _route, "leg": _stamp, "docket": _seal}
OUTPUTS = {"note": "slip", "slip": "load", "load": "leg", "leg": "docket", "docket": "label"}
FERRY = World(
    "ferry",
    "FE",
    Ferry,
    example,
    metric,
    answer,
    RULES,
    finds={"agw": 0.45, "ag": 0.12, "gw": 0.15, "aw": 0.05, "g": 0.02, "hint": 0.85},
)
TOLD = replace(FERRY, name="told", metric=telling)
"""Added when the three worlds had been measured, to see how much of their outcome was the silence of the metric."""
