"""Research programs: screening, claims, hops, meta-analysis, debates, agents (cases in final_research.py)."""

import asyncio
import contextvars
import csv
import io
import re
import statistics as st
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import dspy
import pydantic

DOCS = {
    "Heron River": "The Heron River rises on Mount Slate and ends in Lake Amber.",
    "Mount Slate": "Mount Slate is the highest point of Northmark province.",
    "Northmark": "Northmark province has its capital in Port Grey.",
    "Lake Amber": "Lake Amber is known for its perch.",
}
SIGNS = {"true": 1, "false": -1, "unsure": 0}


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def lookup(query):
    return max(DOCS, key=lambda title: len(words(title) & words(query)))


def threaded(function, items):
    """Map in threads that see the caller's context."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(contextvars.copy_context().run, partial(function, item)) for item in items]
    return [job.result() for job in jobs]


class Review(dspy.Module):
    """Screen abstracts, keep the two best, write with numbered sources, and list what was cited."""

    def __init__(self):
        super().__init__()
        self.screen = dspy.Predict("topic, abstract -> relevance: float, keyword")
        self.synthesise = dspy.Predict("topic, sources -> synthesis")

    def forward(self, topic: str, abstracts: list[str]):
        screened = threaded(lambda abstract: self.screen(topic=topic, abstract=abstract).relevance, abstracts)
        ranking = sorted(zip(screened, abstracts, strict=True), key=itemgetter(0), reverse=True)
        kept = [abstract for _, abstract in ranking[:2]]
        sources = "\n".join(f"[{number}] {abstract}" for number, abstract in enumerate(kept, 1))
        text = self.synthesise(topic=topic, sources=sources).synthesis
        cited = [kept[int(number) - 1] for number in re.findall(r"\[([12])\]", text)]
        return dspy.Prediction(review=text, cited=cited, included=sum(score >= 0.5 for score in screened))


class ClaimCheck(dspy.Module):
    def __init__(self):
        super().__init__()
        self.write = dspy.Predict("question -> text")
        self.verify = dspy.Predict("claim -> verdict: Literal['supported', 'refuted', 'unknown'], evidence")
        self.correct = dspy.Predict("claim, evidence -> corrected")

    def forward(self, question: str):
        tally, checked = Counter(), []
        for sentence in re.split(r"(?<=[.!?])\s+", self.write(question=question).text):
            verified = self.verify(claim=sentence)
            tally[verified.verdict] += 1
            if verified.verdict == "refuted":
                sentence = self.correct(claim=sentence, evidence=verified.evidence).corrected
            checked.append(sentence)
        return dspy.Prediction(text=" ".join(checked), support=f"{tally['supported']} of {sum(tally.values())}")


class Hops(dspy.Module):
    def __init__(self):
        super().__init__()
        self.query = dspy.Predict("question, facts -> query")
        self.answer = dspy.Predict("question, facts: list[str] -> answer")

    def forward(self, question: str):
        titles = []
        for _ in range(3):
            title = lookup(self.query(question=question, facts=" ".join(DOCS[t] for t in titles)).query)
            if title in titles:
                break
            titles.append(title)
        return self.answer(question=question, facts=[DOCS[title] for title in titles])


class MetaAnalysis(dspy.Module):
    def __init__(self):
        super().__init__()
        self.pull = dspy.ChainOfThought("abstract -> effect: float, n: int, country")
        self.interpret = dspy.Predict("pooled, spread, studies: int -> conclusion")

    def forward(self, abstracts: list[str]):
        rows = [self.pull(abstract=abstract) for abstract in abstracts]
        total = sum(map(attrgetter("n"), rows))
        pooled = sum(row.effect * row.n for row in rows) / total
        spread = st.stdev(row.effect for row in rows)
        read = self.interpret(pooled=f"d = {pooled:.3f}", spread=f"{spread:.3f}", studies=len(rows))
        return dspy.Prediction(**read, total=total, largest=max(rows, key=attrgetter("n")).country)


class Reference(pydantic.BaseModel):
    authors: list[str]
    year: int
    title: str

    @property
    def key(self):
        return f"{self.authors[0]}{' et al.' if len(self.authors) > 1 else ''} {self.year}"


class Bibliography(dspy.Module):
    """Sorted references; those with one key get letters."""

    def __init__(self):
        super().__init__()
        signature: Any = dspy.make_signature("raw -> ref: Reference", custom_types={"Reference": Reference})
        self.parse = dspy.Predict(signature)
        self.intro = dspy.Predict("keys: list[str], newest: int -> intro")

    def forward(self, raw: list[str]):
        refs = sorted((self.parse(raw=one).ref for one in raw), key=attrgetter("key", "title"))
        labels = []
        for key, group in groupby(refs, key=attrgetter("key")):
            same = list(group)
            labels += [key + letter for letter, _ in zip("abc", same, strict=False)] if len(same) > 1 else [key]
        listed = "\n".join(f"({label}) {ref.title}" for label, ref in zip(labels, refs, strict=True))
        intro = self.intro(keys=labels, newest=max(ref.year for ref in refs)).intro
        return dspy.Prediction(text=f"{intro}\n\n{listed}")


class Hypothesis(dspy.Module):
    """Fit a line to a hidden law, one experiment a round."""

    def __init__(self):
        super().__init__()
        self.propose = dspy.Predict("observations -> slope: int, offset: int, hunch")
        self.report = dspy.Predict("law -> report")

    def forward(self, places: list[int]):
        seen, guess = [], None
        for x in places:
            guess = self.propose(observations="; ".join(f"x={x}: off by {error}" for x, error in seen))
            error = guess.slope * x + guess.offset - (3 * x + 1)
            seen.append((x, error))
            if abs(error) <= 1:
                break
        assert guess is not None
        law = f"y = {guess.slope}x + {guess.offset}"
        return dspy.Prediction(report=self.report(law=law).report, errors=[abs(error) for _, error in seen])


class Debate(dspy.Module):
    def __init__(self):
        super().__init__()
        self.sides = {side: dspy.Predict("motion, opponent -> speech") for side in ("pro", "con")}
        self.judge = dspy.ChainOfThought("motion, openings -> scores: dict[str, int]")
        self.close = dspy.Predict("side, point -> closing")

    def forward(self, motion: str):
        speeches = {side: [] for side in self.sides}
        last = ""
        for _ in range(2):
            for side, speaker in self.sides.items():
                last = speaker(motion=motion, opponent=last).speech
                speeches[side].append(last)
        openings = "\n".join(f"{side.upper()}: {said[0].partition('.')[0]}" for side, said in speeches.items())
        scores = self.judge(motion=motion, openings=openings).scores
        winner = max(speeches, key=lambda side: scores.get(side, 0))
        closing = self.close(side=winner, point=speeches[winner][-1]).closing
        return dspy.Prediction(closing=closing, margin=abs(scores.get("pro", 0) - scores.get("con", 0)))


class Estimate(dspy.Module):
    """A Fermi estimate: a question is split once if it is not simple, and the parts are added."""

    def __init__(self):
        super().__init__()
        self.judge = dspy.Predict("question -> simple: bool, left, right")
        self.guess = dspy.Predict("question -> value: int")
        self.phrase = dspy.Predict("question, total: int -> sentence")

    def solve(self, question, depth=0):
        judged = self.judge(question=question)
        if judged.simple or depth == 1:
            return self.guess(question=question).value
        return sum(self.solve(part, depth + 1) for part in (judged.left, judged.right))

    def forward(self, question: str):
        total = self.solve(question)
        return dspy.Prediction(total=total, sentence=self.phrase(question=question, total=total).sentence)


class Regions(dspy.Module):
    def __init__(self):
        super().__init__()
        self.tabulate = dspy.Predict("report -> table, remark")
        self.explain = dspy.Predict("region, share -> explanation")

    async def aforward(self, reports: list[str]):
        made = await asyncio.gather(*[self.tabulate.acall(report=report) for report in reports])
        counts = Counter()
        for row in (row for one in made for row in csv.DictReader(io.StringIO(one.table.strip()))):
            counts[(row.get("region") or "?").strip().lower()] += int(re.sub(r"\D", "", row.get("cases") or "") or 0)
        (region, cases), *_ = counts.most_common() or [("none", 0)]
        share = f"{100 * cases / max(sum(counts.values()), 1):.0f} %"
        explained = await self.explain.acall(region=region, share=share)
        return dspy.Prediction(explanation=explained.explanation, region=region, cases=sum(counts.values()))


def four_words(_, prediction):
    return 1 / (1 + abs(len(prediction.title.split()) - 4))


class Abstract(dspy.Module):
    """The title's length chooses among attempts, the abstract of the chosen one goes on."""

    def __init__(self):
        super().__init__()
        self.best = dspy.BestOfN(dspy.Predict("findings -> title, abstract"), N=2, reward_fn=four_words, threshold=2.0)
        self.keywords = dspy.Predict("abstract -> keywords: list[str]")

    def forward(self, findings: str):
        written = self.best(findings=findings)
        keywords = self.keywords(abstract=written.abstract).keywords
        return dspy.Prediction(title=written.title.title(), keywords=sorted({word.lower() for word in keywords}))


class Quorum(dspy.Module):
    def __init__(self):
        super().__init__()
        self.panel = [
            dspy.Predict("claim -> vote: Literal['true', 'false', 'unsure'], confidence: int") for _ in range(3)
        ]
        self.arbiter = dspy.Predict("claim, tally -> vote: Literal['true', 'false']")

    async def aforward(self, claim: str):
        votes = await asyncio.gather(*(member.acall(claim=claim) for member in self.panel))
        score = sum(SIGNS[one.vote] * one.confidence for one in votes)
        if abs(score) >= 50:
            return dspy.Prediction(verdict="true" if score > 0 else "false")
        tally = "{} for, {} against".format(*(sum(one.vote == side for one in votes) for side in ("true", "false")))
        return dspy.Prediction(verdict=(await self.arbiter.acall(claim=claim, tally=tally)).vote)


def mean(numbers: list[float]) -> float:
    """The mean of some numbers."""
    return st.fmean(numbers)


def share(part: float, whole: float) -> str:
    """A part of a whole in percent."""
    return f"{100 * part / whole:.1f} %"


ASK: Any = "table, question -> value: float"


class Analyst(dspy.Module):
    def __init__(self):
        super().__init__()
        tools = [dspy.Tool(mean), dspy.Tool(share, name="percent")]
        self.agent = dspy.ReAct(ASK, tools=tools, max_iters=3)
        self.check = dspy.Predict("question, value: float -> plausible: bool, objection")
        self.redo = dspy.ChainOfThought("table, question, objection -> value: float")

    def forward(self, table: str, question: str):
        value = self.agent(table=table, question=question).value
        checked = self.check(question=question, value=value)
        if not checked.plausible:
            again = self.redo(table=table, question=question, objection=checked.objection).value
            value = reduce(min, (value, again))
        return dspy.Prediction(value=round(value, 1))
