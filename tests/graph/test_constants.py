"""What the program itself holds came from no output, also where nothing is replayed; what an output chose of it did."""

from __future__ import annotations

import enum
import functools
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import trace
from tests.graph import constants
from tests.graph.constants import PARTS as IMPORTED
from tests.graph.graphs import echo
from tests.scripted import served

PARTS = ("opening", "closing")
TABLE = {"opening": "the first words", "closing": "the last words"}
NESTED = {"parts": [{"text": "opening"}, {"text": "closing"}]}
HEAD = "opening"
TEMPLATE = "Write the {} of it"
LENGTH: Any = None


class Kind(enum.Enum):
    OPENING = "the opening"
    CLOSING = "the closing"


@dataclass
class Style:
    first: str = "opening"
    second: str = "closing"


STYLE = Style("opens it", "closes it")


class Letter(dspy.Module):
    """Writes parts that `parts` names, given itself and an output, beside a text of that output."""

    WORDS = ("opening", "closing")

    def __init__(self, parts: Callable[[Any, str], Any]) -> None:
        super().__init__()
        self.gather = dspy.Predict("brief -> facts")
        self.write = dspy.Predict("facts, part -> paragraph")
        self.join = dspy.Predict("text -> letter")
        self.parts = parts
        self.style = Style("opens it", "closes it")
        self.chosen = 0

    def forward(self, brief: str) -> dspy.Prediction:
        facts = self.gather(brief=brief).facts
        written = [self.write(facts=facts, part=part).paragraph for part in self.parts(self, facts)]
        return dspy.Prediction(letter=self.join(text="\n".join(written)).letter)


def into_parts(parts: Callable[[Any, str], Any], probe: Any = "never") -> set[tuple[str, str, str]]:
    """The source, kind and evidence of each edge into a `part`."""
    with served(echo):
        graph = trace(Letter(parts), {"brief": "a fair in May"}, probe=probe)
    assert graph.error is None
    return {(edge.source.call, edge.kind, edge.known_by) for edge in graph.edges if edge.target.field == "part"}


def a_function(p, facts):
    return ("from a", "function")


def a_global_named_in_another_function(p, facts):
    return [TEMPLATE.format(one) for one in a_function(p, facts)]


CONSTANTS: dict[str, Callable[[Any, str], Any]] = {
    "a tuple": lambda p, facts: PARTS,
    "an imported tuple": lambda p, facts: IMPORTED,
    "a tuple of another module": lambda p, facts: constants.PARTS,
    "keys": lambda p, facts: TABLE,
    "values": lambda p, facts: constants.TABLE.values(),
    "items of a dictionary": lambda p, facts: [f"{name}: {says}" for name, says in TABLE.items()],
    "a list in a dictionary": lambda p, facts: [one["text"] for one in NESTED["parts"]],
    "members of an enumeration": lambda p, facts: list(Kind),
    "values of an enumeration": lambda p, facts: [one.value for one in Kind],
    "names of an enumeration": lambda p, facts: [one.name for one in Kind],
    "attributes of an instance": lambda p, facts: (STYLE.first, STYLE.second),
    "an instance": lambda p, facts: [STYLE],
    "defaults of a class": lambda p, facts: [Style().first],
    "a class attribute": lambda p, facts: p.WORDS,
    "an attribute of what __init__ made": lambda p, facts: [p.style.first],
    "a literal": lambda p, facts: ("opening", "closing"),
    "a constant of the library": lambda p, facts: [string.ascii_lowercase],
    "letters of a constant": lambda p, facts: string.ascii_letters[:2],
    "a text with a constant in it": lambda p, facts: [f"Write the {HEAD} of it"],
    "a template": lambda p, facts: [TEMPLATE.format(one) for one in PARTS],
    "calculations": lambda p, facts: [one.upper()[::2] for one in PARTS],
    "numbers": lambda p, facts: [at + 1 for at in range(2)],
    "joined": lambda p, facts: [", ".join(PARTS)],
    "a list": lambda p, facts: [[*PARTS]],
    "a function": a_function,
    "a function that calls one": a_global_named_in_another_function,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_of_the_program_are_not_guessed_to_be_an_output(name):
    assert not into_parts(CONSTANTS[name])


def by_a_condition(p, facts):
    return [PARTS[0] if "facts" in facts else PARTS[1]]


def by_what_failed(p, facts):
    try:
        at = int(facts)
    except ValueError:
        at = 0
    return [PARTS[at]]


def by_a_global(p, facts):
    global LENGTH
    LENGTH = len(facts)
    return in_a_global(p)


def in_a_global(p):
    return [PARTS[LENGTH % 2]]


def by_a_variable_of_a_function_around_it(p, facts):
    at = 0

    def choose() -> None:
        nonlocal at
        at = len(facts) % 2

    choose()
    return [PARTS[at]]


def by_an_attribute(p, facts):
    setattr(p, "chosen", len(facts) % 2)  # noqa: B010 - what is tested
    return [PARTS[p.chosen]]


def by_what_is_deleted(p, facts):
    left = [*PARTS]
    if "facts" in facts:
        del left[0]
    return left


def by_an_order(p, facts):
    ordered = [*PARTS]
    ordered.sort(key=lambda one: one in facts)
    return ordered


def at_a_place(p, at, parts):
    return parts[at % 2]


def by_a_partial_function(p, facts):
    return [functools.partial(at_a_place, p, len(facts))(PARTS)]


ROUTERS: dict[str, Callable[[Any, str], Any]] = {
    "a key": lambda p, facts: [constants.TABLE.get(facts, "the last words")],
    "a member": lambda p, facts: [Kind[{"facts": "OPENING"}.get(facts.split()[0], "CLOSING")].value],
    "the best": lambda p, facts: [max(PARTS, key=lambda one: len({*one} & {*facts}))],
    "a filter": lambda p, facts: [one for one in PARTS if one not in facts],
    **{
        one.__name__: one
        for one in (by_a_condition, by_what_failed, by_a_global, by_a_variable_of_a_function_around_it)
    },
    **{one.__name__: one for one in (by_an_attribute, by_what_is_deleted, by_an_order, by_a_partial_function)},
}


@pytest.mark.parametrize("name", ROUTERS)
def test_an_output_that_chose_a_constant_has_an_edge_to_it(name):
    assert into_parts(ROUTERS[name]) == {("gather[0]", "data", "code")}


def test_what_a_partial_function_was_not_given_it_has_not_read():
    class Partly(Letter):
        def forward(self, brief: str) -> dspy.Prediction:
            written = functools.partial(self.one, len(self.gather(brief=brief).facts))
            return dspy.Prediction(letter=[written(PARTS[0]), *map(written, PARTS)])

        def one(self, count: int, part: str) -> str:
            return self.write(facts=f"{count} facts", part=part).paragraph

    with served(echo):
        graph = trace(Partly(a_function), {"brief": "a fair in May"}, probe="never")
    read = [
        (edge.source.field, edge.target.field, edge.known_by) for edge in graph.edges if edge.target.field != "letter"
    ]
    assert read == [("facts", "facts", "code")] * 3


def test_a_text_of_an_output_that_came_by_a_way_which_no_code_shows_is_a_guess():
    def hidden(p, facts):
        vars(p)["words"] = facts.split()
        return [p.words]

    assert {kind for _, kind, _ in into_parts(hidden)} == {"inferred"}


def test_what_a_file_may_have_carried_is_a_guess(tmp_path):
    def through_a_file(p, facts):
        (tmp_path / "length").write_text(str(len(facts) * 7))
        return [(tmp_path / "length").read_text()]

    assert {kind for _, kind, _ in into_parts(through_a_file)} == {"inferred"}
