"""Programs with a retriever, a table or a tool between two calls."""

import ast
import operator
import re
import sqlite3
from typing import Any, Literal

import dspy

from .base import case

LIBRARY = {
    "d1": "Otters hold hands while they sleep.",
    "d2": "A group of owls is called a parliament.",
    "d3": "The sea otter keeps its favourite stone under the arm.",
    "d4": "Stones of the river are polished by sand.",
}


def retrieve(query: str, k: int = 2) -> list[str]:
    """The k passages that share the most words with the query."""
    wanted = set(re.findall(r"\w+", query.lower()))
    ranked = sorted(LIBRARY.values(), key=lambda text: -len(wanted & set(re.findall(r"\w+", text.lower()))))
    return ranked[:k]


class Rag(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.make_query = dspy.Predict("question -> query")
        self.respond = dspy.ChainOfThought("context: list[str], question -> response")

    def forward(self, question: str) -> dspy.Prediction:
        context = retrieve(self.make_query(question=question).query)
        response = self.respond(context=context, question=question).response
        return dspy.Prediction(response=response, context=context)


class MultiHop(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.make_query = dspy.Predict("claim, notes: list[str] -> query")
        self.take_note = dspy.Predict("claim, context: list[str] -> note")
        self.judge = dspy.Predict("claim, passages: list[str] -> verdict")

    def forward(self, claim: str) -> dspy.Prediction:
        notes: list[str] = []
        passages: list[str] = []
        for _ in range(2):
            query = self.make_query(claim=claim, notes=notes).query
            found = retrieve(query, k=1)
            passages = list(dict.fromkeys(passages + found))
            notes = [*notes, self.take_note(claim=claim, context=found).note]
        return dspy.Prediction(verdict=self.judge(claim=claim, passages=passages).verdict)


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def calculate(expression: str) -> float:
    """Work out an expression of numbers, + - * / and brackets."""

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Constant):
            return node.value
        raise ValueError(f"not arithmetic: {ast.dump(node)}")

    return value(ast.parse(expression, mode="eval").body)


class WordProblem(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.translate = dspy.ChainOfThought("problem -> expression")
        self.phrase = dspy.Predict("problem, result: float -> sentence")

    def forward(self, problem: str) -> dspy.Prediction:
        try:
            result = float(calculate(self.translate(problem=problem).expression))
        except (ValueError, SyntaxError, KeyError):
            result = float("nan")
        return dspy.Prediction(sentence=self.phrase(problem=problem, result=result).sentence)


class ChooseTool(dspy.Signature):
    """Choose a tool and its arguments."""

    request: str = dspy.InputField()
    tool: Literal["upper", "repeat"] = dspy.OutputField()
    arguments: dict[str, Any] = dspy.OutputField()


class ToolUser(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose = dspy.Predict(ChooseTool)
        self.tools = {
            "upper": dspy.Tool(lambda text, times=1: text.upper(), name="upper", desc="Shout."),
            "repeat": dspy.Tool(lambda text, times: " ".join([text] * times), name="repeat", desc="Repeat."),
        }
        self.answer = dspy.Predict("request, observation -> reply")

    def forward(self, request: str) -> dspy.Prediction:
        choice = self.choose(request=request)
        observation = self.tools[choice.tool].func(**choice.arguments)
        return dspy.Prediction(reply=self.answer(request=request, observation=observation).reply)


class AskTheTable(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write_sql = dspy.Predict("question -> sql")
        self.repair = dspy.Predict("sql, error -> sql_fixed")
        self.describe = dspy.Predict("question, rows -> description")

    def forward(self, question: str) -> dspy.Prediction:
        with sqlite3.connect(":memory:") as database:
            database.execute("create table boats (name text, length integer)")
            database.executemany("insert into boats values (?, ?)", [("Gull", 7), ("Heron", 12)])
            sql = self.write_sql(question=question).sql
            try:
                rows = database.execute(sql).fetchall()
            except sqlite3.Error as error:
                rows = database.execute(self.repair(sql=sql, error=str(error)).sql_fixed).fetchall()
        database.close()
        return dspy.Prediction(description=self.describe(question=question, rows=str(rows)).description)


class Reranked(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.score = dspy.Predict("question, passage -> relevance: int")
        self.answer = dspy.Predict("question, context -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        passages = retrieve(question, k=3)
        scores = [self.score(question=question, passage=passage).relevance for passage in passages]
        order = sorted(range(len(passages)), key=lambda i: scores[i], reverse=True)
        context = "\n".join(f"[{rank}] {passages[i]}" for rank, i in enumerate(order[:2], start=1))
        return self.answer(question=question, context=context)


class Cited(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.select = dspy.Predict("question, catalogue -> ids: list[str]")
        self.answer = dspy.Predict("question, sources -> answer, used: list[int]")
        self.verify = dspy.Predict("answer, evidence -> supported: bool")

    def forward(self, question: str) -> dspy.Prediction:
        ids = self.select(question=question, catalogue=", ".join(LIBRARY)).ids
        sources = [LIBRARY[one] for one in ids if one in LIBRARY]
        numbered = "\n".join(f"({i}) {text}" for i, text in enumerate(sources))
        answered = self.answer(question=question, sources=numbered)
        evidence = "\n".join(sources[i] for i in answered.used if i < len(sources))
        supported = self.verify(answer=answered.answer, evidence=evidence).supported
        return dspy.Prediction(answer=answered.answer, supported=supported, n_sources=len(sources))


CASES = (
    case(
        "rag-by-overlap",
        Rag,
        {"question": "What do they do at night?"},
        {
            "make_query": {"query": "otters sleep"},
            "respond.predict": {"reasoning": "The first passage tells.", "response": "They hold hands."},
        },
        data="make_query[0].query -> respond.predict[0].context",
        output="""make_query[0].query -> context
                  respond.predict[0].response -> response""",
        note="The query only ranks fixed passages; a word added to it may leave the ranking as it is.",
    ),
    case(
        "two-retrieval-hops",
        MultiHop,
        {"claim": "The animal that holds hands keeps a stone."},
        {
            "make_query": [{"query": "otters hold hands"}, {"query": "favourite stone of the sea otter"}],
            "take_note": [{"note": "It is the otter."}, {"note": "It keeps a stone."}],
            "judge": {"verdict": "true"},
        },
        data="""make_query[0].query -> take_note[0].context, judge[0].passages
                make_query[1].query -> take_note[1].context, judge[0].passages
                take_note[0].note -> make_query[1].notes""",
        output="judge[0].verdict -> verdict",
        note="Passages of both hops are pooled without duplicates; the last note is made and not read by anyone.",
    ),
    case(
        "calculator-between",
        WordProblem,
        {"problem": "Three boxes of 12 eggs, 5 are broken."},
        {
            "translate.predict": {"reasoning": "Multiply, then subtract.", "expression": "3 * 12 - 5"},
            "phrase": {"sentence": "31 eggs are left."},
        },
        data="translate.predict[0].expression -> phrase[0].result",
        output="phrase[0].sentence -> sentence",
        note="A tool turns the text into a number, and into nan where the text is not arithmetic.",
    ),
    case(
        "chosen-tool",
        ToolUser,
        {"request": "Say hip three times."},
        {
            "choose": {"tool": "repeat", "arguments": {"text": "hip", "times": 3}},
            "answer": {"reply": "hip hip hip!"},
        },
        data="choose[0].tool, choose[0].arguments -> answer[0].observation",
        output="answer[0].reply -> reply",
        note="The name of the tool decides which function runs, yet no call depends on it: that is data.",
    ),
    case(
        "sql-with-repair",
        AskTheTable,
        {"question": "Which boat is longer than 10?"},
        {
            "write_sql": {"sql": "select title from boats where length > 10"},
            "repair": {"sql_fixed": "select name from boats where length > 10"},
            "describe": {"description": "Heron."},
        },
        data="""write_sql[0].sql -> repair[0].sql, repair[0].error
                repair[0].sql_fixed -> describe[0].rows""",
        output="describe[0].description -> description",
        control="write_sql[0].sql -> repair[0]",
        allowed="write_sql[0].sql -> describe[0].rows",
        note="The database's complaint about the first query goes to the repair, whose query answers from the table.",
    ),
    case(
        "rerank-by-scores",
        Reranked,
        {"question": "What does the otter do with a stone?"},
        {
            "score": lambda inputs: {
                "relevance": 9 if "favourite" in inputs["passage"] else len(inputs["passage"]) // 10
            },
            "answer": {"answer": "It keeps it under the arm."},
        },
        data="score[0].relevance, score[1].relevance, score[2].relevance -> answer[0].context",
        output="answer[0].answer -> answer",
        note="Numbers order passages that come from the question alone; no score stands in the context.",
    ),
    case(
        "cited-sources",
        Cited,
        {"question": "What are owls called together?"},
        {
            "select": {"ids": ["d4", "d2"]},
            "answer": {"answer": "A parliament.", "used": [1]},
            "verify": {"supported": True},
        },
        data="""select[0].ids -> answer[0].sources, verify[0].evidence
                answer[0].answer -> verify[0].answer
                answer[0].used -> verify[0].evidence""",
        output="""answer[0].answer -> answer
                  verify[0].supported -> supported
                  select[0].ids -> n_sources""",
        note="Ids become texts and positions among them become evidence: a value and an index meet.",
    ),
)
