"""Threads, tasks, nested types, histories, predictors without a name and short sentences; the edges were written
before a tracer saw the programs."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import dspy
import pydantic

from .base import Case, case

TOPIC_TO_PART: Any = dspy.Signature("topic -> part")  # pyright: ignore[reportCallIssue]


class Item(pydantic.BaseModel):
    name: str
    count: int


class Order(pydantic.BaseModel):
    customer: str
    items: list[Item]


class Extract(dspy.Signature):
    """Read an order."""

    mail: str = dspy.InputField()
    order: Order = dspy.OutputField()


class Nested(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict(Extract)
        self.price = dspy.Predict("name -> price: float")
        self.confirm = dspy.Predict("customer, total: float -> letter")

    def forward(self, mail: str) -> dspy.Prediction:
        order = self.extract(mail=mail).order
        total = sum(self.price(name=item.name).price * item.count for item in order.items)
        return self.confirm(customer=order.customer, total=total)


class Unlisted(dspy.Module):
    """Two predictors two containers deep: DSPy lists none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = {"en": [{"draft": dspy.Predict("topic -> text")}, {"polish": dspy.Predict("text -> final")}]}

    def forward(self, topic: str) -> dspy.Prediction:
        draft, polish = self.steps["en"]
        return polish["polish"](text=draft["draft"](topic=topic).text.upper())


class MadeOnTheWay(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.close = dspy.Predict("parts: list[str] -> text")

    def forward(self, topic: str, kinds: list[str]) -> dspy.Prediction:
        made = {kind: dspy.Predict(TOPIC_TO_PART.with_instructions(f"Write a {kind}.")) for kind in kinds}
        return self.close(parts=[predictor(topic=topic).part for predictor in made.values()])


class Sentence(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.colour = dspy.Predict("thing -> colour")
        self.check = dspy.Predict("claim -> verdict")
        self.say = dspy.Predict("verdict_in_words -> answer")

    def forward(self, thing: str) -> dspy.Prediction:
        verdict = self.check(claim=f"Is {self.colour(thing=thing).colour} ok?").verdict
        return self.say(verdict_in_words=f"It said {verdict}.")


class Figures(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = dspy.Predict("text -> found: int, total: int")
        self.tell = dspy.Predict("line -> answer")

    def forward(self, text: str) -> dspy.Prediction:
        counted: Any = self.count(text=text)
        return self.tell(line=f"{counted.found} of {counted.total}")


class Pool(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gist = dspy.Predict("document -> gist")
        self.merge = dspy.Predict("gists -> summary")

    def forward(self, documents: list[str]) -> dspy.Prediction:
        with ThreadPoolExecutor(3) as pool:
            gists = list(pool.map(lambda one: self.gist(document=one).gist, documents))
        return self.merge(gists="\n".join(gists))


class Futures(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = {name: dspy.Predict("question -> view") for name in ("law", "money")}
        self.decide = dspy.Predict("views -> decision")

    def forward(self, question: str) -> dspy.Prediction:
        with ThreadPoolExecutor(2) as pool:
            futures = {pool.submit(expert, question=question): name for name, expert in self.experts.items()}
            views = {futures[one]: one.result().view for one in as_completed(futures)}
        return self.decide(views=f"law: {views['law']}; money: {views['money']}")


class Gather(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("question -> queries: list[str]")
        self.search = dspy.Predict("query -> found")
        self.answer = dspy.Predict("found: list[str] -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        turn = asyncio.Semaphore(2)

        async def one(query: str) -> str:
            async with turn:
                return (await self.search.acall(query=query)).found

        queries = (await self.plan.acall(question=question)).queries
        return await self.answer.acall(found=await asyncio.gather(*map(one, queries)))


class Streams(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.next = dspy.Predict("so_far -> line")

    async def lines(self) -> AsyncIterator[str]:
        so_far = "nothing"
        for _ in range(3):
            so_far = (await self.next.acall(so_far=so_far)).line
            yield so_far

    async def aforward(self) -> dspy.Prediction:
        return dspy.Prediction(poem=" / ".join([line async for line in self.lines()]))


class Best(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.propose = dspy.Predict("task, seed: int -> idea")
        self.score = dspy.Predict("idea -> score: float")

    def forward(self, task: str) -> dspy.Prediction:
        ideas = [self.propose(task=task, seed=seed).idea for seed in range(3)]
        scores = [self.score(idea=idea).score for idea in ideas]
        best = max(range(3), key=scores.__getitem__)
        return dspy.Prediction(idea=ideas[best])


class Talks(dspy.Module):
    """A conversation of which only the last turns are kept, the others as a summary."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("history: dspy.History, summary, message -> reply")
        self.shorten = dspy.Predict("summary_before, turn -> summary")

    def forward(self, messages: list[str]) -> dspy.Prediction:
        turns: list[dict[str, Any]] = []
        summary = "none"
        for message in messages:
            history = dspy.History(messages=list(turns))
            turns.append(
                {"message": message, "reply": self.reply(history=history, summary=summary, message=message).reply}
            )
            if len(turns) > 1:
                summary = self.shorten(summary_before=summary, turn=str(turns.pop(0))).summary
        return dspy.Prediction(reply=turns[-1]["reply"])


@dataclass
class Board:
    notes: dict[str, list[str]] = field(default_factory=dict)
    rounds: int = 0


class Boards(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.roles = {name: dspy.Predict("board -> note") for name in ("author", "editor")}

    def forward(self, topic: str) -> dspy.Prediction:
        board = Board({"topic": [topic]})
        for name, role in self.roles.items():
            board.rounds += 1
            board.notes.setdefault(name, []).append(role(board=repr(board)).note)
        return dspy.Prediction(text=board.notes["editor"][-1], rounds=board.rounds)


def _by_text(name: str, **texts: Any) -> Any:
    """Answers by a word that stands in the inputs."""
    return lambda inputs: next({name: value} for word, value in texts.items() if word in str(inputs))


CASES: tuple[Case, ...] = (
    case(
        "an-order-in-nested-types",
        Nested,
        {"mail": "Ann wants two ropes and a lamp"},
        {
            "extract": {
                "order": {"customer": "Ann", "items": [{"name": "rope", "count": 2}, {"name": "lamp", "count": 1}]}
            },
            "price": _by_text("price", rope=12.0, lamp=30.0),
            "confirm": {"letter": "Dear Ann, that is 54."},
        },
        data="""extract[0].order -> price[0].name, price[1].name, confirm[0].customer, confirm[0].total
                price[0].price, price[1].price -> confirm[0].total""",
        output="confirm[0].letter -> letter",
        allowed="extract[0].order -> price[0], price[1]",
        note="Parts of a typed answer go several ways, one of them by arithmetic.",
    ),
    case(
        "predictors-two-containers-deep",
        Unlisted,
        {"topic": "fog"},
        {"?": [{"text": "fog is a soft coat"}, {"final": "Fog: a soft coat."}]},
        data="?[0].text -> ?[1].text",
        output="?[1].final -> final",
        note="DSPy lists neither predictor; they are two, and one reads the other.",
    ),
    case(
        "predictors-made-on-the-way",
        MadeOnTheWay,
        {"topic": "fog", "kinds": ["title", "verse"]},
        {"?": [{"part": "Of Fog"}, {"part": "It came on little feet"}], "close": {"text": "Of Fog. It came."}},
        data="?[0].part, ?[1].part -> close[0].parts",
        output="close[0].text -> text",
        note="Predictors that exist only while forward runs.",
    ),
    case(
        "a-word-in-a-short-sentence",
        Sentence,
        {"thing": "the buoy"},
        {"colour": {"colour": "red"}, "check": {"verdict": "yes"}, "say": {"answer": "Red will do."}},
        data="colour[0].colour -> check[0].claim\ncheck[0].verdict -> say[0].verdict_in_words",
        output="say[0].answer -> answer",
        note="Three letters stand in a short sentence.",
    ),
    case(
        "two-figures-in-a-line",
        Figures,
        {"text": "7 of 9 lamps burn"},
        {"count": {"found": 7, "total": 9}, "tell": {"answer": "Most of them."}},
        data="count[0].found, count[0].total -> tell[0].line",
        output="tell[0].answer -> answer",
        note="The figures stand in the program's input too.",
    ),
    case(
        "a-bare-pool-of-threads",
        Pool,
        {"documents": ["the harbour of Brest", "a recipe for soup", "the lighthouse"]},
        {
            "gist": _by_text("gist", Brest="a harbour", soup="how to cook", lighthouse="a light"),
            "merge": {"summary": "Sea and soup."},
        },
        data="gist[0].gist, gist[1].gist, gist[2].gist -> merge[0].gists",
        output="merge[0].summary -> summary",
        note="A pool of the standard library, without DSPy's context.",
    ),
    case(
        "futures-as-they-come",
        Futures,
        {"question": "Shall we sail?"},
        {
            "experts['law']": {"view": "it is allowed"},
            "experts['money']": {"view": "it costs a lot"},
            "decide": {"decision": "We stay."},
        },
        data="experts['law'][0].view, experts['money'][0].view -> decide[0].views",
        output="decide[0].decision -> decision",
        note="Two predictors at once, taken in the order in which they finish.",
    ),
    case(
        "gathered-tasks",
        Gather,
        {"question": "What is by the sea?"},
        {
            "plan": {"queries": ["harbours", "lighthouses", "beaches"]},
            "search": _by_text("found", harbours="Brest has one", lighthouses="Ouessant has five", beaches="many"),
            "answer": {"answer": "Harbours, lights and sand."},
        },
        data="""plan[0].queries -> search[0].query, search[1].query, search[2].query
                search[0].found, search[1].found, search[2].found -> answer[0].found""",
        output="answer[0].answer -> answer",
        allowed="plan[0].queries -> search[0], search[1], search[2], answer[0].found",
        note="Tasks of a list that the first answer made, two at a time.",
        style="async",
    ),
    case(
        "an-asynchronous-generator",
        Streams,
        {},
        {"next": [{"line": "fog comes"}, {"line": "it sits"}, {"line": "and moves on"}]},
        data="next[0].line -> next[1].so_far\nnext[1].line -> next[2].so_far",
        output="next[0].line, next[1].line, next[2].line -> poem",
        note="Lines are yielded to whoever awaits them, each written from the one before.",
        style="async",
    ),
    case(
        "the-best-by-score",
        Best,
        {"task": "a name for a boat"},
        {
            "propose": [{"idea": "Gull"}, {"idea": "Sea Wind"}, {"idea": "Boat"}],
            "score": _by_text("score", Gull=0.6, Wind=0.9, Boat=0.5),
        },
        data="""propose[0].idea -> score[0].idea
                propose[1].idea -> score[1].idea
                propose[2].idea -> score[2].idea""",
        output="""propose[1].idea -> idea
                  score[0].score, score[1].score, score[2].score -> idea""",
        allowed="propose[0].idea, propose[2].idea -> idea",
        note="The scores choose, and the text that is chosen leaves.",
    ),
    case(
        "a-conversation-that-is-shortened",
        Talks,
        {"messages": ["Hello", "Is there fog?", "And tomorrow?"]},
        {
            "reply": [{"reply": "Good day to you"}, {"reply": "Yes, thick fog"}, {"reply": "It will be clear"}],
            "shorten": [{"summary": "They greeted."}, {"summary": "They spoke of fog."}],
        },
        data="""reply[0].reply -> reply[1].history, shorten[0].turn
                shorten[0].summary -> reply[2].summary, shorten[1].summary_before
                reply[1].reply -> reply[2].history, shorten[1].turn""",
        output="reply[2].reply -> reply",
        note="Turns leave the history and live on in a summary.",
    ),
    case(
        "a-board-of-notes",
        Boards,
        {"topic": "fog"},
        {"roles['author']": {"note": "Fog is soft"}, "roles['editor']": {"note": "Fog is a soft coat"}},
        data="roles['author'][0].note -> roles['editor'][0].board",
        output="roles['editor'][0].note -> text",
        note="A dataclass is printed whole for each reader.",
    ),
)
