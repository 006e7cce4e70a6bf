"""A world's language model, in process: it answers the program's steps, and any other question as best it can.

Of the program's prompts it knows the field names, nothing else; of the optimizers' prompts it knows nothing. It fills
whatever fields it is asked for. Where an instruction is asked for, it gives the one that it finds in the prompt, and a
piece of advice drawn from the world's pool.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import dspy
from dspy import lm15

from dspy_semantic_backprop.testing import Prompt

from .program import SIGN
from .world import DEFECT, PARTS, World, uniform

HEEDED = 0.7
"""How often a writer of advice takes up a word that the prompt names, where it names some."""
MENDED = 0.2
"""How often a writer of an instruction leaves out a sentence that is wrong on purpose."""
_CLIENTS = itertools.count()
_ASKED = re.compile(r"Your output fields are:\n1\. `(\w+)`")
_GIVEN = re.compile(r"Your input fields are:\n1\. `question`")
_OBJECTIVE = "your objective is:"
_FIELD = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*\n?", re.MULTILINE)
_TOLD = re.compile(r"instruction|prompt|advice|rule", re.IGNORECASE)
_HEAD = re.compile(r"(?:Work out the \w+ part of the question\.|Put the notes together\.)")
_WORDS = re.compile(rf"\b(?:{'|'.join(PARTS)})\d\b")
_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)


class CapReached(BaseException):
    """The cap is spent. Not an Exception: optimizers score those as wrong answers and go on."""


class Engine:
    """What answers the requests of a world's language model, and counts them by kind; thread-safe.

    Args:
        world: The world.
        cap: The most requests; None for no cap. What would be one more raises `CapReached`.
    """

    def __init__(self, world: World, cap: int | None = None) -> None:
        self.world = world
        self.cap = cap
        self.by_kind: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        # Optimizers copy language models; the copies spend from the same cap.
        return self

    @property
    def requests(self) -> int:
        """How many requests arrived; answers from DSPy's cache do not."""
        return sum(self.by_kind.values())

    def complete(self, request: Any) -> Any:
        """Answer one request."""
        system = request.system if isinstance(request.system, str) else ""
        messages = [("system", system), *((one.role, one.text or "") for one in request.messages)]
        key = repr(messages)
        with self.lock:
            if self.cap is not None and self.requests >= self.cap:
                raise CapReached(f"{self.cap} calls are spent")
            self.by_kind["optimizer" if step_of(self.world, system) is None else "program"] += 1
            # At temperature 0 a repeated request gets the same answer, as far as nothing flips.
            sample = 1 + self.asked[key] if request.config.temperature else 0
            text = answer(self.world, messages, sample, self.asked[key])
            self.asked[key] += 1
        usage = lm15.Usage(input_tokens=len(key) // 4, output_tokens=len(text) // 4)
        return lm15.Response(None, "world", lm15.Message.assistant(text), "stop", usage)

    def close(self) -> None:
        """Nothing: there is no connection."""


class AsyncEngine:
    """The same for asynchronous calls.

    Args:
        engine: What answers: `Engine`, or another that completes requests.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __deepcopy__(self, memo: dict[int, Any]) -> AsyncEngine:
        return self

    async def complete(self, request: Any) -> Any:
        """Answer one request."""
        return self.engine.complete(request)

    async def aclose(self) -> None:
        """Nothing: there is no connection."""


def language_model(world: World, cap: int | None = None) -> tuple[dspy.LM, Engine]:
    """A client of a world's language model, with DSPy's cache as users have it, and the engine behind it."""
    engine = Engine(world, cap)
    # DSPy caches by the model's name: each client has its own.
    name = f"world/{world.name}-{world.seed}-{next(_CLIENTS)}"
    lm = dspy.LM(name, temperature=0.0, max_tokens=1000, engine=engine, async_engine=AsyncEngine(engine))
    return lm, engine


def step_of(world: World, system: str) -> int | None:
    """Which step of the program a prompt is for, by the fields in its system message; None for any other question."""
    asked, given = _ASKED.search(system), _GIVEN.search(system)
    return world.names.index(asked[1]) if asked and given and asked[1] in world.names else None


def answer(world: World, messages: Sequence[tuple[str, str]], sample: int, nth: int) -> str:
    """The reply to a prompt.

    Args:
        world: The world.
        messages: The prompt: role and text of each message, the system's first.
        sample: Tells samples of the same prompt apart; 0 at temperature 0.
        nth: How often this very prompt was answered before.
    """
    (_, system), *shown, (_, last) = messages
    step = step_of(world, system)
    if step is None:
        return _advise(world, messages, sample)
    told = "\n".join(line.strip() for line in system.rpartition(_OBJECTIVE)[2].strip().splitlines())
    parts = _FIELD.split(last.rpartition("\n\nRespond with")[0] or last)
    fields = {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    # Examples in the prompt change the draw, and help nothing.
    draw = f"{sample}/{uniform(*shown)}" if shown else str(sample)
    said = _note(world, step, told, fields, draw, nth)
    name = world.names[step]
    return f"[[ ## {name} ## ]]\n{said}\n\n[[ ## completed ## ]]"


def _note(world: World, step: int, told: str, fields: dict[str, str], draw: str, nth: int) -> str:
    question = fields.get("question", "")
    right = own = world.right(step, told, question, draw)
    last = step == world.kind.steps - 1
    if last and not world.kind.graded:
        notes = [fields.get(name, "").split(" ")[0] for name in world.names[:-1]]
        right = own and all(note == world.value(at, question) for at, note in enumerate(notes))
        flipped = uniform(world.seed, "flip", told, question, *notes, draw, nth) < world.kind.flips
        right ^= flipped
    mark = uniform(step, told)
    if right:
        return f"{world.value(step, question)} {int(mark * 256):02x}"
    wrong = world.value(step, question, f"{mark}{draw}")
    skill = world.skill(step, question)
    if not own and skill >= 0 and world.words[step][skill] not in told:
        return f"{wrong} [{world.words[step][skill]} unclear]"
    shows = uniform(world.seed, "sign", step, question, told) < world.kind.signs
    return f"{wrong} ??" if shows and not own else f"{wrong} {int(mark * 256):02x}"


def _advise(world: World, messages: Sequence[tuple[str, str]], sample: int) -> str:
    prompt = Prompt.from_messages([{"role": role, "content": text} for role, text in messages if text])
    rng = random.Random(f"{world.seed}/{sample}/{uniform(prompt.text)}")
    if prompt.style == "plain":
        found = _FENCE.search(prompt.text)
        return f"```\n{_instruction(world, prompt.text, found[1].strip() if found else '', rng)}\n```"
    values = {name: _value(world, prompt, name, kind, rng) for name, kind, _ in prompt.outputs}
    return prompt.render(values)


def _value(world: World, prompt: Prompt, name: str, kind: str, rng: random.Random) -> Any:
    if kind.startswith("dict"):
        listed = next((text for field, text in prompt.inputs.items() if "names" in field), "")
        return {key: _piece(world, prompt.text, "", rng) for key in re.findall(r'"([^"]+)"', listed)}
    if _TOLD.search(name):
        return _instruction(world, prompt.text, _current(prompt), rng)
    if "prefix" in name:
        return f"{name.title()}:"
    return _remark(prompt, name, rng)


def _current(prompt: Prompt) -> str:
    """The instruction that a prompt shows as the one to improve."""
    for field, text in prompt.inputs.items():
        if not _TOLD.search(field) or not _HEAD.search(text):
            continue
        # Of a list of attempts the last one is the best.
        last = re.split(r"Instruction #\d+: ", text)[-1]
        told = re.split(r"\s*(?:»|\[\d+\] «)?\s*Resulting Score #", last)[0]
        head = _HEAD.search(told)
        return told[head.start() :].strip(" »\n") if head else told.strip()
    found = _HEAD.search(prompt.text)
    return found[0] if found else ""


def _instruction(world: World, text: str, current: str, rng: random.Random) -> str:
    if DEFECT in current and rng.random() < MENDED:
        current = current.replace(DEFECT, "").replace("  ", " ").strip()
    piece = _piece(world, text, current, rng)
    return current if piece in current else f"{current}\n{piece}"


def _piece(world: World, text: str, current: str, rng: random.Random) -> str:
    words = sorted({word for word in _WORDS.findall(text) if word not in current})
    if words and rng.random() < HEEDED:
        word = rng.choice(words)
        return f"Where {word} matters, settle {word} first and say so."
    return rng.choice(world.advice)


def _remark(prompt: Prompt, name: str, rng: random.Random) -> str:
    """Words about what is shown: to the point where it shows a sign of being wrong, vague where nothing does."""
    own = next((text for field, text in prompt.inputs.items() if field.split("_")[-1] == name.split("_")[-1]), "")
    suspect = [text for text in prompt.inputs.values() if "??" in text or SIGN.search(text)]
    wrong = "??" in own or bool(SIGN.search(own))
    if "severity" in name:
        return "major" if wrong or not suspect else "none"
    if "quote" in name:
        return own.split("\n")[0][:40]
    if suspect and own and not wrong:
        return "It needs no change."
    named = " ".join(sorted(set(_WORDS.findall(own))))
    made = " ".join(rng.sample(_VAGUE.split(), 7))
    return f"It should {f'settle {named} and ' if named else ''}{made}."


_VAGUE = """
state more precisely which figures lead the reader through every case that remains open and why another outcome
follows from what was given earlier rather than relying on guesses about totals ranges or hidden parts
"""
