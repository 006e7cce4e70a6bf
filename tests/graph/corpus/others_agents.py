"""Agents whose answers come from tools and interpreters, and tools that fail; the edges were written before a tracer
saw the programs."""

import io
import json
import time
import traceback
from contextlib import redirect_stdout
from typing import Any

import dspy
from dspy.primitives.code_interpreter import CodeExecutionError, FinalOutput

from .base import Case, case

QUESTION_TO_ANSWER: Any = "question -> answer"
ORDER_TO_STATUS: Any = "order -> status, refund: float"
untyped: Any = dspy
STOCK = {"rope": 12, "lamp": 3}


def look(word: str) -> str:
    """Look up a word."""
    return f"found that {word} is a river"


def stock(item: str) -> int:
    """Tell how many of an item are there."""
    return STOCK[item]


async def ledger(item: str) -> str:
    """Tell what an item cost."""
    raise LookupError(f"{item} is not in {object()!r}")


def called(*calls: tuple[str, dict[str, Any]], thought: str) -> dict[str, Any]:
    return {"next_thought": thought, "tool_calls": [{"name": name, "args": args} for name, args in calls]}


def step(thought: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": arguments}


def whole(index: int) -> str:
    return ", ".join(f"react[{index}].{name}" for name in ("next_thought", "next_tool_name", "next_tool_args"))


class Here:
    """An interpreter of the user's own, in this very process, that DSPy's callbacks know nothing of."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}
        self.held: dict[str, Any] = {}

    def start(self) -> None: ...

    def shutdown(self) -> None: ...

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        class Submitted(BaseException):
            pass

        def submit(**outputs: Any) -> None:
            raise Submitted(outputs)

        out = io.StringIO()
        self.held |= {**self.tools, **(variables or {}), "SUBMIT": submit}
        try:
            with redirect_stdout(out):
                exec(code, self.held)
        except Submitted as done:
            return FinalOutput(done.args[0])
        except Exception as error:
            raise CodeExecutionError(f"{type(error).__name__}: {error}") from error
        return out.getvalue()


class AsyncDesk(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.agent = untyped.ReActV2(ORDER_TO_STATUS, tools=[ledger], max_iters=3)

    async def aforward(self, order: str) -> dspy.Prediction:
        done = await self.agent.acall(order=order)
        return dspy.Prediction(line=f"{done.status}, {done.refund:.2f} back")


class Printed(dspy.Module):
    """An agent without a library, which shows its model the traceback of a tool that failed and how long it took."""

    def __init__(self) -> None:
        super().__init__()
        self.act = dspy.Predict("task, seen -> tool, argument")

    def forward(self, task: str) -> dspy.Prediction:
        seen = ""
        for _ in range(3):
            begun = time.perf_counter()
            action = self.act(task=task, seen=seen)
            if action.tool == "answer":
                return dspy.Prediction(answer=action.argument)
            try:
                seen += f"{stock(action.argument)}\n"
            except KeyError:
                seen += f"after {time.perf_counter() - begun} s, with {object()!r}: {traceback.format_exc()}\n"
        return dspy.Prediction(answer="gave up")


class Done(Exception):
    """Ends an agent's run."""


class Raises(dspy.Module):
    """An agent whose answer is carried by the exception with which one of its tools ends the run."""

    def __init__(self) -> None:
        super().__init__()
        self.act = dspy.Predict("task, notes: list[str] -> call: dict[str, Any]")
        self.notes: list[str] = []

    def submit(self, answer: str) -> None:
        raise Done(answer)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def forward(self, task: str) -> dspy.Prediction:
        self.notes = []
        try:
            for _ in range(3):
                call = self.act(task=task, notes=list(self.notes)).call
                getattr(self, call["name"])(call["argument"])
        except Done as done:
            return dspy.Prediction(answer=str(done))
        return dspy.Prediction(answer="")


class Consults(dspy.Module):
    """An agent one of whose tools asks another predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.expert = dspy.Predict("matter -> opinion")
        self.agent = dspy.ReAct(QUESTION_TO_ANSWER, tools=[self.consult], max_iters=2)

    def consult(self, matter: str) -> str:
        """Ask an expert."""
        return f"The expert says: {self.expert(matter=matter).opinion}"

    def forward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=self.agent(question=question).answer)


class Calculator(dspy.Module):
    """Function calls as text, several in one turn, with a result that goes back whole."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("task -> calls: list[dict[str, Any]]")
        self.tell = dspy.Predict("results -> answer")

    def forward(self, task: str) -> dspy.Prediction:
        results = []
        for call in self.plan(task=task).calls:
            try:
                results.append({"of": call["of"], "count": STOCK[call["of"]] * call.get("times", 1)})
            except (KeyError, TypeError) as error:
                results.append({"error": repr(error)})
        total = sum(result.get("count", 0) for result in results)
        return dspy.Prediction(answer=self.tell(results=json.dumps(results)).answer, total=total)


def _react_v2() -> dspy.Module:
    return untyped.ReActV2(QUESTION_TO_ANSWER, tools=[look], max_iters=3)


CASES: tuple[Case, ...] = (
    case(
        "react-with-a-tool-that-fails",
        lambda: untyped.ReAct(QUESTION_TO_ANSWER, tools=[stock], max_iters=3),
        {"question": "How many lamps are there?"},
        {
            "react": [
                step("Let me see.", "stock", item="lantern"),
                step("It is called a lamp.", "stock", item="lamp"),
                step("That is all.", "finish"),
            ],
            "extract.predict": {"reasoning": "The second look said so.", "answer": "Three lamps."},
        },
        data=f"""{whole(0)} -> react[1].trajectory, react[2].trajectory, extract.predict[0].trajectory
                 {whole(1)} -> react[2].trajectory, extract.predict[0].trajectory
                 {whole(2)} -> extract.predict[0].trajectory""",
        output=f"""extract.predict[0].answer -> answer
                   extract.predict[0].reasoning -> reasoning
                   {whole(0)}, {whole(1)}, {whole(2)} -> trajectory""",
        control="""react[0].next_tool_name -> react[1]
                   react[1].next_tool_name -> react[2]""",
        allowed="react[0].next_tool_name -> react[2]",
        note="The observation holds the traceback of a tool, whose frames differ in a replay.",
    ),
    case(
        "traceback-with-times-and-addresses",
        Printed,
        {"task": "Count the lamps."},
        {
            "act": [
                {"tool": "stock", "argument": "lantern"},
                {"tool": "stock", "argument": "lamp"},
                {"tool": "answer", "argument": "three lamps"},
            ]
        },
        data="act[0].argument -> act[1].seen, act[2].seen\nact[1].argument -> act[2].seen",
        output="act[2].argument -> answer",
        control="act[0].tool -> act[1]\nact[1].tool -> act[2]",
        allowed="""act[0].tool -> act[2]
                   act[0].tool, act[1].tool, act[0].argument, act[1].argument, act[2].tool -> answer""",
        note="What the model is shown of a failure is new at every run but for the argument in it.",
        pure=False,
    ),
    case(
        "answer-carried-by-an-exception",
        Raises,
        {"task": "Name the river."},
        {
            "act": [
                {"call": {"name": "note", "argument": "it is in France"}},
                {"call": {"name": "submit", "argument": "the Loire"}},
            ]
        },
        data="act[0].call -> act[1].notes",
        output="act[1].call -> answer",
        control="act[0].call -> act[1]",
        allowed="act[0].call -> answer",
        note="A method is looked up by the name that the model wrote, and ends the run by an exception.",
    ),
    case(
        "a-tool-that-asks-a-predictor",
        Consults,
        {"question": "Is it safe?"},
        {
            "agent.react": [step("I ask.", "consult", matter="the old bridge"), step("Enough.", "finish")],
            "expert": {"opinion": "It will hold for ten years."},
            "agent.extract.predict": {"reasoning": "The expert knows.", "answer": "Yes, it is safe."},
        },
        data="""agent.react[0].next_tool_args -> expert[0].matter
                expert[0].opinion -> agent.react[1].trajectory, agent.extract.predict[0].trajectory
                agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.react[1].trajectory
                agent.react[0].next_tool_args -> agent.react[1].trajectory
                agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.extract.predict[0].trajectory
                agent.react[0].next_tool_args -> agent.extract.predict[0].trajectory
                agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.extract.predict[0].trajectory
                agent.react[1].next_tool_args -> agent.extract.predict[0].trajectory""",
        output="agent.extract.predict[0].answer -> answer",
        control="agent.react[0].next_tool_name -> expert[0], agent.react[1]",
        allowed="agent.react[0].next_tool_args -> expert[0]",
        note="The tool's arguments reach another predictor, and its answer the observation.",
    ),
    case(
        "calls-in-a-list",
        Calculator,
        {"task": "Two ropes, a lamp, an anchor."},
        {
            "plan": {"calls": [{"of": "rope", "times": 2}, {"of": "lamp"}, {"of": "anchor"}]},
            "tell": {"answer": "24 and 3; there is no anchor."},
        },
        data="plan[0].calls -> tell[0].results",
        output="tell[0].answer -> answer\nplan[0].calls -> total",
        note="What is computed of a list of calls goes to a predictor and past it.",
    ),
)

if hasattr(dspy, "ReActV2"):
    CASES += (
        case(
            "answer-from-a-submit-call",
            _react_v2,
            {"question": "What is the Loire?"},
            {
                "react": [
                    called(("look", {"word": "Loire"}), thought="I look it up."),
                    called(("submit", {"answer": "A river in France."}), thought="Now I know."),
                ]
            },
            data="react[0].next_thought, react[0].tool_calls -> react[1].history",
            output="""react[1].tool_calls -> answer
                      react[0].next_thought, react[0].tool_calls -> history
                      react[1].next_thought, react[1].tool_calls -> history""",
            control="react[0].tool_calls -> react[1]",
            allowed="react[0].tool_calls -> answer, termination_reason\nreact[1].tool_calls -> termination_reason",
            note="The returned answer is an argument of the tool that ends the run.",
        ),
    )

if hasattr(getattr(dspy, "ReActV2", None), "aforward"):
    CASES += (
        case(
            "submit-after-a-tool-that-failed-async",
            AsyncDesk,
            {"order": "7 lamps"},
            {
                "agent.react": [
                    called(("ledger", {"item": "lamp"}), thought="What did it cost?"),
                    called(("submit", {"status": "refused", "refund": 2.5}), thought="It is not known."),
                ]
            },
            data="agent.react[0].next_thought, agent.react[0].tool_calls -> agent.react[1].history",
            output="agent.react[1].tool_calls -> line",
            control="agent.react[0].tool_calls -> agent.react[1]",
            allowed="agent.react[0].tool_calls -> line",
            note="The failure's message names an object by its address, and two arguments leave in one line.",
            style="async",
        ),
    )

if hasattr(dspy.ProgramOfThought("question -> answer"), "_interpreter_factory"):
    CASES += (
        case(
            "code-act-with-an-own-interpreter",
            lambda: untyped.CodeAct(QUESTION_TO_ANSWER, tools=[look], max_iters=3, interpreter_factory=Here),
            {"question": "What is 6 times 7?"},
            {
                "codeact": [
                    {"generated_code": "```python\nx = 6\nprint(x)\n```", "finished": False},
                    {"generated_code": "```python\nprint(x * 7)\n```", "finished": True},
                ],
                "extractor.predict": {"reasoning": "It was printed.", "answer": "It is 42."},
            },
            data="""codeact[0].generated_code -> codeact[1].trajectory, extractor.predict[0].trajectory
                    codeact[1].generated_code -> extractor.predict[0].trajectory""",
            output="""codeact[0].generated_code, codeact[1].generated_code -> trajectory
                      extractor.predict[0].answer -> answer
                      extractor.predict[0].reasoning -> reasoning""",
            control="codeact[0].finished -> codeact[1]",
            allowed="codeact[1].finished -> extractor.predict[0].trajectory, trajectory",
            note="""The code and what it printed stand in the trajectory; the interpreter is a class of the user's.
                    That the second was the last is seen only by way of a third, which did not happen.""",
        ),
        case(
            "program-of-thought-whose-code-fails",
            lambda: untyped.ProgramOfThought(QUESTION_TO_ANSWER, max_iters=2, interpreter_factory=Here),
            {"question": "What is 6 times 7?"},
            {
                "code_generate.predict": {"reasoning": "simple", "generated_code": "print(six * 7)"},
                "code_regenerate.predict": {"reasoning": "no names", "generated_code": "print(6 * 7)"},
                "generate_output.predict": {"reasoning": "as printed", "answer": "Forty-two."},
            },
            data="""code_generate.predict[0].generated_code -> code_regenerate.predict[0].previous_code
                    code_generate.predict[0].generated_code -> code_regenerate.predict[0].error
                    code_regenerate.predict[0].generated_code -> generate_output.predict[0].final_generated_code
                    code_regenerate.predict[0].generated_code -> generate_output.predict[0].code_output""",
            output="""generate_output.predict[0].answer -> answer
                      generate_output.predict[0].reasoning -> reasoning""",
            control="code_generate.predict[0].generated_code -> code_regenerate.predict[0]",
            allowed="""code_generate.predict[0].generated_code -> generate_output.predict[0].final_generated_code
                       code_generate.predict[0].generated_code -> generate_output.predict[0].code_output""",
            note="What the interpreter raised about the first code is what the second is written from.",
        ),
        case(
            "rlm-that-submits",
            lambda: untyped.RLM(QUESTION_TO_ANSWER, max_iters=3, interpreter_factory=Here),
            {"question": "What is 6 times 7?"},
            {
                "generate_action": [
                    {"reasoning": "I look first.", "code": "print(len(question))"},
                    {"reasoning": "Now I compute.", "code": "SUBMIT(answer='It is ' + str(6 * 7))"},
                ]
            },
            data="generate_action[0].reasoning, generate_action[0].code -> generate_action[1].repl_history",
            output="""generate_action[1].code -> answer
                      generate_action[0].reasoning, generate_action[0].code -> trajectory
                      generate_action[1].reasoning, generate_action[1].code -> trajectory
                      generate_action[1].reasoning -> final_reasoning""",
            control="generate_action[0].code -> generate_action[1]",
            allowed="""generate_action[0].code -> answer, final_reasoning
                       generate_action[0].reasoning, generate_action[1].code -> final_reasoning""",
            note="The answer is what the submitted code computed; no text of it stands in any output.",
        ),
        case(
            "rlm-that-runs-out-of-steps",
            lambda: untyped.RLM(QUESTION_TO_ANSWER, max_iters=1, interpreter_factory=Here),
            {"question": "What is 6 times 7?"},
            {
                "generate_action": {"reasoning": "I look first.", "code": "print(6 * 7)"},
                "extract": {"answer": "It must be 42."},
            },
            data="generate_action[0].reasoning, generate_action[0].code -> extract[0].repl_history",
            output="""extract[0].answer -> answer
                      generate_action[0].reasoning, generate_action[0].code -> trajectory""",
            control="generate_action[0].code -> extract[0]",
            allowed="""generate_action[0].code -> answer, final_reasoning
                       generate_action[0].reasoning -> final_reasoning""",
            note="Had the code submitted, nothing would have been extracted.",
        ),
    )
