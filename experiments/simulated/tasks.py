"""The tasks that the simulated model can do, each with the skills that it needs for them.

A skill is a sentence that an instruction may contain. Without it the solver makes one systematic mistake: it
counts each item once, works from left to right, forgets the turns. The mistake shows only in questions where
the skill matters, so an instruction's worth shows only on examples, as with a real model.

Why: patterns, not exact sentences, tell whether an instruction covers a skill; what people write counts too.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from .cues import CUES, judge_cues, parse_cues
from .hops import HOPS, found_in
from .hops import QUESTION as HOP
from .skills import GAP, LONGEST, Kind, Skill, Task

QUANTITY = Skill(
    "quantity",
    "Multiply each kind of item by its stated quantity before adding up.",
    rf"quantit|number of each|how many of each|multiply each (?:kind|item)|three \w+ (?:count|as){GAP}three",
)
CATEGORY = Skill(
    "category",
    "Leave out everything that does not belong to the category asked about.",
    rf"(?:belong|fit|match){GAP}categor|(?:kind|category|type){GAP}asked|(?:ignore|skip){GAP}other",
)
_COUNTS = ("a", "an", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MEMBERS = {
    "fruit": "apple banana strawberry strawberries peach orange plum raspberry raspberries grape "
    "nectarine blackberry blackberries blueberry blueberries pear mango kiwi lemon lime cherry cherries fig",
    "vegetable": "carrot onion potato cabbage broccoli cauliflower garlic celery yam lettuce leek pea bean "
    "radish turnip spinach cucumber pepper beet asparagus",
    "animal": "dog cat cow goat pig chicken duck donkey horse sheep rabbit bear mouse mice snake fish snail "
    "frog goose geese hen lamb parrot turtle",
    "musical instrument": "flute piano trombone violin accordion clarinet drum trumpet guitar harp cello "
    "oboe banjo saxophone tuba viola",
}


def _count_objects(match: re.Match[str], has: Collection[str]) -> str:
    wanted = match[2].strip()
    members = next((words.split() for kind, words in _MEMBERS.items() if wanted.startswith(kind)), None)
    total = 0
    for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", match[1].lower()):
        word, _, item = part.strip().partition(" ")
        forms = {noun.removesuffix(end) for noun in item.split() for end in ("", "s", "es")}
        if members and "category" in has and not forms & set(members):
            continue
        number = max(1, _COUNTS.index(word) - 1) if word in _COUNTS else 1
        total += number if "quantity" in has else 1
    return str(total)


PRECEDENCE = Skill(
    "precedence",
    "Respect operator precedence: multiply before you add or subtract.",
    rf"precedence|order of operations|multipl\w+{GAP}\bbefore{GAP}(?:add|subtract)|pemdas|bodmas",
)
SIGNS = Skill(
    "signs",
    "Subtracting a negative number means adding it.",
    rf"(?:subtract\w*|minus){GAP}negative|double negative|sign of (?:each|every)",
)
AND_FIRST = Skill(
    "and_first",
    "Evaluate 'and' before 'or'.",
    r"\band\W{1,3}(?:is evaluated |binds )?(?:before|first)|precedence",
)
_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_ATOM = re.compile(r"\(([^()]*)\)")
_TERM = re.compile(r"\s*(-?\d+)\s*([-+*]?)")


def _innermost_first(text: str, value: Callable[[str], str]) -> str:
    while inner := _ATOM.search(text):
        text = f"{text[: inner.start()]} {value(inner[1])} {text[inner.end() :]}"
    return value(text)


def _sum(text: str, has: Collection[str]) -> str:
    """The value of a sum without parentheses."""
    terms = _TERM.findall(text)
    numbers, signs = [int(number) for number, _ in terms], [sign for _, sign in terms][:-1]
    while "precedence" in has and "*" in signs:
        at = signs.index("*")
        numbers[at : at + 2] = [numbers[at] * numbers[at + 1]]
        del signs[at]
    total = numbers[0] if numbers else 0
    for sign, number in zip(signs, numbers[1:], strict=True):
        misread = sign == "-" and number < 0 and "signs" not in has
        total = _OPERATIONS.get(sign, operator.add)(total, abs(number) if misread else number)
    return str(total)


def _truth(text: str, has: Collection[str]) -> str:
    """The value of a truth expression without parentheses."""
    values, joints, negated = [], [], False
    for word in text.split():
        if word == "not":
            negated = not negated
        elif word in ("and", "or"):
            joints.append(word)
        else:
            values.append((word == "True") != negated)
            negated = False
    values += [False] * (len(joints) + 1 - len(values))
    while joints:
        at = joints.index("and") if "and" in joints and "and_first" in has else 0
        left, right = values[at], values[at + 1]
        values[at : at + 2] = [left and right if joints[at] == "and" else left or right]
        del joints[at]
    return str(values[0])


LATER_LETTERS = Skill(
    "later_letters",
    "When words start alike, compare their second and later letters.",
    rf"(?:second|third|later|next|following){GAP}letters?|letter by letter|letters?{GAP}(?:tie|equal|same)",
)


def _sort_words(match: re.Match[str], has: Collection[str]) -> str:
    return " ".join(sorted(match[1].split(), key=str if "later_letters" in has else lambda word: word[:1]))


TURNS = Skill(
    "turns",
    "Keep track of the direction you are facing after every turn.",
    r"direction (?:that )?(?:you|one|it|we) (?:are|is|face)|(?:every|each|all|the) turns?\b|facing direction",
)
SIDEWAYS = Skill(
    "sideways",
    "Count the steps to the left and to the right as well.",
    r"left and (?:to the )?right|sideways|coordinates",
)
_MOVE = re.compile(r"Take (\d{1,9}) steps?(?: (forward|backward|left|right))?|Turn (left|right|around)", re.I)
_WAYS = {"left": 1j, "right": -1j, "around": -1, "forward": 1, "backward": -1, "": 1}


def _walk(match: re.Match[str], has: Collection[str]) -> str:
    position, facing = 0j, 1j
    for steps, way, turn in _MOVE.findall(match[1]):
        if turn and "turns" in has:
            facing *= _WAYS[turn.lower()]
        elif steps and (way.lower() not in ("left", "right") or "sideways" in has):
            position += int(steps) * facing * _WAYS[way.lower()]
    return "No" if position else "Yes"


SWAPS = Skill(
    "swaps",
    "Apply the swaps one after another, writing down who has what after each swap.",
    rf"(?:each|every|all(?: the)?) (?:swap|trade|switch)|(?:swaps|trades){GAP}(?:in order|one (?:by|after))",
)
_SWAP = re.compile(r"(?:First|Then|Finally), (.{1,40}?) and (.{1,40}?) (?:swap|trade|switch)")
_ASKED = re.compile(r"At the end[^,\n]{0,60}, (.{1,40}?) (?:has|gets|is [ \w]{2,12})(?: the)?$")
_OPTION = re.compile(r"\(([A-Z])\) ([^\n\"]+)")


def parse_options(text: str) -> dict[str, str]:
    """The options of a question, from letter to text."""
    options: dict[str, str] = {}
    for line in text[:LONGEST].partition("Options:")[2].strip().split("\n"):
        match = _OPTION.match(line.strip())
        if not match:
            break
        options[match[1]] = match[2].strip()
    return options


def _parse_swaps(text: str) -> dict[str, Any] | None:
    start, options = text.partition("Options:")[0], parse_options(text)
    swaps, asked = _SWAP.findall(start), _ASKED.search(start[-200:].rstrip())
    if not options or not swaps or not asked:
        return None
    owners: dict[str, str] = {}
    before = start.partition("First, ")[0]
    for letter, option in options.items():
        clause = re.split(r"[,:] (?:and )?|\. ", before.partition(f" {option}")[0])[-1]
        owners[clause.partition(" ")[0]] = letter
    return {"owners": owners, "swaps": swaps, "asked": asked[1]}


def _track(state: Mapping[str, Any], has: Collection[str]) -> str:
    owners, asked = dict(state["owners"]), state["asked"]
    swaps = state["swaps"] if "swaps" in has else [pair for pair in state["swaps"] if asked in pair][-1:]
    for first, second in swaps:
        owners[first], owners[second] = owners.get(second, "A"), owners.get(first, "A")
    return f"({owners.get(asked, 'A')})"


CHAIN = Skill(
    "chain",
    "Follow the claims from the first person on and flip the truth value whenever somebody is said to lie.",
    r"first person|\bthe chain\b|one person at a time|flip",
)
_CLAIM = re.compile(r"(\w+) says (\w+) (tells the truth|lies)")


def _parse_claims(text: str) -> list[str] | None:
    first = re.search(r"(?:^|[.:] )\w+ (tells the truth|lies)\.", text)
    return [first[1], *(claim for _, _, claim in _CLAIM.findall(text))] if first and "says" in text else None


def _judge_claims(claims: list[str], has: Collection[str]) -> str:
    lies = sum(claim == "lies" for claim in (claims if "chain" in has else claims[-1:]))
    return "No" if lies % 2 else "Yes"


GROUPS = Skill(
    "groups",
    "Multiply the number of groups by the size of one group before going on.",
    rf"number of groups|per group|size of (?:one|each|a) group|multipl\w+{GAP}(?:groups?|boxes)",
)
RELATIVE = Skill(
    "relative",
    "Work out amounts given by comparison, such as twice or half as many, and include them in the total.",
    r"by comparison|relative amount|(?:twice|half)[^.\n]{0,40}(?:first|include)",
)
_GROUPED = r"(\d{1,9}) \w+,? each (?:with|holding) (\d{1,9}) (\w+)\b([^?]{0,120}?)(\d{1,9}) (more|of them|\3)"
_COMPARED = r"(\d{1,9}) \w+[^?]{0,80}?(twice|half|three times) as many[^?]{0,120}?(?:altogether|in total)"


def _grouped(match: re.Match[str], has: Collection[str]) -> str:
    groups, size, change = int(match[1]), int(match[2]), int(match[5])
    total = groups * size if "groups" in has else groups + size
    return str(total + change if match[6] == "more" else total - change)


def _compared(match: re.Match[str], has: Collection[str]) -> str:
    first = int(match[1])
    second = {"twice": first * 2, "half": first // 2, "three times": first * 3}[match[2]]
    return str(first + second if "relative" in has else second)


_BARE = r"(?:only|just|nothing but) (?:with |give )?(?:the )?(?:final |bare |short )?answer\b"
_BARE += rf"|\b(?:answer|reply|respond|number|letter|words?)\b{GAP}nothing else"
_BARE += rf"|(?:without|no){GAP}(?:explanation|extra|other words|sentence)"
FORMS: Mapping[Kind, Skill] = {
    "number": Skill(
        "number_form",
        "Answer with only the bare number, in digits.",
        rf"(?:only|just|bare|single){GAP}(?:number|integer|digits)|(?:number|digits) (?:only|alone)|{_BARE}",
    ),
    "option": Skill(
        "option_form",
        "Answer with only the option's letter in parentheses, for example (B).",
        rf"(?:only|just|single){GAP}letter|letter{GAP}(?:only|alone)|{_BARE}",
    ),
    "word": Skill(
        "word_form",
        "Answer with only the single word asked for, such as Yes or No.",
        rf"(?:only|just|single|one){GAP}\b(?:word\b|yes|true)|(?:yes|true){GAP}(?:only|alone)|{_BARE}",
    ),
    "words": Skill(
        "words_form",
        "Answer with only the sorted words, separated by spaces.",
        rf"(?:only|just){GAP}words|separated by{GAP}spaces?|{_BARE}",
    ),
    "text": Skill("text_form", "Answer as briefly as possible, with only the answer itself.", _BARE),
}


def _arithmetic(match: re.Match[str], has: Collection[str]) -> str:
    return _innermost_first(match[1], lambda inner: _sum(inner, has))


def _boolean(match: re.Match[str], has: Collection[str]) -> str:
    return _innermost_first(match[1], lambda inner: _truth(inner, has))


_ITEMS = r"I have ([^.?\n]{1,1500})\. How many ([a-z ]{1,40}) do I have"
_TRUTHS = r"((?<!\()(?:\(|not|True|False)(?:[() ]|not|and|or|True|False){3,400}) is\b"
_SUM = r"((?<![-+*(])\([-+*() \d]{2,400}\)) ?="
_LIST = r"alphabetically: List: ([^\n\",}]{1,2000})"
_MOVES = r"return to the starting point\?([^?\"]{1,1500}?)(?:\n|Options|\"|$)"
_ALL = (
    Task("object_counting", "number", (QUANTITY, CATEGORY), re.compile(_ITEMS).search, _count_objects),
    Task("arithmetic", "number", (PRECEDENCE, SIGNS), re.compile(_SUM).search, _arithmetic),
    Task("boolean_expressions", "word", (AND_FIRST,), re.compile(_TRUTHS).search, _boolean),
    Task("word_sorting", "words", (LATER_LETTERS,), re.compile(_LIST).search, _sort_words),
    Task("navigate", "word", (TURNS, SIDEWAYS), re.compile(_MOVES).search, _walk),
    Task("tracking_shuffled_objects", "option", (SWAPS,), _parse_swaps, _track),
    Task("web_of_lies", "word", (CHAIN,), _parse_claims, _judge_claims),
    Task("grouped_items", "number", (GROUPS,), re.compile(_GROUPED).search, _grouped),
    Task("compared_amounts", "number", (RELATIVE,), re.compile(_COMPARED).search, _compared),
    Task("places", "text", HOPS, HOP.search, found_in),
    Task("statements", "word", tuple(CUES.values()), parse_cues, judge_cues),
)
TASKS: Mapping[str, Task] = {task.name: task for task in _ALL}


@lru_cache(maxsize=256)
def find(text: str) -> tuple[Task, Any] | None:
    """The first task, in the registry's order, of which the text holds a question, and the parsed question.

    Arguments:
        text: any text; only its beginning is read when it is very long.
    """
    parsed = ((task, task.parse(text[:LONGEST])) for task in _ALL)
    return next(((task, question) for task, question in parsed if question is not None), None)
