"""Programs made of DSPy's own composite modules."""

from typing import Any

import dspy

from .base import case


class TwoHops(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bridge = dspy.ChainOfThought("question -> entity")
        self.answer = dspy.ChainOfThought("question, entity -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        entity = self.bridge(question=question).entity
        return self.answer(question=question, entity=entity)


QUESTION_TO_ANSWER: Any = "question -> answer"
CITY_TO_PEOPLE: Any = "city -> people: int"


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


def population(city: str) -> int:
    """Look up how many people live in a city."""
    return {"Oslo": 700_000, "Bergen": 290_000}[city]


class Agent(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct(QUESTION_TO_ANSWER, tools=[multiply, population], max_iters=5)
        self.phrase = dspy.Predict("question, answer -> sentence")

    def forward(self, question: str) -> dspy.Prediction:
        answer = self.agent(question=question).answer
        return dspy.Prediction(sentence=self.phrase(question=question, answer=answer).sentence)


class BareAgent(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct(CITY_TO_PEOPLE, tools=[population], max_iters=2)

    def forward(self, city: str) -> dspy.Prediction:
        return dspy.Prediction(people=self.agent(city=city).people)


class Compared(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.solve = dspy.ChainOfThought("question -> answer")
        self.compare = dspy.MultiChainComparison("question -> answer", M=3)

    def forward(self, question: str) -> dspy.Prediction:
        attempts = [self.solve(question=question, config={"rollout_id": i, "temperature": 1.0}) for i in range(3)]
        return dspy.Prediction(answer=self.compare(attempts, question=question).answer)


def one_word(args: dict[str, Any], prediction: dspy.Prediction) -> float:
    return 1.0 / max(len(prediction.answer.split()), 1)


class ShortAnswer(dspy.Module):
    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.best = dspy.BestOfN(
            dspy.ChainOfThought("question -> answer"), N=3, reward_fn=one_word, threshold=threshold
        )
        self.use = dspy.Predict("answer -> sentence")

    def forward(self, question: str) -> dspy.Prediction:
        answer = self.best(question=question).answer
        return dspy.Prediction(sentence=self.use(answer=answer).sentence)


class ShortestOfAll(ShortAnswer):
    def __init__(self) -> None:
        super().__init__(threshold=2.0)


class Refined(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.refine = dspy.Refine(dspy.ChainOfThought("question -> answer"), N=2, reward_fn=one_word, threshold=1.0)

    def forward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=self.refine(question=question).answer)


ANSWERS = [
    {"reasoning": "Belgium has one capital.", "answer": "I think that it is Brussels"},
    {"reasoning": "It is in the middle.", "answer": "surely Brussels"},
    {"reasoning": "One word is asked for.", "answer": "Brussels"},
]

CASES = (
    case(
        "two-hops",
        TwoHops,
        {"question": "In which country was the painter of the ceiling born?"},
        {
            "bridge.predict": {"reasoning": "It was painted by him.", "entity": "the painter"},
            "answer.predict": {"reasoning": "The painter was born there.", "answer": "Italy"},
        },
        data="bridge.predict[0].entity -> answer.predict[0].entity",
        output="""answer.predict[0].answer -> answer
                  answer.predict[0].reasoning -> reasoning""",
        note="The first reasoning is never read; the second one leaves with the returned Prediction.",
    ),
    case(
        "react-two-tools",
        Agent,
        {"question": "How many shoes are there in Oslo?"},
        {
            "agent.react": [
                {
                    "next_thought": "I need the people.",
                    "next_tool_name": "population",
                    "next_tool_args": {"city": "Oslo"},
                },
                {
                    "next_thought": "Two each.",
                    "next_tool_name": "multiply",
                    "next_tool_args": {"a": 700000, "b": 2},
                },
                {"next_thought": "That is all.", "next_tool_name": "finish", "next_tool_args": {}},
            ],
            "agent.extract.predict": {"reasoning": "700000 times 2", "answer": "1400000"},
            "phrase": {"sentence": "About 1400000 shoes."},
        },
        data="""
            agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.react[1].trajectory
            agent.react[0].next_tool_args -> agent.react[1].trajectory
            agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.react[2].trajectory
            agent.react[0].next_tool_args -> agent.react[2].trajectory
            agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.react[2].trajectory
            agent.react[1].next_tool_args -> agent.react[2].trajectory
            agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[0].next_tool_args -> agent.extract.predict[0].trajectory
            agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[1].next_tool_args -> agent.extract.predict[0].trajectory
            agent.react[2].next_thought, agent.react[2].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[2].next_tool_args -> agent.extract.predict[0].trajectory
            agent.extract.predict[0].answer -> phrase[0].answer""",
        output="phrase[0].sentence -> sentence",
        control="""agent.react[0].next_tool_name -> agent.react[1]
                   agent.react[1].next_tool_name -> agent.react[2]""",
        allowed="agent.react[0].next_tool_name -> agent.react[2]",
        note="Every step stands in every later trajectory, and only the tool's name (finish) ends the loop.",
    ),
    case(
        "react-failing-tool",
        BareAgent,
        {"city": "Atlantis"},
        {
            "agent.react": [
                {
                    "next_thought": "Look.",
                    "next_tool_name": "population",
                    "next_tool_args": {"city": "Atlantis"},
                },
                {
                    "next_thought": "Look elsewhere.",
                    "next_tool_name": "population",
                    "next_tool_args": {"city": "Oslo"},
                },
            ],
            "agent.extract.predict": {"reasoning": "It sank.", "people": 0},
        },
        data="""
            agent.react[0].next_thought -> agent.react[1].trajectory
            agent.react[0].next_tool_args -> agent.react[1].trajectory
            agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[0].next_tool_args -> agent.extract.predict[0].trajectory
            agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[1].next_tool_args -> agent.extract.predict[0].trajectory""",
        output="agent.extract.predict[0].people -> people",
        control="agent.react[0].next_tool_name -> agent.react[1]",
        allowed="agent.react[0].next_tool_name -> agent.react[1].trajectory",
        note="The tool raises and the agent catches it; the only other name (finish) would drop the second "
        "step, so the name stands in its trajectory but cannot change it.",
    ),
    case(
        "multi-chain-comparison",
        Compared,
        {"question": "How many legs have two spiders?"},
        {
            "solve.predict": [
                {"reasoning": "Eight each.", "answer": "16"},
                {"reasoning": "Six each.", "answer": "12"},
                {"reasoning": "Eight and eight.", "answer": "16"},
            ],
            "compare.predict": {"rationale": "Spiders have eight.", "answer": "16"},
        },
        data="""
            solve.predict[0].reasoning, solve.predict[0].answer -> compare.predict[0].reasoning_attempt_1
            solve.predict[1].reasoning, solve.predict[1].answer -> compare.predict[0].reasoning_attempt_2
            solve.predict[2].reasoning, solve.predict[2].answer -> compare.predict[0].reasoning_attempt_3""",
        output="compare.predict[0].answer -> answer",
        note="Two attempts answer alike, and each belongs to its own field.",
    ),
    case(
        "best-of-n-threshold",
        ShortAnswer,
        {"question": "What is the capital of Belgium?"},
        {"best.module.predict": ANSWERS, "use": {"sentence": "Brussels is the capital."}},
        data="best.module.predict[2].answer -> use[0].answer",
        output="use[0].sentence -> sentence",
        control="""best.module.predict[0].answer -> best.module.predict[1]
                   best.module.predict[1].answer -> best.module.predict[2]""",
        allowed="""best.module.predict[0].answer -> best.module.predict[2]
                   best.module.predict[0].answer, best.module.predict[1].answer -> use[0].answer""",
        note="Attempts run on deep copies until one is good; a better early answer would flow only by dropping calls.",
    ),
    case(
        "best-of-n-all",
        ShortestOfAll,
        {"question": "What is the capital of Belgium, shortly?"},
        {"best.module.predict": ANSWERS, "use": {"sentence": "Brussels it is."}},
        data="""best.module.predict[0].answer, best.module.predict[1].answer -> use[0].answer
                best.module.predict[2].answer -> use[0].answer""",
        output="use[0].sentence -> sentence",
        note="No reward reaches the threshold, so all attempts run, and any of them could be the best by one word.",
    ),
    case(
        "refine-once",
        Refined,
        {"question": "What is the capital of Belgium, please?"},
        {
            "refine.module.predict": [ANSWERS[0], ANSWERS[2]],
            "?": {"discussion": "Too many words.", "advice": {"predict": "Answer in one word."}},
        },
        data="""
            refine.module.predict[0].answer -> ?[0].program_trajectory, ?[0].program_outputs
            refine.module.predict[0].answer -> ?[0].reward_value
            refine.module.predict[0].reasoning -> ?[0].program_trajectory, ?[0].program_outputs
            ?[0].advice -> refine.module.predict[1].hint_""",
        output="refine.module.predict[1].answer -> answer",
        control="refine.module.predict[0].answer -> ?[0], refine.module.predict[1]",
        allowed="refine.module.predict[0].answer -> answer",
        note="The advice reaches the second attempt as hint_, which an adapter adds late.",
    ),
    case(
        "bare-predict",
        lambda: dspy.Predict("question -> answer"),
        {"question": "Two plus two?"},
        {"self": {"answer": "four"}},
        output="self[0].answer -> answer",
        note="The program is a predictor itself, named self, and nothing is inside.",
    ),
)
