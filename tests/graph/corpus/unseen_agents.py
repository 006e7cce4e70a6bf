"""Agents, supervisors and reviewers as users write them; written without sight of any tracer."""

import json
import sqlite3
from typing import Any

import dspy

from .base import case

REQUEST_TO_ADVICE: Any = "request -> advice"
WORD_TO_ORIGIN: Any = "word -> origin"
TOOLS = {"count": lambda text: len(text.split()), "reverse": lambda text: text[::-1]}


def timetable(place: str) -> str:
    """Tell when the boat to a place leaves."""
    return {"Island": "noon and six", "Cape": "never"}.get(place, "no such place")


def fare(place: str, children: int) -> float:
    """Compute the fare to a place."""
    return {"Island": 9.0, "Cape": 20.0}[place] + 4.5 * children


async def dictionary(word: str) -> str:
    """Look up a word."""
    return {"skipper": "from Middle Dutch schipper"}.get(word.lower(), "not listed")


class TravelDesk(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.clarify = dspy.Predict("message -> request")
        self.agent = dspy.ReAct(REQUEST_TO_ADVICE, tools=[timetable, fare], max_iters=4)

    def forward(self, message: str) -> dspy.Prediction:
        done = self.agent(request=self.clarify(message=message).request)
        return dspy.Prediction(advice=done.advice, first_seen=done.trajectory["observation_0"])


class AsyncEtymology(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct(WORD_TO_ORIGIN, tools=[dictionary], max_iters=2)
        self.entry = dspy.Predict("word, origin -> entry")

    async def aforward(self, word: str) -> dspy.Prediction:
        origin = (await self.agent.acall(word=word)).origin
        return await self.entry.acall(word=word, origin=origin.split(",")[0])


class PlanActVerify(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("goal -> steps: list[str]")
        self.act = dspy.Predict("step, previous -> result")
        self.verify = dspy.Predict("goal, results -> missing: list[str]")
        self.report = dspy.Predict("results -> report")

    def forward(self, goal: str) -> dspy.Prediction:
        results: list[str] = []
        self.work_off(self.plan(goal=goal).steps, results)
        self.work_off(self.verify(goal=goal, results=" / ".join(results)).missing, results)
        return dspy.Prediction(report=self.report(results=" / ".join(results)).report)

    def work_off(self, steps: list[str], results: list[str]) -> None:
        for step in steps:
            results.append(self.act(step=step, previous=results[-1] if results else "none").result)


class JsonActions(dspy.Module):
    """An agent without ReAct: actions are JSON, and what is no JSON is told back."""

    def __init__(self) -> None:
        super().__init__()
        self.act = dspy.Predict("task, observations -> action")

    def forward(self, task: str) -> dspy.Prediction:
        seen: list[str] = []
        for _ in range(4):
            raw = self.act(task=task, observations="\n".join(seen) or "none").action
            try:
                action = json.loads(raw)
                if action["tool"] == "answer":
                    return dspy.Prediction(answer=str(action["input"]))
                seen.append(f"observed {TOOLS[action['tool']](action['input'])}")
            except (json.JSONDecodeError, KeyError) as error:
                seen.append(f"{type(error).__name__}: {error}")
        return dspy.Prediction(answer="gave up")


class RowsIntoSqlite(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("notes -> goods: list[dict[str, str]]")
        self.query = dspy.Predict("question -> sql")
        self.answer = dspy.Predict("question, table -> answer")

    def forward(self, notes: str, question: str) -> dspy.Prediction:
        base = sqlite3.connect(":memory:")
        base.execute("create table goods (name text, price real)")
        for row in self.extract(notes=notes).goods:
            base.execute("insert into goods values (?, ?)", (row.get("name"), row.get("price")))
        sql = self.query(question=question).sql
        try:
            table = json.dumps(base.execute(sql).fetchall())
        except sqlite3.Error as error:
            table = f"error: {error}"
        (n_rows,) = base.execute("select count(*) from goods").fetchone()
        base.close()
        return dspy.Prediction(answer=self.answer(question=question, table=table).answer, n_rows=n_rows)


class Supervisor(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose = dspy.Predict("task, board -> worker: Literal['researcher', 'writer', 'FINISH']")
        self.workers = {name: dspy.Predict("task, board -> note") for name in ("researcher", "writer")}

    def forward(self, task: str) -> dspy.Prediction:
        board: dict[str, str] = {}
        for _ in range(4):
            worker = self.choose(task=task, board=json.dumps(board)).worker
            if worker == "FINISH":
                break
            board[worker] = self.workers[worker](task=task, board=json.dumps(board)).note
        return dspy.Prediction(text=board.get("writer", "nothing written"))


class Reviewers(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("brief -> text")
        self.reviewers = {name: dspy.Predict("text -> ok: bool, comment") for name in ("legal", "style", "facts")}
        self.revise = dspy.Predict("text, comments -> revised")

    def forward(self, brief: str) -> dspy.Prediction:
        text = self.draft(brief=brief).text
        reviews = {name: reviewer(text=text) for name, reviewer in self.reviewers.items()}
        objections = [f"- {name}: {review.comment}" for name, review in reviews.items() if not review.ok]
        if objections:
            text = self.revise(text=text, comments="\n".join(objections)).revised
        return dspy.Prediction(text=text, n_objections=len(objections))


def share_of_keywords(args: dict[str, Any], prediction: dspy.Prediction) -> float:
    wanted = args["brief"].lower().split()
    return sum(word in prediction.slogan.lower() for word in wanted) / max(len(wanted), 1)


class SloganUntilComplete(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.outline = dspy.Predict("product -> brief")
        self.best = dspy.BestOfN(dspy.Predict("brief -> slogan"), N=3, reward_fn=share_of_keywords, threshold=1.0)
        self.translate = dspy.Predict("slogan -> danish")

    def forward(self, product: str) -> dspy.Prediction:
        slogan = self.best(brief=self.outline(product=product).brief).slogan
        return dspy.Prediction(danish=self.translate(slogan=slogan).danish)


class SortedAttempts(dspy.Module):
    """Experts' attempts, the shortest first, before they are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = {name: dspy.ChainOfThought("complaint -> answer") for name in ("doctor", "nurse")}
        self.compare = dspy.MultiChainComparison("complaint -> answer", M=2)

    def forward(self, complaint: str) -> dspy.Prediction:
        attempts = [expert(complaint=complaint) for expert in self.experts.values()]
        attempts.sort(key=lambda attempt: len(attempt.answer))
        return dspy.Prediction(answer=self.compare(attempts, complaint=complaint).answer)


class Companion(dspy.Module):
    """Remembers one fact a topic, also from one run to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.learn = dspy.Predict("message -> topic, fact")
        self.reply = dspy.Predict("message, known -> reply")
        self.known: dict[str, str] = {}

    def forward(self, messages: list[str]) -> dspy.Prediction:
        replies = []
        for message in messages:
            learned = self.learn(message=message)
            self.known[learned.topic.strip().lower()] = learned.fact
            known = "; ".join(f"{topic} = {fact}" for topic, fact in self.known.items())
            replies.append(self.reply(message=message, known=known).reply)
        return dspy.Prediction(replies=replies)


def step(thought: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": arguments}


def whole(call: str) -> str:
    return ", ".join(f"agent.react[{call}].next_{part}" for part in ("thought", "tool_name", "tool_args"))


ATTEMPT = "compare.predict[0].reasoning_attempt"

CASES = (
    case(
        "react-clarified",
        TravelDesk,
        {"message": "we want to go to the island, me and the two kids, how?"},
        {
            "clarify": {"request": "How does an adult with two children get to the Island?"},
            "agent.react": [
                step("When does it leave?", "timetable", place="Island"),
                step("What is the fare?", "fare", place="Island", children=2),
                step("I have both.", "finish"),
            ],
            "agent.extract.predict": {"reasoning": "9 and twice 4.5", "advice": "At noon, for 18.0."},
        },
        data=f"""clarify[0].request -> agent.react[0].request, agent.react[1].request, agent.react[2].request
                 clarify[0].request -> agent.extract.predict[0].request
                 {whole("0")} -> agent.react[1].trajectory, agent.react[2].trajectory
                 {whole("1")} -> agent.react[2].trajectory
                 {whole("0")} -> agent.extract.predict[0].trajectory
                 {whole("1")} -> agent.extract.predict[0].trajectory
                 {whole("2")} -> agent.extract.predict[0].trajectory""",
        output="""agent.extract.predict[0].advice -> advice
                  agent.react[0].next_tool_name, agent.react[0].next_tool_args -> first_seen""",
        control="""agent.react[0].next_tool_name -> agent.react[1]
                   agent.react[1].next_tool_name -> agent.react[2]""",
        allowed="agent.react[0].next_tool_name -> agent.react[2]",
        note="The rewritten request goes into every step, and the first observation of a tool leaves by itself.",
    ),
    case(
        "react-async",
        AsyncEtymology,
        {"word": "skipper"},
        {
            "agent.react": [step("I look it up.", "dictionary", word="Skipper"), step("Enough.", "finish")],
            "agent.extract.predict": {"reasoning": "It says so.", "origin": "Middle Dutch, schipper"},
            "entry": {"entry": "skipper: Middle Dutch"},
        },
        data=f"""agent.react[0].next_thought, agent.react[0].next_tool_args -> agent.react[1].trajectory
                 {whole("0")} -> agent.extract.predict[0].trajectory
                 {whole("1")} -> agent.extract.predict[0].trajectory
                 agent.extract.predict[0].origin -> entry[0].origin""",
        output="entry[0].entry -> entry",
        control="agent.react[0].next_tool_name -> agent.react[1]",
        allowed="agent.react[0].next_tool_name -> agent.react[1].trajectory",
        note="ReAct with an async tool; with one tool only, the first name can change the next step by dropping it.",
        style="async",
    ),
    case(
        "plan-act-verify",
        PlanActVerify,
        {"goal": "a soup for ten"},
        {
            "plan": {"steps": ["buy leeks", "boil water"]},
            "act": [{"result": "leeks bought"}, {"result": "water boils"}, {"result": "salt added"}],
            "verify": {"missing": ["add salt"]},
            "report": {"report": "The soup is ready."},
        },
        data="""plan[0].steps -> act[0].step, act[1].step
                act[0].result -> act[1].previous
                act[0].result, act[1].result -> verify[0].results
                verify[0].missing -> act[2].step
                act[1].result -> act[2].previous
                act[0].result, act[1].result, act[2].result -> report[0].results""",
        output="report[0].report -> report",
        allowed="""plan[0].steps -> act[0], act[1], act[2], act[2].step, act[2].previous
                   plan[0].steps -> verify[0].results, report[0].results
                   verify[0].missing -> act[2], report[0].results""",
        note="One predictor works off two lists; each step sees the result before it, also across the lists.",
    ),
    case(
        "json-actions",
        JsonActions,
        {"task": "How many words has 'a rose is a rose'?"},
        {
            "act": [
                {"action": '{"tool": "count", "input": "a rose is a rose"'},
                {"action": '{"tool": "count", "input": "a rose is a rose"}'},
                {"action": '{"tool": "answer", "input": 5}'},
            ]
        },
        data="""act[0].action -> act[1].observations, act[2].observations
                act[1].action -> act[2].observations""",
        output="act[2].action -> answer",
        control="""act[0].action -> act[1]
                   act[1].action -> act[2]""",
        allowed="""act[0].action -> act[2]
                   act[0].action, act[1].action -> answer""",
        note="A parser's complaint and a tool's result are what the next call sees; no action text goes on.",
    ),
    case(
        "rows-into-sqlite",
        RowsIntoSqlite,
        {"notes": "rope 12, lamp 30, tar", "question": "What costs most?"},
        {
            "extract": {"goods": [{"name": "rope", "price": "12"}, {"name": "lamp", "price": "30"}, {"name": "tar"}]},
            "query": {"sql": "select name, price from goods order by price desc limit 1"},
            "answer": {"answer": "The lamp, for 30."},
        },
        data="extract[0].goods, query[0].sql -> answer[0].table",
        output="""extract[0].goods -> n_rows
                  answer[0].answer -> answer""",
        allowed="query[0].sql -> n_rows",
        note="The rows of one call and the query of another meet in a database; neither stands in the result as such.",
    ),
    case(
        "supervisor-board",
        Supervisor,
        {"task": "a note on lighthouses"},
        {
            "choose": [{"worker": "researcher"}, {"worker": "writer"}, {"worker": "FINISH"}],
            "workers['researcher']": {"note": "The oldest is in Spain."},
            "workers['writer']": {"note": "In Spain stands the oldest lighthouse."},
        },
        data="""choose[0].worker, workers['researcher'][0].note -> choose[1].board
                workers['researcher'][0].note -> workers['writer'][0].board, choose[2].board
                workers['writer'][0].note -> choose[2].board""",
        output="workers['writer'][0].note -> text",
        control="""choose[0].worker -> workers['researcher'][0], choose[1]
                   choose[1].worker -> workers['writer'][0], choose[2]""",
        allowed="""choose[0].worker -> workers['writer'][0], workers['writer'][0].board, choose[2], choose[2].board
                   choose[1].worker -> choose[2].board
                   choose[0].worker, choose[1].worker, choose[2].worker -> text""",
        note="The chosen name picks a worker, is a key of the board that everyone reads, and in the end stops.",
    ),
    case(
        "veto-of-reviewers",
        Reviewers,
        {"brief": "announce the regatta"},
        {
            "draft": {"text": "There will be a regatta, and it will be the best of all regattas."},
            "reviewers['legal']": {"ok": True, "comment": "fine"},
            "reviewers['style']": {"ok": False, "comment": "too long"},
            "reviewers['facts']": {"ok": False, "comment": "no day is given"},
            "revise": {"revised": "Regatta on Sunday!"},
        },
        data="""draft[0].text -> reviewers['legal'][0].text, reviewers['style'][0].text, reviewers['facts'][0].text
                draft[0].text -> revise[0].text
                reviewers['legal'][0].ok, reviewers['style'][0].ok, reviewers['facts'][0].ok -> revise[0].comments
                reviewers['style'][0].comment, reviewers['facts'][0].comment -> revise[0].comments""",
        output="""revise[0].revised -> text
                  reviewers['legal'][0].ok, reviewers['style'][0].ok, reviewers['facts'][0].ok -> n_objections""",
        allowed="""reviewers['legal'][0].ok, reviewers['style'][0].ok, reviewers['facts'][0].ok -> revise[0], text""",
        note="Flags filter the comments; two vetoes mean that none of them decides on the revision alone.",
    ),
    case(
        "slogan-until-complete",
        SloganUntilComplete,
        {"product": "dried apples"},
        {
            "outline": {"brief": "Apples Crisp"},
            "best.module": [{"slogan": "Apples, always."}, {"slogan": "Crisp as apples can be."}],
            "translate": {"danish": "Sprød som et æble."},
        },
        data="""outline[0].brief -> best.module[0].brief, best.module[1].brief
                best.module[1].slogan -> translate[0].slogan""",
        output="translate[0].danish -> danish",
        control="outline[0].brief, best.module[0].slogan -> best.module[1]",
        allowed="outline[0].brief, best.module[0].slogan -> translate[0].slogan",
        note="The reward compares the slogan with the brief, so both decide on the second attempt of BestOfN.",
    ),
    case(
        "sorted-attempts",
        SortedAttempts,
        {"complaint": "a cold"},
        {
            "experts['doctor'].predict": {"reasoning": "Nothing else helps.", "answer": "rest and tea"},
            "experts['nurse'].predict": {"reasoning": "It is at hand.", "answer": "tea"},
            "compare.predict": {"rationale": "Both say tea.", "answer": "tea"},
        },
        data=f"""experts['nurse'].predict[0].reasoning -> {ATTEMPT}_1
                 experts['doctor'].predict[0].reasoning -> {ATTEMPT}_2
                 experts['nurse'].predict[0].answer, experts['doctor'].predict[0].answer -> {ATTEMPT}_1, {ATTEMPT}_2""",
        output="compare.predict[0].answer -> answer",
        note="The answers' lengths order the attempts, so each answer can move both; a reasoning fills its own place.",
    ),
    case(
        "memory-by-topic",
        Companion,
        {"messages": ["I have a dog.", "Not any more: a cat it is."]},
        {
            "learn": [{"topic": "pet", "fact": "a dog"}, {"topic": "Pet", "fact": "a cat, no longer a dog"}],
            "reply": [{"reply": "What is its name?"}, {"reply": "Cats are fine, too."}],
        },
        data="""learn[0].topic, learn[0].fact -> reply[0].known
                learn[0].topic, learn[1].topic, learn[1].fact -> reply[1].known""",
        output="reply[0].reply, reply[1].reply -> replies",
        note="The second fact takes the first one's place and mentions it; the first topic still counts.",
        pure=False,
    ),
)
