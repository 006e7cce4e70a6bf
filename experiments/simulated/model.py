"""The rule-based model: a solver, a critic and a proposer, recognised from what a prompt shows, nothing else.

- The *solver* does a task as well as its instruction covers the skills for it (see `tasks`), with luck on a
  share of the questions. Steps on the way say "The intermediate result is 7."; a final answer takes over what
  its inputs say in these words, and has a skill of its own: the form of the answer.
- The *critic* finds by trying which skill would have given the expected answer, if that stands in its prompt,
  and names it to each output that went wrong.
- The *proposer* keeps the current instruction and adds the skills that its prompt names or lets it work out.

Why: an optimizer is worth a test only on a model that can be taught, that fails in systematic ways, and that
knows no more than it is told. There is no answer key here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dspy_semantic_backprop.testing import Faults, Prompt, SimulatedServer

from .correction import asks_to_correct, corrected
from .guesses import HARMLESS, PLAIN, fitting_first, guess, guesses, labelled
from .hops import HOPS, found_in, lacking, query, wanted
from .phrases import ANSWERED, CARRIED, CARRIED_CUE, EXPECTED, LOOSE, unescaped
from .plain import Tagged, tagged, variables
from .reading import (
    EDGES,
    REASONS,
    current_of,
    examples_in,
    extracted,
    gold_of,
    material_of,
    question_of,
    result_names,
    said_in,
)
from .routes import ROUTE, misrouted, right_route, route_in
from .tasks import CUES, FORMS, TASKS, Kind, Skill, Task, find, parse_options
from .values import canonical, kind_of, majority, slipped, truth_value

_METHOD_LUCK = 0.3
_FORM_LUCK = 0.6
_MOST_NEW_SKILLS = 2
_NO_CHANGE = "No change needed."
_SKILLS = (*{skill: None for task in TASKS.values() for skill in task.skills}, *FORMS.values(), ROUTE)

_PROPOSES = re.compile(r"instruction|prompt|prefix|^tip$|observation|summary|_description$|source|docstring")
_CRITICISES = re.compile(r"change|feedback|advice|critique|gradient|analysis|discussion|comment|direction")
_ANSWERS = re.compile(r"answer|label|verdict|result|response|prediction|decision|solution")
_STEPS = re.compile(r"statement|step|hint|note|intermediate|draft|evidence")
_STEP_INPUT = re.compile(r"(?:statement|step|hint|note|intermediate|draft|evidence)\w*_\w+$")
_BLOCK = re.compile(r"```(?:\w*\n)?(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class SimulatedModel:
    """A language model made of rules.

    Arguments:
        seed: decides which questions are easy, which sentences are chosen, and what slips.
        noise: share of the solver's answers that slip, 0 to 1.

    Raises:
        ValueError: if the noise is no share.
    """

    seed: int = 0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise must be a share between 0 and 1, got {self.noise}")

    def serve(self, *, faults: Faults | None = None, latency: float = 0.0) -> SimulatedServer:
        """A server of this model, not started yet; its name tells its settings, so that logs and caches find it again.

        Arguments:
            faults: how often the server misbehaves.
            latency: seconds that each request takes at least.
        """
        faults = faults or Faults()
        settings = json.dumps([self.seed, self.noise, asdict(faults)])
        name = f"simulated-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
        return SimulatedServer(self, model=name, seed=self.seed, faults=faults, latency=latency)

    def __call__(self, prompt: Prompt) -> dict[str, Any] | str:
        """Output values by field name, or a text where the prompt asks for no fields."""
        names = result_names(prompt)
        if not prompt.outputs:
            return self._plain(prompt)
        if asks_to_correct(prompt):
            return corrected(prompt)
        if any(map(_PROPOSES.search, names)):
            return self._propose(prompt)
        if any(map(_CRITICISES.search, names)) and not any(map(_ANSWERS.search, names)):
            return self._criticise(prompt)
        if set(prompt.inputs) == {"text"} and "extract the fields from the text" in prompt.instruction:
            return extracted(prompt)
        return self._solve(prompt)

    def _plain(self, prompt: Prompt) -> str:
        if (request := tagged(prompt.text)) is not None:
            return self._tagged(request, prompt)
        if (found := variables(prompt.text)) is not None:
            values, material = found
            changed = {name: self._improved(value, material, prompt, whole=True) for name, value in values.items()}
            return json.dumps({"reasoning": PLAIN, "answer": "", "suggestion": changed})
        block = _BLOCK.search(prompt.text)
        if block and "instruction" in prompt.text:
            rest = prompt.text[: block.start()] + prompt.text[block.end() :]
            return f"```\n{self._improved(block[1].strip(), rest, prompt)}\n```"
        value, kind = self._value(prompt.text, prompt.text, prompt)
        return self._formed(value, kind, prompt.text, prompt)

    def _tagged(self, request: Tagged, prompt: Prompt) -> str:
        """What is asked of a span of text: the span with what its feedback names, or feedback to it."""
        if request.improves:
            return f"<IMPROVED_VARIABLE>{self._improved(request.span, request.material, prompt)}</IMPROVED_VARIABLE>"
        if request.told:
            said = " ".join(skill.sentence for skill in self._skills_in(request.material, prompt))
            return f"The instruction should say: {said}" if said else "It is good as it is."
        text = unescaped(request.material)
        expected = next((match[1].strip(EDGES) for match in EXPECTED.finditer(text)), "")
        message = self._message("span", {"span": request.span}, text, expected) if expected else _NO_CHANGE
        if not expected or kind_of(expected) == "text" or not LOOSE.search(request.span):
            return message
        form = f"The instruction should say: {FORMS[kind_of(expected)].sentence}"
        return form if message == _NO_CHANGE else f"{message} {form}"

    def _solve(self, prompt: Prompt) -> dict[str, Any]:
        names = result_names(prompt) or prompt.names
        main = next((name for name in names if _ANSWERS.search(name)), names[-1])
        final = bool(_ANSWERS.search(main)) or not _STEPS.search(main)
        question = question_of(prompt)
        if set(names) == {"query"} or main == "route":
            return dict.fromkeys(prompt.names, self._sent_on(main, question, prompt))
        value, kind = self._worked_out(question, final, prompt)
        if self.noise and _share(self.seed, "noise", prompt.text, prompt.sample) < self.noise:
            value = slipped(value, kind)
        values: dict[str, Any] = dict.fromkeys(prompt.names, _step(value, question))
        values |= {name: f"Working it out gives {value}." for name in prompt.names if REASONS.search(name)}
        if final and prompt.schemas[main].get("type") == "string":
            values[main] = self._formed(value, kind, question, prompt)
        elif final:
            values[main] = truth_value(value, main, prompt)
        return values

    def _sent_on(self, name: str, question: str, prompt: Prompt) -> str:
        """A search query, or the step that a question is sent to."""
        found = find(question)
        if name == "query":
            if found is None or found[0].skills != HOPS:
                return question
            has = self._has(found[0].skills, found[1], prompt)
            return query(found[1], has, prompt.inputs.get("passages"))
        choices = [str(choice) for choice in prompt.schemas[name].get("enum", ["unknown"])]
        able = "route" in self._has([ROUTE], question, prompt)
        return right_route(question, choices) if able else choices[0]

    def _has(self, skills: Iterable[Skill], parsed: Any, prompt: Prompt) -> set[str]:
        """The skills that the instruction names or luck gives."""
        key = parsed[0].strip() if isinstance(parsed, re.Match) else parsed
        named = {skill.name for skill in skills if skill.named_in(prompt.instruction)}
        drawn = {skill.name: _share(self.seed, skill.name, key, prompt.sample) for skill in skills}
        return named | {name for name, draw in drawn.items() if draw < _METHOD_LUCK}

    def _worked_out(self, question: str, final: bool, prompt: Prompt) -> tuple[str, Kind]:
        """The value of a step or an answer, and its kind."""
        texts = map(unescaped, prompt.inputs.values())
        carried = [match[1] for text in texts for match in CARRIED.finditer(text)]
        found = find(question)
        if found and found[0].skills == HOPS:
            has = self._has(HOPS, found[1], prompt)
            return found_in(found[1], has, "\n".join(prompt.inputs.values())), "text"
        skilled = found and any(skill.named_in(prompt.instruction) for skill in found[0].skills)
        if carried and (final or not skilled):
            value = majority(carried)
            return value, found[0].kind if found else kind_of(value)
        # What others work out is not a final step's business, so it has no method of its own for it.
        reads_steps = final and any(map(_STEP_INPUT.match, prompt.inputs))
        return self._value(question, "" if reads_steps else prompt.instruction, prompt)

    def _value(self, question: str, instruction: str, prompt: Prompt) -> tuple[str, Kind]:
        """The answer, as far as the instruction's skills and luck go, and its kind."""
        found = find(question)
        if found is None:
            return guess(question, _share(self.seed, "guess", question))
        task, parsed = found
        has = [skill.name for skill in task.skills if skill.named_in(instruction)]
        return self._tried(task, parsed, has, prompt.sample), task.kind

    def _tried(self, task: Task, parsed: Any, has: Iterable[str], sample: int = 0) -> str:
        key = parsed[0].strip() if isinstance(parsed, re.Match) else parsed
        draws = {skill.name: _share(self.seed, skill.name, key, sample) for skill in task.skills}
        return task.solve(parsed, {name for name, draw in draws.items() if draw < _METHOD_LUCK} | set(has))

    def _formed(self, value: str, kind: Kind, question: str, prompt: Prompt) -> str:
        """The final answer: bare where the instruction, a demonstration or luck says so."""
        form = FORMS[kind]
        shown = any(kind_of(text) == kind for demo in prompt.demos for text in list(demo.values())[-1:])
        lucky = _share(self.seed, form.name, question, prompt.sample) < _FORM_LUCK
        if form.named_in(prompt.instruction) or shown or lucky or kind == "text":
            return value
        option = f" {parse_options(question).get(value[1:2], '')}".rstrip() if kind == "option" else ""
        return f"It seems that the answer is {value}{option} {'in total' if kind == 'number' else 'here'}."

    def _skills_in(self, text: str, prompt: Prompt, whole: bool = False) -> list[Skill]:
        """The skills that a text names, else those that its examples with expected answers call for."""
        text = unescaped(text)
        named = Counter({one: text.count(one.sentence) for one in _SKILLS if one.sentence in text})
        if found := find(text):
            relevant = (*found[0].skills, FORMS[found[0].kind])
            named.update(one for one in relevant if one not in named and one.named_in(text))
        if not named:
            for block, expected in examples_in(text, gold_of(prompt)):
                named.update(self._called_for(block, expected, whole or "module_names" in prompt.inputs))
        if len(named) <= _MOST_NEW_SKILLS:
            return [skill for skill, _ in named.most_common()]
        # More than one instruction can take: of those said equally often, which come first differs from draft to draft.
        drawn = {one: _share(self.seed, "draft", one.name, prompt.text, prompt.sample) for one in named}
        return sorted(named, key=lambda one: (-named[one], drawn[one]))

    def _observed(self, text: str) -> str:
        """What labelled examples have in common: the form of their answers, and the skills that lead to them."""
        seen = Counter[str]()
        for question, label in labelled(text):
            found = find(question)
            seen.update(one.sentence for one in (self._teaching(*found, label) if found else ()))
            seen.update([FORMS[kind_of(label)].sentence] if kind_of(label) != "text" else [])
        return " ".join([PLAIN, *(sentence for sentence, _ in seen.most_common())])

    def _called_for(self, block: str, expected: str, whole: bool) -> Iterator[Skill]:
        """The skills that would have turned the output of a step, or of a program, into the expected one."""
        loose, answered, carried = LOOSE.search(block), ANSWERED.search(block), CARRIED.search(block)
        if loose and kind_of(expected) != "text":
            yield FORMS[kind_of(expected)]
        found = find(block)
        if misrouted(block):
            yield ROUTE
        if found and found[0].skills == HOPS:
            said = {match.start(): match[1] for match in ANSWERED.finditer(block)}
            yield from lacking(found[1], block, said)
            return
        # An answer beside results that were carried to it followed them; its own method is not to blame.
        if found is None or (answered and carried and not whole):
            return
        produced = carried or loose or answered
        if produced and canonical(produced[1]) != canonical(expected):
            yield from self._teaching(*found, expected)

    def _teaching(self, task: Task, parsed: Any, expected: str) -> tuple[Skill, ...]:
        """The fewest skills that give the expected answer to a question, found by trying."""
        if task.skills == HOPS:
            # What is to be searched for does not follow from an answer: all that there is to know about it.
            return HOPS
        for size in range(len(task.skills) + 1):
            for skills in itertools.combinations(task.skills, size):
                value = self._tried(task, parsed, [skill.name for skill in skills])
                if canonical(value) == canonical(expected):
                    return skills
        return ()

    def _criticise(self, prompt: Prompt) -> dict[str, Any]:
        members = {name[7:]: text for name, text in prompt.inputs.items() if name.startswith("output_")}
        rest = {name: text for name, text in prompt.inputs.items() if not name.startswith("output_")}
        wanted = next((text for name, text in rest.items() if "wanted" in name), "\n".join(rest.values()))
        question = unescaped(rest.get("reader_inputs", "\n".join(rest.values())))
        expected = next((match[1].strip(EDGES) for match in EXPECTED.finditer(unescaped(wanted))), "")
        values: dict[str, Any] = {}
        for name, kind, _ in prompt.outputs:
            what, _, key = name.partition("_")
            if what in ("severity", "quote"):
                values[name] = ""
            elif key in members:
                values[name] = self._message(key, members, question, expected)
            elif what == "change" and any(values.get(f"change_{one}", _NO_CHANGE) != _NO_CHANGE for one in members):
                # A step that was misled by what it read did what could be done.
                values[name] = _NO_CHANGE
            else:
                values[name] = self._advice(prompt) if kind.startswith("dict") else self._remark(prompt)
        return values

    def _message(self, key: str, members: Mapping[str, str], question: str, expected: str) -> str:
        """How one output should have been different, judged beside the others."""
        if not expected:
            return f"The content of output_{key} should be worked out with more care and said more plainly."
        value = said_in(members[key])
        beside = "\n".join([question, *(text for other, text in members.items() if other != key)])
        better, skills = self._wanted(members[key], value, question, beside, expected)
        if canonical(value) == canonical(better):
            return _NO_CHANGE
        message = f"It should have given {better}, not {value[:80]}"
        if skills:
            message += "; the instruction should say: " + " ".join(skill.sentence for skill in skills)
        message = message.rstrip(".") + "."
        for other, text in members.items():
            if other != key and said_in(text) == value:
                message += f" As it is, output_{key} only repeats output_{other}."
            elif other != key and canonical(said_in(text)) == canonical(better) and text != members[key]:
                message += f" It contradicts output_{other}."
        return message

    def _wanted(
        self, text: str, value: str, question: str, beside: str, expected: str
    ) -> tuple[str, tuple[Skill, ...]]:
        """The value that an output should have carried, and the skills for it."""
        cue = CARRIED_CUE.search(text)
        name = cue[1].replace(" ", "_") if cue else ""
        if cue and name in CUES:
            doubtful = TASKS["statements"].solve({name: cue[2]}, [CUES[name].name]) == "yes"
            lie = canonical(expected) in ("yes", "doubtful", "false")
            if doubtful and lie:
                return "doubtful", (CUES[name],)
            # One sign of a lie does not make one: it may stand beside the truth.
            return (value if lie or doubtful else "trustworthy"), ()
        found = find(question)
        if route := route_in(text):
            right = right_route(question, ["amounts", "logic"])
            return text.replace(route, right), (ROUTE,) if route != right else ()
        if found and found[0].skills == HOPS:
            return wanted(found[1], beside, text, expected)
        return expected, self._teaching(*found, expected) if found else ()

    def _remark(self, prompt: Prompt) -> str:
        """A judgement of the step as a whole."""
        said = " ".join(skill.sentence for skill in self._skills_in(material_of(prompt), prompt))
        return f"The instruction should say: {said}" if said else "The step should be done with more care."

    def _advice(self, prompt: Prompt) -> dict[str, str]:
        """One advice for each module: on form for the last one, on method for those before it."""
        names = re.findall(r"[^\s\",]+", prompt.inputs.get("module_names", "")[1:-1]) or ["self"]
        skills = self._skills_in(material_of(prompt), prompt)
        forms = [skill.sentence for skill in skills if skill in FORMS.values()]
        methods = [skill.sentence for skill in skills if skill not in FORMS.values()]
        advice = {name: " ".join(methods) or HARMLESS[0] for name in names[:-1]}
        return {**advice, names[-1]: " ".join(forms if advice else methods + forms) or HARMLESS[0]}

    def _propose(self, prompt: Prompt) -> dict[str, Any]:
        current = current_of(prompt)
        values: dict[str, Any] = {}
        for name in prompt.names:
            if "source" in name or "short" in name:
                values[name] = current
            elif "prefix" in name:
                values[name] = "Answer:"
            elif re.search(r"instruction|prompt|docstring", name):
                values[name] = self._improved(current, material_of(prompt), prompt)
            elif "observation" in name:
                values[name] = self._observed(unescaped(prompt.inputs.get("examples", "")))
            elif "summary" in name:
                skills = self._skills_in(material_of(prompt), prompt)
                values[name] = " ".join([PLAIN, *(one.sentence for one in skills)])
            else:
                values[name] = self._remark(prompt) if _CRITICISES.search(name) else PLAIN
        return values

    def _improved(self, current: str, material: str, prompt: Prompt, whole: bool = False) -> str:
        """The current instruction with the skills it lacks, or with a word that changes nothing."""
        taught = fitting_first(self._skills_in(material, prompt, whole), current)
        new = [one.sentence for one in taught if not one.named_in(current)]
        if not new:
            blind = not material or "attempted_instructions" in prompt.inputs
            unused = [sentence for sentence in (guesses(current) if blind else HARMLESS) if sentence not in current]
            choice = int(_share(self.seed, "wording", prompt.text, prompt.sample) * len(unused))
            new = unused[choice : choice + 1]
            for sentence in HARMLESS:
                current = current.replace(f" {sentence}", "")
        return " ".join([current, *new[:_MOST_NEW_SKILLS]]).strip()


def _share(*parts: object) -> float:
    """A number in 0..1 that depends on the parts alone."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _step(value: str, question: str) -> str:
    """A step's words; a hint shows what it judged by."""
    found = find(question)
    if found and found[0].name == "statements" and value in ("yes", "no"):
        name, attribute = next(iter(found[1].items()))
        value = f"{'doubtful' if value == 'yes' else 'trustworthy'} ({name.replace('_', ' ')}: {attribute})"
    return f"The intermediate result is {value}."
