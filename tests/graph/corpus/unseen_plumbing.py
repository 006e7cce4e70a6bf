"""Programs whose Python between the calls is the point: groups, caches, callbacks, threads; written blind."""

import asyncio
import contextvars
import functools
import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import dspy

from .base import case


class TicketDigest(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.Predict("ticket -> team: Literal['billing', 'sales', 'tech']")
        self.summarize = dspy.Predict("team, tickets -> summary")
        self.digest = dspy.Predict("summaries -> digest")

    def forward(self, tickets: list[str]) -> dspy.Prediction:
        sorted_in = sorted(((self.classify(ticket=one).team, one) for one in tickets), key=itemgetter(0))
        summaries = [
            self.summarize(team=team, tickets="\n".join(ticket for _, ticket in group)).summary
            for team, group in itertools.groupby(sorted_in, key=itemgetter(0))
        ]
        return dspy.Prediction(digest=self.digest(summaries=" ".join(summaries)).digest)


class CachedByHash(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rewrite = dspy.Predict("question -> canonical")
        self.answer = dspy.Predict("question -> answer")

    def forward(self, questions: list[str]) -> dspy.Prediction:
        cache: dict[str, str] = {}
        answers = []
        for question in questions:
            canonical = self.rewrite(question=question).canonical
            key = hashlib.sha256(canonical.lower().encode()).hexdigest()[:12]
            if key not in cache:
                cache[key] = self.answer(question=canonical).answer
            answers.append(cache[key])
        return dspy.Prediction(answers=answers)


@dataclass(frozen=True)
class Page:
    topic: str
    outline: str = ""
    body: str = ""
    title: str = ""


class Stages(dspy.Module):
    """A frozen state goes through a list of methods."""

    def __init__(self) -> None:
        super().__init__()
        self.outline = dspy.Predict("topic -> outline")
        self.expand = dspy.Predict("points -> body")
        self.entitle = dspy.Predict("first_sentence -> title")

    def plan(self, page: Page) -> Page:
        return replace(page, outline=self.outline(topic=page.topic).outline)

    def write(self, page: Page) -> Page:
        points = [line.lstrip("-* ") for line in page.outline.splitlines() if line.startswith(("-", "*"))]
        return replace(page, body=self.expand(points=" | ".join(points)).body)

    def name(self, page: Page) -> Page:
        return replace(page, title=self.entitle(first_sentence=page.body.partition(".")[0]).title)

    def forward(self, topic: str) -> dspy.Prediction:
        stages: list[Callable[[Page], Page]] = [self.plan, self.write, self.name]
        page = functools.reduce(lambda state, stage: stage(state), stages, Page(topic))
        return dspy.Prediction(page=f"{page.title:^30}\n{page.body}", n_points=page.outline.count("\n") + 1)


class FillSlots(dspy.Module):
    """A template whose slots are filled by a callback of a substitution."""

    def __init__(self) -> None:
        super().__init__()
        self.template = dspy.Predict("occasion -> text")
        self.fill = dspy.Predict("slot, occasion -> value")
        self.check = dspy.Predict("text -> verdict")

    def forward(self, occasion: str) -> dspy.Prediction:
        template = self.template(occasion=occasion).text
        text = re.sub(
            r"\{(\w+)\}", lambda match: self.fill(slot=match.group(1), occasion=occasion).value.strip(), template
        )
        return dspy.Prediction(text=text, verdict=self.check(text=text).verdict)


class FirstThatFits(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.suggest = dspy.Predict("product -> names: list[str]")
        self.check = dspy.Predict("product, candidate -> fits: bool")
        self.label = dspy.Predict("name -> label")

    def forward(self, product: str) -> dspy.Prediction:
        names = self.suggest(product=product).names
        fitting = (name for name in names if self.check(product=product, candidate=name).fits)
        return dspy.Prediction(label=self.label(name=next(fitting, "Untitled")).label)


class Department(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("task -> idea")
        self.criticize = dspy.Predict("idea -> flaw")

    def forward(self, task: str) -> dspy.Prediction:
        idea = self.ask(task=task).idea
        flaw = self.criticize(idea=idea).flaw
        return dspy.Prediction(summary=f"{idea} (but: {flaw})", risky="danger" in flaw.lower())


class Company(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.departments = {"kitchen": Department(), "garden": Department()}
        self.combine = dspy.Predict("ideas -> plan")

    def select(self, results: dict[str, dspy.Prediction]) -> list[str]:
        return [result.summary for result in results.values()]

    def forward(self, task: str) -> dspy.Prediction:
        results = {name: department(task=f"{task}, for the {name}") for name, department in self.departments.items()}
        return self.combine(ideas="\n".join(self.select(results)) or "none")


class CarefulCompany(Company):
    def select(self, results: dict[str, dspy.Prediction]) -> list[str]:
        return super().select({name: result for name, result in results.items() if not result.risky})


class SurestExpert(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = {
            name: dspy.Predict("patient -> diagnosis, confidence: float") for name in ("young", "old", "far")
        }
        self.treat = dspy.Predict("diagnosis -> treatment")

    async def aforward(self, patient: str) -> dspy.Prediction:
        opinions = await asyncio.gather(*(expert.acall(patient=patient) for expert in self.experts.values()))
        best, second, *_ = sorted(opinions, key=lambda opinion: -opinion.confidence)
        treated = await self.treat.acall(diagnosis=best.diagnosis)
        return dspy.Prediction(treatment=treated.treatment, else_maybe=second.diagnosis)


class BatchThenParallel(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vary = dspy.Predict("brief, tone -> text")
        self.judge = dspy.Predict("text -> points: int")
        self.tag = dspy.Predict("brief -> tag")
        self.publish = dspy.Predict("text -> post")

    def forward(self, brief: str) -> dspy.Prediction:
        examples = [
            dspy.Example(brief=brief, tone=tone).with_inputs("brief", "tone") for tone in ("dry", "warm", "loud")
        ]
        made: list[Any] = list(self.vary.batch(examples, num_threads=2, disable_progress_bar=True))
        texts = [one.text for one in made]
        pairs: list[Any] = [(self.judge, {"text": text}) for text in texts]
        pairs.append((self.tag, {"brief": brief}))
        *judged, tagged = dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
        _, best = max(zip((one.points for one in judged), texts, strict=True))
        return dspy.Prediction(post=self.publish(text=best).post, tag=f"#{tagged.tag}")


class PartsInThreads(dspy.Module):
    """Parts are written in threads; a part that is too long is shortened in its thread."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = {name: dspy.Predict("topic -> text") for name in ("intro", "body", "end")}
        self.shorten = dspy.Predict("text -> shorter")
        self.proof = dspy.Predict("article -> corrected")

    def make(self, name: str, topic: str) -> str:
        text = self.parts[name](topic=topic).text
        return self.shorten(text=text).shorter if len(text) > 40 else text

    def forward(self, topic: str) -> dspy.Prediction:
        done: dict[str, str] = defaultdict(str)
        with ThreadPoolExecutor(max_workers=3) as pool:
            futures = {pool.submit(contextvars.copy_context().run, self.make, name, topic): name for name in self.parts}
            for future in as_completed(futures):
                done[futures[future]] += future.result()
        article = "\n\n".join(done[name] for name in self.parts)
        return dspy.Prediction(corrected=self.proof(article=article).corrected)


TEAMS = "classify[0].team, classify[1].team, classify[2].team"
SUREST = ", ".join(f"experts['{name}'][0].confidence" for name in ("young", "old", "far"))

CASES = (
    case(
        "group-by-team",
        TicketDigest,
        {"tickets": ["I was billed twice.", "The tech page is down.", "Where is my invoice?"]},
        {
            "classify": [{"team": "billing"}, {"team": "tech"}, {"team": "billing"}],
            "summarize": lambda inputs: {"summary": f"{inputs['team']} is asked for help."},
            "digest": {"digest": "Two for billing, one for tech."},
        },
        data=f"""{TEAMS} -> summarize[0].tickets
                 classify[0].team, classify[2].team -> summarize[1].tickets
                 classify[1].team -> summarize[1].team
                 summarize[0].summary, summarize[1].summary -> digest[0].summaries""",
        output="digest[0].digest -> digest",
        control="classify[1].team -> summarize[1]",
        allowed=f"""classify[0].team, classify[2].team -> summarize[0], summarize[1].team
                    classify[1].team -> summarize[1].tickets
                    {TEAMS} -> digest[0].summaries""",
        note="Labels sort and group the inputs; only the label that stands alone decides on its group's call.",
    ),
    case(
        "cached-by-hash",
        CachedByHash,
        {"questions": ["norway capital??", "Which city rules Norway", "peru, capital"]},
        {
            "rewrite": [
                {"canonical": "capital of Norway"},
                {"canonical": "Capital of norway"},
                {"canonical": "capital of Peru"},
            ],
            "answer": lambda inputs: {"answer": "Oslo" if "Norway" in inputs["question"] else "Lima"},
        },
        data="""rewrite[0].canonical -> answer[0].question
                rewrite[2].canonical -> answer[1].question""",
        output="answer[0].answer, answer[1].answer -> answers",
        control="rewrite[2].canonical -> answer[1]",
        allowed="""rewrite[0].canonical, rewrite[1].canonical, rewrite[2].canonical -> answers
                   rewrite[0].canonical, rewrite[1].canonical -> answer[1], answer[1].question""",
        note="A hash of a rewriting is the key of a cache; the second one is found there and makes no call.",
    ),
    case(
        "frozen-stages",
        Stages,
        {"topic": "moss"},
        {
            "outline": {"outline": "- where it grows\n- what it drinks"},
            "expand": {"body": "Moss grows in the shade. It drinks fog."},
            "entitle": {"title": "In the Shade"},
        },
        data="""outline[0].outline -> expand[0].points
                expand[0].body -> entitle[0].first_sentence""",
        output="""expand[0].body, entitle[0].title -> page
                  outline[0].outline -> n_points""",
        note="A frozen dataclass is replaced from stage to stage, by functools.reduce over bound methods.",
    ),
    case(
        "slots-by-callback",
        FillSlots,
        {"occasion": "a jubilee"},
        {
            "template": {"text": "Dear {guest}, come on {day}!"},
            "fill": lambda inputs: {"value": {"guest": "neighbour"}.get(inputs["slot"], "Sunday")},
            "check": {"verdict": "Dear neighbour is warm."},
        },
        data="""template[0].text -> fill[0].slot, fill[1].slot, check[0].text
                fill[0].value, fill[1].value -> check[0].text""",
        output="""template[0].text, fill[0].value, fill[1].value -> text
                  check[0].verdict -> verdict""",
        allowed="template[0].text -> fill[0], fill[1]",
        note="re.sub calls a predictor for each slot of a text that another call has made.",
    ),
    case(
        "first-that-fits",
        FirstThatFits,
        {"product": "a salt mill"},
        {
            "suggest": {"names": ["Grindo", "Salina"]},
            "check": [{"fits": False}, {"fits": True}],
            "label": {"label": "SALINA salt mill"},
        },
        data="""suggest[0].names -> check[0].candidate, check[1].candidate, label[0].name
                check[1].fits -> label[0].name""",
        output="label[0].label -> label",
        control="check[0].fits -> check[1]",
        allowed="""suggest[0].names -> check[0], check[1]
                   check[0].fits -> label[0].name""",
        note="next() over a lazy generator: a check is made only if those before it failed, else a default is taken.",
    ),
    case(
        "careful-company",
        CarefulCompany,
        {"task": "save water"},
        {
            "departments['kitchen'].ask": {"idea": "wash once a day"},
            "departments['kitchen'].criticize": {"flaw": "pans pile up"},
            "departments['garden'].ask": {"idea": "wash once a day"},
            "departments['garden'].criticize": {"flaw": "Danger of drought"},
            "combine": {"plan": "Wash once a day."},
        },
        data="""departments['kitchen'].ask[0].idea -> departments['kitchen'].criticize[0].idea, combine[0].ideas
                departments['garden'].ask[0].idea -> departments['garden'].criticize[0].idea
                departments['kitchen'].criticize[0].flaw -> combine[0].ideas
                departments['garden'].criticize[0].flaw -> combine[0].ideas""",
        output="combine[0].plan -> plan",
        note="Sub-modules in a dict have equal ideas; an inherited hook drops one of them because of its flaw.",
    ),
    case(
        "surest-expert",
        SurestExpert,
        {"patient": "coughs"},
        {
            "experts['young']": {"diagnosis": "a flu", "confidence": 0.9},
            "experts['old']": {"diagnosis": "a cold", "confidence": 0.6},
            "experts['far']": {"diagnosis": "a flu", "confidence": 0.3},
            "treat": {"treatment": "Bed."},
        },
        data="""experts['young'][0].diagnosis -> treat[0].diagnosis
                experts['young'][0].confidence, experts['old'][0].confidence -> treat[0].diagnosis""",
        output=f"""experts['old'][0].diagnosis -> else_maybe
                   {SUREST} -> else_maybe
                   treat[0].treatment -> treatment""",
        allowed="experts['far'][0].confidence -> treat[0].diagnosis",
        note="Confidences order what was gathered; the third agrees with the first, so its being surest is unseen.",
        style="async",
    ),
    case(
        "batch-then-parallel",
        BatchThenParallel,
        {"brief": "the fair"},
        {
            "vary": lambda inputs: {
                "text": {"dry": "There is a fair.", "warm": "Come, the fair!"}.get(inputs["tone"], "FAIR!")
            },
            "judge": lambda inputs: {"points": 8 if "Come" in inputs["text"] else 4},
            "tag": {"tag": "fair"},
            "publish": {"post": "Come, the fair!"},
        },
        data="""vary[0].text -> judge[0].text
                vary[1].text -> judge[1].text, publish[0].text
                vary[2].text -> judge[2].text
                judge[0].points, judge[1].points, judge[2].points -> publish[0].text""",
        output="""publish[0].post -> post
                  tag[0].tag -> tag""",
        note="Module.batch, then dspy.Parallel over two kinds of modules; the tag stands in every text by chance.",
    ),
    case(
        "parts-in-threads",
        PartsInThreads,
        {"topic": "why ships float"},
        {
            "parts['intro']": {"text": "Why do they float?"},
            "parts['body']": {"text": "They push away as much water as they weigh, no more."},
            "parts['end']": {"text": "So they float."},
            "shorten": {"shorter": "They push water away."},
            "proof": {"corrected": "They float."},
        },
        data="""parts['body'][0].text -> shorten[0].text
                parts['intro'][0].text, shorten[0].shorter, parts['end'][0].text -> proof[0].article""",
        output="proof[0].corrected -> corrected",
        control="parts['body'][0].text -> shorten[0]",
        allowed="parts['body'][0].text -> proof[0].article",
        note="Results come in any order and are put back in theirs; a length decides on a call within the thread.",
    ),
)
