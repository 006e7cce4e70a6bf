"""Programs that carry values outside of arguments: attributes, globals, queues, closures, files."""

import logging
import queue
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dspy

from .base import case

logger = logging.getLogger(__name__)
NOTEBOOK: dict[str, str] = {}


class PlanThenWrite(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("topic -> plan")
        self.write = dspy.Predict("topic, plan -> text")
        self.current_plan = ""

    def forward(self, topic: str) -> dspy.Prediction:
        self.make_plan(topic)
        return dspy.Prediction(text=self.make_text(topic))

    def make_plan(self, topic: str) -> None:
        self.current_plan = self.plan(topic=topic).plan.upper()

    def make_text(self, topic: str) -> str:
        return self.write(topic=topic, plan=self.current_plan).text


class Interview(dspy.Module):
    """Remembers what was said, also from one run to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("person, so_far -> question")
        self.reply = dspy.Predict("question -> answer")
        self.said: list[str] = []

    def forward(self, person: str) -> dspy.Prediction:
        for _ in range(2):
            question = self.ask(person=person, so_far="\n".join(self.said) or "nothing").question
            self.said.append(f"Q: {question}")
            self.said.append(f"A: {self.reply(question=question).answer}")
        return dspy.Prediction(transcript="\n".join(self.said))


class GlobalNotes(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.observe = dspy.Predict("place -> note")
        self.report = dspy.Predict("notes -> report")

    def forward(self, places: list[str]) -> dspy.Prediction:
        NOTEBOOK.clear()
        for place in places:
            NOTEBOOK[place] = self.observe(place=place).note
        return dspy.Prediction(report=write_report(self.report, keep=places[-1]))


def write_report(report: dspy.Predict, keep: str) -> str:
    return report(notes=f"{keep}: {NOTEBOOK[keep]}").report


class Explorer(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand = dspy.Predict("topic -> note, children: list[str]")

    def forward(self, topic: str, limit: int) -> dspy.Prediction:
        waiting: queue.Queue[str] = queue.Queue()
        waiting.put(topic)
        notes: list[str] = []
        while not waiting.empty() and len(notes) < limit:
            found = self.expand(topic=waiting.get())
            notes.append(found.note)
            for child in found.children:
                waiting.put(child)
        return dspy.Prediction(notes="; ".join(notes))


@dataclass
class Scratchpad:
    entries: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: str) -> None:
        self.entries[key] = value.strip()

    def render(self, *keys: str) -> str:
        return "\n".join(f"<{key}>{self.entries[key]}</{key}>" for key in keys)


class Detective(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.look = dspy.Predict("scene -> clue")
        self.listen = dspy.Predict("scene -> clue")
        self.suspect = dspy.Predict("evidence -> suspect")
        self.confirm = dspy.Predict("evidence -> verdict")

    def forward(self, scene: str) -> dspy.Prediction:
        pad = Scratchpad()
        pad.add("seen", self.look(scene=scene).clue)
        pad.add("heard", self.listen(scene=scene).clue)
        pad.add("suspect", self.suspect(evidence=pad.render("seen", "heard")).suspect)
        verdict = self.confirm(evidence=pad.render("heard", "suspect")).verdict
        return dspy.Prediction(suspect=pad.entries["suspect"], verdict=verdict)


class StyledJudge(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.taste = dspy.Predict("reader -> taste")
        self.judge = dspy.Predict("poem, taste -> opinion")

    def forward(self, reader: str, poems: list[str]) -> dspy.Prediction:
        judge = self.make_judge(self.taste(reader=reader).taste)
        return dspy.Prediction(opinions=[judge(poem) for poem in poems])

    def make_judge(self, taste: str) -> Callable[[str], str]:
        def judge(poem: str) -> str:
            return self.judge(poem=poem, taste=f"likes {taste}").opinion

        return judge


class Serial(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("theme, previous -> chapter")
        self.title = dspy.Predict("first_chapter -> title")

    def chapters(self, theme: str) -> Iterator[str]:
        previous = ""
        for _ in range(3):
            previous = self.write(theme=theme, previous=previous).chapter
            yield previous

    def forward(self, theme: str) -> dspy.Prediction:
        chapters = self.chapters(theme)
        first = next(chapters)
        title = self.title(first_chapter=first).title
        return dspy.Prediction(book="\n\n".join([title, first, *chapters]))


class UnusedRewrite(dspy.Module):
    def __init__(self, use_rewrite: bool = False) -> None:
        super().__init__()
        self.use_rewrite = use_rewrite
        self.rewrite = dspy.Predict("question -> query")
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        rewritten = self.rewrite(question=question)
        query = rewritten.query if self.use_rewrite else question
        return dspy.Prediction(answer=self.answer(question=query).answer)


class Watched(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("question -> answer, confidence: int")
        self.audit = dspy.Predict("question -> expected")
        self.shout = dspy.Predict("text -> loud")

    def forward(self, question: str) -> dspy.Prediction:
        answered = self.answer(question=question)
        expected = self.audit(question=question).expected
        agreed = answered.answer.strip() == expected.strip()
        logger.debug("agreed=%s, confidence %d: %s", agreed, answered.confidence, answered)
        if answered.confidence < 50:
            logger.info("low confidence")
        return dspy.Prediction(loud=self.shout(text=answered.answer).loud)


class LastOneWins(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("word -> meaning")
        self.second = dspy.Predict("word -> meaning")
        self.use = dspy.Predict("word, meaning -> sentence")

    def forward(self, word: str) -> dspy.Prediction:
        context = {"word": word, "meaning": self.first(word=word).meaning}
        context.update(meaning=self.second(word=word).meaning)
        return self.use(**context)


class Stamped(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.note = dspy.Predict("event -> note")
        self.file = dspy.Predict("entry -> shelf")

    def forward(self, event: str) -> dspy.Prediction:
        entry = f"[{uuid.uuid4().hex[:8]}] {self.note(event=event).note}"
        return dspy.Prediction(entry=entry, shelf=self.file(entry=entry).shelf)


class ViaFile(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("subject -> draft")
        self.proofread = dspy.Predict("draft -> corrected")

    def forward(self, subject: str) -> dspy.Prediction:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "draft.txt")
            page.write_text(self.draft(subject=subject).draft, encoding="utf-8")
            corrected = self.proofread(draft=page.read_text(encoding="utf-8")).corrected
        return dspy.Prediction(corrected=corrected)


CASES = (
    case(
        "through-self",
        PlanThenWrite,
        {"topic": "rivers"},
        {"plan": {"plan": "spring, valley, sea"}, "write": {"text": "A river begins small."}},
        data="plan[0].plan -> write[0].plan",
        output="write[0].text -> text",
        note="One method leaves the value in an attribute, another one picks it up, in upper case.",
    ),
    case(
        "memory-in-self",
        Interview,
        {"person": "a beekeeper"},
        {
            "ask": [{"question": "Why bees?"}, {"question": "Do they sting?"}],
            "reply": [{"answer": "For the calm."}, {"answer": "Rarely."}],
        },
        data="""ask[0].question -> reply[0].question, ask[1].so_far
                reply[0].answer -> ask[1].so_far
                ask[1].question -> reply[1].question""",
        output="ask[0].question, ask[1].question, reply[0].answer, reply[1].answer -> transcript",
        note="The list in the program grows with each run, so a second run of the same object differs.",
        pure=False,
    ),
    case(
        "global-notebook",
        GlobalNotes,
        {"places": ["harbour", "market"]},
        {
            "observe": lambda inputs: {"note": f"the {inputs['place']} is crowded"},
            "report": {"report": "Crowds."},
        },
        data="observe[1].note -> report[0].notes",
        output="report[0].report -> report",
        note="Notes go into a global dict, of which a function outside of the program reads the last one.",
        pure=False,
    ),
    case(
        "queue-of-topics",
        Explorer,
        {"topic": "trees", "limit": 3},
        {
            "expand": lambda inputs: {
                "trees": {"note": "tall plants", "children": ["oaks", "firs"]},
                "oaks": {"note": "they bear acorns", "children": ["acorns"]},
            }.get(inputs["topic"], {"note": "always green", "children": []})
        },
        data="expand[0].children -> expand[1].topic, expand[2].topic",
        output="expand[0].note, expand[1].note, expand[2].note -> notes",
        allowed="""expand[0].children -> expand[1], expand[2]
                   expand[0].children -> notes""",
        note="First in, first out: what the second call put into the queue is never taken out.",
    ),
    case(
        "scratchpad-object",
        Detective,
        {"scene": "an empty cake plate"},
        {
            "look": {"clue": "crumbs on the carpet "},
            "listen": {"clue": "a purr "},
            "suspect": {"suspect": "the cat"},
            "confirm": {"verdict": "it was the cat"},
        },
        data="""look[0].clue, listen[0].clue -> suspect[0].evidence
                listen[0].clue, suspect[0].suspect -> confirm[0].evidence""",
        output="""suspect[0].suspect -> suspect
                  confirm[0].verdict -> verdict""",
        note="A helper object holds everything, but each call is shown only some of its entries.",
    ),
    case(
        "closure-over-output",
        StyledJudge,
        {"reader": "a sailor", "poems": ["Wind, wind.", "Roses."]},
        {
            "taste": {"taste": "storms"},
            "judge": lambda inputs: {"opinion": "good" if "Wind" in inputs["poem"] else "dull"},
        },
        data="taste[0].taste -> judge[0].taste, judge[1].taste",
        output="judge[0].opinion, judge[1].opinion -> opinions",
        note="The value is bound in a closure that is called later, once per poem.",
    ),
    case(
        "lazy-generator",
        Serial,
        {"theme": "a lost key"},
        {
            "write": [
                {"chapter": "The key fell."},
                {"chapter": "A crow took it."},
                {"chapter": "The crow sang."},
            ],
            "title": {"title": "The Crow's Key"},
        },
        data="""write[0].chapter -> write[1].previous, title[0].first_chapter
                write[1].chapter -> write[2].previous""",
        output="title[0].title, write[0].chapter, write[1].chapter, write[2].chapter -> book",
        note="A generator calls the model only when read, so a later call falls between two of its own.",
    ),
    case(
        "unused-rewrite",
        UnusedRewrite,
        {"question": "Who painted the ceiling?"},
        {"rewrite": {"query": "Who painted the ceiling?"}, "answer": {"answer": "A tired man."}},
        output="answer[0].answer -> answer",
        note="The unread output equals the question that goes on: text and order suggest an edge, and there is none.",
    ),
    case(
        "logged-and-compared",
        Watched,
        {"question": "Is the shop open?"},
        {
            "answer": {"answer": "open", "confidence": 40},
            "audit": {"expected": "open"},
            "shout": {"loud": "OPEN!"},
        },
        data="answer[0].answer -> shout[0].text",
        output="shout[0].loud -> loud",
        note="One output is only compared and one only decides on a log line; the compared text "
        "equals the one that flows.",
    ),
    case(
        "overwritten-value",
        LastOneWins,
        {"word": "bank"},
        {
            "first": {"meaning": "a bench"},
            "second": {"meaning": "the side of a river"},
            "use": {"sentence": "We sat on a bench at the side of a river."},
        },
        data="second[0].meaning -> use[0].meaning",
        output="use[0].sentence -> sentence",
        note="The first value is read and put into a dict, then overwritten before the dict is used.",
    ),
    case(
        "random-stamp",
        Stamped,
        {"event": "The clock stopped."},
        {"note": {"note": "clock stopped at noon"}, "file": {"shelf": "clocks"}},
        data="note[0].note -> file[0].entry",
        output="""note[0].note -> entry
                  file[0].shelf -> shelf""",
        note="A random stamp makes every run differ, changed value or not.",
        pure=False,
    ),
    case(
        "through-a-file",
        ViaFile,
        {"subject": "bread"},
        {"draft": {"draft": "Bred is good."}, "proofread": {"corrected": "Bread is good."}},
        data="draft[0].draft -> proofread[0].draft",
        output="proofread[0].corrected -> corrected",
        note="The text is written to a file and read back: another object with the same text.",
        pure=False,
    ),
)
