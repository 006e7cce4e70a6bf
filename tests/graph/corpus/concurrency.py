"""Programs whose calls run at the same time: tasks, threads, batches."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy

from .base import case


class TwoViews(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.facts = dspy.Predict("question -> text")
        self.story = dspy.Predict("question -> text")
        self.blend = dspy.Predict("facts, story -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        facts, story = await asyncio.gather(self.facts.acall(question=question), self.story.acall(question=question))
        return await self.blend.acall(facts=facts.text, story=story.text)


class AsyncMap(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("topic -> questions: list[str]")
        self.answer = dspy.ChainOfThought("question -> answer")
        self.write = dspy.Predict("notes -> article")

    async def aforward(self, topic: str) -> dspy.Prediction:
        limit = asyncio.Semaphore(2)

        async def ask(question: str) -> str:
            async with limit:
                return (await self.answer.acall(question=question)).answer

        questions = (await self.plan.acall(topic=topic)).questions
        answers = await asyncio.gather(*(ask(question) for question in questions))
        written = await self.write.acall(notes="\n".join(f"* {answer}" for answer in answers))
        return dspy.Prediction(article=written.article)


class AsyncLoop(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.search = dspy.Predict("goal, known -> finding, enough: bool")
        self.report = dspy.Predict("known -> report")

    async def aforward(self, goal: str) -> dspy.Prediction:
        known: list[str] = []
        for _ in range(3):
            found = await self.search.acall(goal=goal, known=" | ".join(known))
            known.append(found.finding)
            if found.enough:
                break
        return await self.report.acall(known=" | ".join(known))


class AsyncPipe(dspy.Module):
    """A producer and a consumer with a queue between them."""

    def __init__(self) -> None:
        super().__init__()
        self.produce = dspy.Predict("number: int -> word")
        self.rhyme = dspy.Predict("word -> rhyme")

    async def aforward(self, amount: int) -> dspy.Prediction:
        words: asyncio.Queue[str | None] = asyncio.Queue()
        rhymes: list[str] = []

        async def producer() -> None:
            for number in range(amount):
                await words.put((await self.produce.acall(number=number)).word)
            await words.put(None)

        async def consumer() -> None:
            while (word := await words.get()) is not None:
                rhymes.append((await self.rhyme.acall(word=word)).rhyme)

        await asyncio.gather(producer(), consumer())
        return dspy.Prediction(rhymes=rhymes)


class ParallelMap(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.split = dspy.Predict("text -> claims: list[str]")
        self.verify = dspy.Predict("claim -> verdict")
        self.judge = dspy.Predict("verdicts: list[str] -> judgement")

    def forward(self, text: str) -> dspy.Prediction:
        claims = self.split(text=text).claims
        parallel = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        checked = parallel([(self.verify, {"claim": claim}) for claim in claims])
        verdicts = [one.verdict for one in checked]
        return dspy.Prediction(judgement=self.judge(verdicts=verdicts).judgement)


class Grader(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grade = dspy.Predict("essay -> grade: int")
        self.praise = dspy.Predict("grade: int -> praise")

    def forward(self, essay: str) -> dspy.Prediction:
        grade = self.grade(essay=essay).grade
        return dspy.Prediction(grade=grade, praise=self.praise(grade=grade).praise)


class ClassReport(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grader = Grader()
        self.summarize = dspy.Predict("mean_grade -> summary")

    def forward(self, essays: list[str]) -> dspy.Prediction:
        examples = [dspy.Example(essay=essay).with_inputs("essay") for essay in essays]
        graded: list[Any] = list(self.grader.batch(examples, num_threads=2, disable_progress_bar=True))
        mean = sum(one.grade for one in graded) / len(graded)
        summary = self.summarize(mean_grade=f"{mean:.2f}").summary
        return dspy.Prediction(summary=summary, remarks=[one.praise for one in graded])


class InThreads(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.translate = dspy.Predict("text, language -> translation")
        self.compare = dspy.Predict("french, german -> remark")

    def forward(self, text: str) -> dspy.Prediction:
        def translate(language: str) -> str:
            return self.translate(text=text, language=language).translation

        with ThreadPoolExecutor(max_workers=2) as pool:
            futures = [
                pool.submit(contextvars.copy_context().run, translate, language) for language in ("French", "German")
            ]
            french, german = (future.result() for future in futures)
        return dspy.Prediction(remark=self.compare(french=french, german=german).remark)


class Asyncified(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pro = dspy.Predict("motion -> speech")
        self.con = dspy.Predict("motion, against -> speech")
        self.chair = dspy.Predict("speeches -> result")

    async def aforward(self, motion: str) -> dspy.Prediction:
        asyncify: Callable[..., Any] = dspy.asyncify
        pro = await asyncify(self.pro)(motion=motion)
        con = await asyncify(self.con)(motion=motion, against=pro.speech)
        ruled = await asyncify(self.chair)(speeches=f"FOR {pro.speech}\nAGAINST {con.speech}")
        return dspy.Prediction(result=ruled.result)


class AsyncInside(dspy.Module):
    """Synchronous from outside, with an event loop of its own inside."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question, role -> answer")
        self.pick = dspy.Predict("answers -> best")

    def forward(self, question: str) -> dspy.Prediction:
        answers = asyncio.run(self.ask_all(question))
        return dspy.Prediction(best=self.pick(answers="\n".join(answers[1:])).best)

    async def ask_all(self, question: str) -> list[str]:
        roles = ("cook", "doctor", "child")
        made = await asyncio.gather(*(self.ask.acall(question=question, role=role) for role in roles))
        return [one.answer for one in made]


class StopWhenSure(dspy.Module):
    """Two scouts at a time, the rest only if neither is sure."""

    def __init__(self) -> None:
        super().__init__()
        self.scouts = [dspy.Predict("chart -> path, sure: bool") for _ in range(3)]
        self.walk = dspy.Predict("path -> diary")

    async def aforward(self, chart: str) -> dspy.Prediction:
        left, right = await asyncio.gather(*(scout.acall(chart=chart) for scout in self.scouts[:2]))
        path = left.path if left.sure else right.path
        if not (left.sure or right.sure):
            path = (await self.scouts[2].acall(chart=chart)).path
        return await self.walk.acall(path=path)


CASES = (
    case(
        "gather-two",
        TwoViews,
        {"question": "What is fog?"},
        {
            "facts": {"text": "Drops of water."},
            "story": {"text": "A cloud came down."},
            "blend": {"answer": "A low cloud."},
        },
        data="""facts[0].text -> blend[0].facts
                story[0].text -> blend[0].story""",
        output="blend[0].answer -> answer",
        note="Async only; two calls with one signature run side by side, so order says nothing about them.",
        style="async",
    ),
    case(
        "gather-over-a-list",
        AsyncMap,
        {"topic": "tides"},
        {
            "plan": {"questions": ["What pulls?", "How often?", "How high?"]},
            "answer.predict": lambda inputs: {
                "reasoning": "easy",
                "answer": f"[{inputs['question']}] see the moon",
            },
            "write": {"article": "The moon pulls."},
        },
        data="""
            plan[0].questions -> answer.predict[0].question, answer.predict[1].question
            plan[0].questions -> answer.predict[2].question
            answer.predict[0].answer, answer.predict[1].answer, answer.predict[2].answer -> write[0].notes""",
        output="write[0].article -> article",
        allowed="""plan[0].questions -> answer.predict[0], answer.predict[1], answer.predict[2]
                   plan[0].questions -> write[0].notes""",
        note="A semaphore lets two of three calls run at once; each answer repeats its question.",
        style="async",
    ),
    case(
        "async-loop",
        AsyncLoop,
        {"goal": "find the owner of the cat"},
        {
            "search": [
                {"finding": "a collar", "enough": False},
                {"finding": "a phone number", "enough": True},
            ],
            "report": {"report": "Call the number."},
        },
        data="""search[0].finding -> search[1].known
                search[0].finding, search[1].finding -> report[0].known""",
        output="report[0].report -> report",
        control="search[0].enough -> search[1]",
        allowed="search[0].enough, search[1].enough -> report[0].known",
        note="The findings pile up in a list, and a flag ends the loop.",
        style="async",
    ),
    case(
        "producer-and-consumer",
        AsyncPipe,
        {"amount": 3},
        {
            "produce": lambda inputs: {"word": {"0": "cat", "1": "moon"}.get(inputs["number"], "light")},
            "rhyme": lambda inputs: {"rhyme": {"cat": "hat", "moon": "spoon"}.get(inputs["word"], "night")},
        },
        data="""produce[0].word -> rhyme[0].word
                produce[1].word -> rhyme[1].word
                produce[2].word -> rhyme[2].word""",
        output="rhyme[0].rhyme, rhyme[1].rhyme, rhyme[2].rhyme -> rhymes",
        note="Two tasks take turns over a queue, so calls of both predictors overlap in time.",
        style="async",
    ),
    case(
        "dspy-parallel",
        ParallelMap,
        {"text": "Ice floats. Stones swim. Birds fly."},
        {
            "split": {"claims": ["Ice floats.", "Stones swim.", "Birds fly."]},
            "verify": lambda inputs: {"verdict": "false" if "Stones" in inputs["claim"] else "true"},
            "judge": {"judgement": "mostly true"},
        },
        data="""split[0].claims -> verify[0].claim, verify[1].claim, verify[2].claim
                verify[0].verdict, verify[1].verdict, verify[2].verdict -> judge[0].verdicts""",
        output="judge[0].judgement -> judgement",
        allowed="""split[0].claims -> verify[0], verify[1], verify[2]
                   split[0].claims -> judge[0].verdicts""",
        note="Threads may start the calls in another order than the list's; two verdicts are the same word.",
    ),
    case(
        "module-batch",
        ClassReport,
        {"essays": ["I like rain.", "Rain falls because clouds cool.", "Rain."]},
        {
            "grader.grade": lambda inputs: {"grade": {"I like rain.": 5, "Rain.": 2}.get(inputs["essay"], 9)},
            "grader.praise": lambda inputs: {"praise": f"{inputs['grade']} points"},
            "summarize": {"summary": "They like rain."},
        },
        data="""
            grader.grade[0].grade -> grader.praise[0].grade
            grader.grade[1].grade -> grader.praise[1].grade
            grader.grade[2].grade -> grader.praise[2].grade
            grader.grade[0].grade, grader.grade[1].grade, grader.grade[2].grade -> summarize[0].mean_grade""",
        output="""grader.praise[0].praise, grader.praise[1].praise, grader.praise[2].praise -> remarks
                  summarize[0].summary -> summary""",
        note="Each thread runs two calls of a sub-module; small ints pair them and a mean mixes them.",
    ),
    case(
        "threads-with-context",
        InThreads,
        {"text": "good night"},
        {
            "translate": lambda inputs: {
                "translation": "bonne nuit" if inputs["language"] == "French" else "gute Nacht"
            },
            "compare": {"remark": "both wish a night"},
        },
        data="""translate[0].translation -> compare[0].french
                translate[1].translation -> compare[0].german""",
        output="compare[0].remark -> remark",
        note="A plain thread pool with a copied context: one predictor called twice at once.",
    ),
    case(
        "asyncify-chain",
        Asyncified,
        {"motion": "Naps for all."},
        {
            "pro": {"speech": "Naps help."},
            "con": {"speech": "Who says that naps help?"},
            "chair": {"result": "Carried."},
        },
        data="""pro[0].speech -> con[0].against, chair[0].speeches
                con[0].speech -> chair[0].speeches""",
        output="chair[0].result -> result",
        note="Synchronous predictors run in worker threads one after another; the second quotes the first.",
        style="async",
    ),
    case(
        "event-loop-inside",
        AsyncInside,
        {"question": "What is good for a cold?"},
        {
            "ask": lambda inputs: {"answer": {"cook": "soup", "doctor": "sleep"}.get(inputs["role"], "a blanket")},
            "pick": {"best": "sleep"},
        },
        data="ask[1].answer, ask[2].answer -> pick[0].answers",
        output="pick[0].best -> best",
        note="asyncio.run inside of forward; the first of the gathered answers is dropped.",
    ),
    case(
        "two-scouts",
        StopWhenSure,
        {"chart": "a wood with a pond"},
        {
            "scouts[0]": {"path": "round the pond", "sure": False},
            "scouts[1]": {"path": "by the mill", "sure": True},
            "scouts[2]": {"path": "straight on", "sure": False},
            "walk": {"diary": "We came by the mill."},
        },
        data="scouts[0][0].sure, scouts[1][0].path -> walk[0].path",
        output="walk[0].diary -> diary",
        allowed="scouts[1][0].sure -> walk[0].path",
        note="A flag chooses between two finished paths; the other flag could only add a call that did not happen.",
        style="async",
    ),
)
