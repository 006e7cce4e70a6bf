"""Programs that loop until something is good, and programs that catch what goes wrong."""

import json
import re

import dspy

from .base import case


class DraftAndJudge(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("task, previous, feedback -> text")
        self.judge = dspy.Predict("task, candidate -> done: bool, feedback")

    def forward(self, task: str) -> dspy.Prediction:
        text, feedback = "", ""
        for _ in range(4):
            text = self.draft(task=task, previous=text, feedback=feedback).text
            verdict = self.judge(task=task, candidate=text)
            if verdict.done:
                break
            feedback = verdict.feedback
        return dspy.Prediction(text=text)


class GuessUntilWarm(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.guess = dspy.Predict("riddle, tried: list[str] -> guess")
        self.rate = dspy.Predict("riddle, guess -> warmth: int")

    def forward(self, riddle: str) -> dspy.Prediction:
        tried: list[str] = []
        while len(tried) < 3:
            guess = self.guess(riddle=riddle, tried=list(tried)).guess.strip(".! ")
            tried.append(guess.lower())
            if self.rate(riddle=riddle, guess=guess).warmth > 90:
                break
        return dspy.Prediction(answer=tried[-1])


class TriesRunOut(GuessUntilWarm):
    """The same, on a riddle it does not solve."""


class Amount(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("receipt, problem -> amount")

    def forward(self, receipt: str) -> dspy.Prediction:
        problem = "none so far"
        for _ in range(3):
            amount = self.extract(receipt=receipt, problem=problem).amount
            try:
                return dspy.Prediction(cents=round(float(amount) * 100))
            except ValueError as error:
                problem = f"Please give a number only ({error})"
        return dspy.Prediction(cents=0)


class JsonOrRepair(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("text -> payload")
        self.repair = dspy.Predict("broken, error -> payload")
        self.store = dspy.Predict("name -> receipt")

    def forward(self, text: str) -> dspy.Prediction:
        payload = self.extract(text=text).payload
        try:
            person = json.loads(payload)
        except json.JSONDecodeError as error:
            person = json.loads(self.repair(broken=payload, error=error.msg).payload)
        return dspy.Prediction(receipt=self.store(name=person["name"]).receipt, age=person["age"])


class CountOrDescribe(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rewrite = dspy.Predict("question -> clear_question")
        self.count = dspy.Predict("question -> number: int")
        self.describe = dspy.Predict("question -> words")

    def forward(self, question: str) -> dspy.Prediction:
        clear = self.rewrite(question=question).clear_question
        try:
            answer = str(self.count(question=clear).number)
        except Exception:
            answer = self.describe(question=clear).words
        return dspy.Prediction(answer=answer)


class TooLong(Exception):
    """A text is longer than the page."""


class PageFitter(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("topic, max_words: int -> text")
        self.cut = dspy.Predict("text, hint -> shorter")
        self.illustrate = dspy.Predict("caption -> picture")

    def forward(self, topic: str) -> dspy.Prediction:
        text = self.write(topic=topic, max_words=5).text
        try:
            self.require(text, 5)
        except TooLong as reason:
            text = self.cut(text=text, hint=str(reason)).shorter
        return dspy.Prediction(page=text, picture=self.illustrate(caption=text[:12]).picture)

    @staticmethod
    def require(text: str, limit: int) -> None:
        excess = len(re.findall(r"\w+", text)) - limit
        if excess > 0:
            raise TooLong(f"{excess} word(s) too many")


class SafeRatio(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.won = dspy.Predict("report -> games: int")
        self.lost = dspy.Predict("report -> games: int")
        self.comment = dspy.Predict("ratio -> comment")

    def forward(self, report: str) -> dspy.Prediction:
        won, lost = self.won(report=report).games, self.lost(report=report).games
        try:
            ratio = f"{won / lost:.1f}"
        except ZeroDivisionError:
            ratio = "unbeaten"
        return dspy.Prediction(comment=self.comment(ratio=ratio).comment)


class BestSoFar(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.propose = dspy.Predict("goal, best_so_far -> slogan")
        self.score = dspy.Predict("slogan -> points: int")

    def forward(self, goal: str) -> dspy.Prediction:
        best, best_points = "", 0
        for _ in range(3):
            slogan = self.propose(goal=goal, best_so_far=best).slogan
            points = self.score(slogan=slogan).points
            if points > best_points:
                best, best_points = slogan, points
        return dspy.Prediction(slogan=best, points=best_points)


CASES = (
    case(
        "loop-until-done",
        DraftAndJudge,
        {"task": "Invite the neighbours."},
        {
            "draft": [{"text": "Come."}, {"text": "Come on Sunday."}, {"text": "Come on Sunday at three."}],
            "judge": [
                {"done": False, "feedback": "Say when."},
                {"done": False, "feedback": "Say the hour."},
                {"done": True, "feedback": "Good."},
            ],
        },
        data="""draft[0].text -> judge[0].candidate, draft[1].previous
                judge[0].feedback -> draft[1].feedback
                draft[1].text -> judge[1].candidate, draft[2].previous
                judge[1].feedback -> draft[2].feedback
                draft[2].text -> judge[2].candidate""",
        output="draft[2].text -> text",
        control="""judge[0].done -> draft[1], judge[1]
                   judge[1].done -> draft[2], judge[2]""",
        allowed="""judge[0].done -> draft[2], judge[2]
                   judge[0].done, judge[1].done, judge[2].done -> text""",
        note="Each draft contains the one before; a flag ends the loop, the last feedback is not used.",
    ),
    case(
        "guess-until-warm",
        GuessUntilWarm,
        {"riddle": "Keys but no locks?"},
        {"guess": [{"guess": "A door!"}, {"guess": "A piano!"}], "rate": [{"warmth": 20}, {"warmth": 100}]},
        data="""guess[0].guess -> rate[0].guess, guess[1].tried
                guess[1].guess -> rate[1].guess""",
        output="guess[1].guess -> answer",
        control="rate[0].warmth -> guess[1], rate[1]",
        allowed="rate[0].warmth, rate[1].warmth -> answer",
        note="A number ends the loop; the guesses are collected in lower case.",
    ),
    case(
        "tries-run-out",
        TriesRunOut,
        {"riddle": "What gets wet while drying?"},
        {
            "guess": [{"guess": "rain"}, {"guess": "sun"}, {"guess": "wind"}],
            "rate": [{"warmth": 20}, {"warmth": 25}, {"warmth": 20}],
        },
        data="""guess[0].guess -> rate[0].guess, guess[1].tried, guess[2].tried
                guess[1].guess -> rate[1].guess, guess[2].tried
                guess[2].guess -> rate[2].guess""",
        output="guess[2].guess -> answer",
        control="""rate[0].warmth -> guess[1], rate[1]
                   rate[1].warmth -> guess[2], rate[2]""",
        allowed="""rate[0].warmth -> guess[2], rate[2]
                   rate[0].warmth, rate[1].warmth -> answer""",
        note="The third rating is read but decides nothing, for the loop ends anyway.",
    ),
    case(
        "retry-with-the-message",
        Amount,
        {"receipt": "Total: 12,50 euros"},
        {"extract": [{"amount": "12,50"}, {"amount": "12.50"}]},
        data="extract[0].amount -> extract[1].problem",
        output="extract[1].amount -> cents",
        control="extract[0].amount -> extract[1]",
        allowed="extract[0].amount -> cents",
        note="float() complains with the bad text in its message, which is the next call's input.",
    ),
    case(
        "json-or-repair",
        JsonOrRepair,
        {"text": "The visitor is 40."},
        {
            "extract": {"payload": "{'name': 'Visitor', 'age': 40}"},
            "repair": {"payload": '{"name": "Visitor", "age": 40}'},
            "store": {"receipt": "stored Visitor"},
        },
        data="""extract[0].payload -> repair[0].broken, repair[0].error
                repair[0].payload -> store[0].name""",
        output="""repair[0].payload -> age
                  store[0].receipt -> receipt""",
        control="extract[0].payload -> repair[0]",
        allowed="extract[0].payload -> store[0].name, age",
        note="The broken output reaches the repair and so does what the parser says of it, which names no part of it.",
    ),
    case(
        "typed-parse-failure",
        CountOrDescribe,
        {"question": "how many grains of sand has the beach??"},
        {
            "rewrite": {"clear_question": "How many grains of sand are on the beach?"},
            "count": {"number": "nobody knows"},
            "describe": {"words": "More than anyone can count."},
        },
        data="rewrite[0].clear_question -> count[0].question, describe[0].question",
        output="describe[0].words -> answer",
        allowed="""count[0].number -> describe[0]
                   count[0].number -> answer""",
        note="The typed call raises and is caught: it has inputs but no output that an edge could start from.",
    ),
    case(
        "raise-and-cut",
        PageFitter,
        {"topic": "owls"},
        {
            "write": {"text": "Owls hunt at night with very keen ears."},
            "cut": {"shorter": "Owls hunt by ear."},
            "illustrate": {"picture": "an owl in the dark"},
        },
        data="""write[0].text -> cut[0].text, cut[0].hint
                cut[0].shorter -> illustrate[0].caption""",
        output="""cut[0].shorter -> page
                  illustrate[0].picture -> picture""",
        control="write[0].text -> cut[0]",
        allowed="write[0].text -> illustrate[0].caption, page",
        note="An exception of the program's own carries a count made from the text; the length decides on the cut.",
    ),
    case(
        "caught-division",
        SafeRatio,
        {"report": "Eight wins, not one defeat."},
        {"won": {"games": 8}, "lost": {"games": 0}, "comment": {"comment": "What a season."}},
        data="lost[0].games -> comment[0].ratio",
        output="comment[0].comment -> comment",
        allowed="won[0].games -> comment[0].ratio",
        note="With no defeat the wins do not matter, since no change of the wins alone leaves the caught division.",
    ),
    case(
        "best-so-far",
        BestSoFar,
        {"goal": "more cyclists"},
        {
            "propose": [{"slogan": "Ride."}, {"slogan": "Ride, rise!"}, {"slogan": "Cars are out."}],
            "score": [{"points": 3}, {"points": 8}, {"points": 5}],
        },
        data="""propose[0].slogan -> score[0].slogan, propose[1].best_so_far
                propose[1].slogan -> score[1].slogan, propose[2].best_so_far
                propose[2].slogan -> score[2].slogan
                score[0].points -> propose[1].best_so_far, propose[2].best_so_far
                score[1].points -> propose[2].best_so_far""",
        output="""propose[1].slogan -> slogan
                  score[0].points, score[1].points, score[2].points -> slogan, points""",
        note="The winner so far goes into each round; what lost the comparison flows nowhere but its points decide.",
    ),
)
