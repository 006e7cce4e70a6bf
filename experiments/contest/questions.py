"""Questions of the comparison, made by a seed; their answers are by rules of their own."""

from __future__ import annotations

import random

import dspy

from .graphs import CUES, PLACES

_NUMBERS = ("one", "two", "three", "four", "five", "six")
_KINDS = {
    "fruits": ("banana", "peach", "orange", "plum", "grape", "pear", "mango", "kiwi", "lemon", "fig"),
    "vegetables": ("carrot", "onion", "cabbage", "yam", "leek", "pea", "turnip", "radish", "cucumber", "pepper"),
    "animals": ("dog", "cat", "goat", "cow", "duck", "donkey", "rabbit", "bear", "snail", "frog"),
    "musical instruments": ("flute", "piano", "violin", "drum", "trumpet", "guitar", "harp", "cello", "banjo"),
}
_THINGS = ("lamp", "rug", "clock", "bucket", "mirror", "stove", "chair", "toaster")
_SYLLABLES = ("ba", "bo", "da", "do", "ka", "ko", "la", "lo", "ma", "mo", "na", "no", "ra", "ro", "ta", "to")


def asked(question: str, answer: str) -> dspy.Example:
    """An example of a question with a short answer."""
    return dspy.Example(question=question, answer=answer).with_inputs("question")


def counting(count: int, seed: int) -> list[dspy.Example]:
    """Questions in the form of BBH's object_counting: several of a kind, and now and then things of no kind asked for.

    Args:
        count: How many.
        seed: Of all choices.
    """
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        kind = rng.choice([*_KINDS, "objects"])
        members = rng.sample(_KINDS.get(kind, _THINGS), rng.randint(3, 5))
        strangers = rng.sample(_THINGS, rng.choice((0, 0, 1, 2))) if kind != "objects" else []
        amounts = {item: rng.choice((1, 1, 1, *range(2, 7))) for item in [*members, *strangers]}
        items = rng.sample(sorted(amounts), len(amounts))
        *first, last = [_amount(item, amounts[item]) for item in items]
        question = f"I have {', '.join(first)}, and {last}. How many {kind} do I have?"
        answer = str(sum(amounts[item] for item in members))
        made.append(asked(question, answer))
    return made


def _amount(item: str, number: int) -> str:
    if number > 1:
        return f"{_NUMBERS[number - 1]} {item}es" if item.endswith("ch") else f"{_NUMBERS[number - 1]} {item}s"
    return f"{'an' if item[0] in 'aeiou' else 'a'} {item}"


def sums(count: int, seed: int) -> list[dspy.Example]:
    """Sums in the form of BBH's multistep_arithmetic: precedence and negative numbers matter.

    Args:
        count: How many.
        seed: Of all choices.
    """
    rng = random.Random(f"sums/{seed}")

    def inner() -> str:
        numbers = [rng.choice((-1, 1)) * rng.randint(2, 9) for _ in range(3)]
        return f"({numbers[0]} {rng.choice('+-')} {numbers[1]} {rng.choice('*-')} {numbers[2]})"

    texts = [f"({inner()} {rng.choice('+-')} {inner()})" for _ in range(count)]
    return [asked(f"{text} =", str(eval(text))) for text in texts]


def logic(count: int, seed: int) -> list[dspy.Example]:
    """Truth values in the form of BBH's boolean_expressions: what is joined first matters.

    Args:
        count: How many.
        seed: Of all choices.
    """
    rng = random.Random(f"logic/{seed}")
    texts = []
    for _ in range(count):
        words = [rng.choice(("True", "False", "not True", "not False")) for _ in range(6)]
        texts.append(" ".join([words[0], *(f"{rng.choice(('and', 'or', 'or'))} {word}" for word in words[1:])]))
    return [asked(f"{text} is", str(eval(text))) for text in texts]


def sorting(count: int, seed: int) -> list[dspy.Example]:
    """Lists of words to sort, in the form of BBH's word_sorting: some words begin alike.

    Args:
        count: How many.
        seed: Of all choices.
    """
    rng = random.Random(f"sorting/{seed}")
    made = []
    for _ in range(count):
        firsts = rng.sample(_SYLLABLES, 3) * 2
        words = list(dict.fromkeys(first + "".join(rng.sample(_SYLLABLES, 2)) for first in firsts))
        text = f"Sort the following words alphabetically: List: {' '.join(words)}"
        made.append(asked(text, " ".join(sorted(words))))
    return made


def statements(count: int, seed: int) -> list[dspy.Example]:
    """Statements with ten attributes; one is a lie where more than half of them are signs of it.

    Args:
        count: How many.
        seed: Of all choices.
    """
    rng = random.Random(f"statements/{seed}")
    made = []
    for at in range(count):
        signs = {name: rng.random() < 0.52 for name in CUES}
        values = {name: rng.choice(CUES[name][not sign]) for name, sign in signs.items()}
        values["statement"] = f"{values['statement']} (speech {at})"
        answer = "yes" if 2 * sum(signs.values()) > len(signs) else "no"
        made.append(dspy.Example(**values, answer=answer).with_inputs(*CUES))
    return made


def hops(count: int, seed: int) -> list[dspy.Example]:
    """Questions about the places where people were born; two passages are needed for each.

    Args:
        count: How many, of those that there are.
        seed: Of their order.
    """
    whole = [
        asked(f"What is the {relation} of the town where {person} was born?", PLACES["towns"][town][relation])
        for person, town in PLACES["people"].items()
        for relation in PLACES["towns"][town]
    ]
    return random.Random(f"hops/{seed}").sample(whole, min(count, len(whole)))
