"""Programs that vote, rank and compare, often with equal values."""

from collections import Counter, defaultdict
from statistics import median

import dspy

from .base import case


class Moderation(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.votes = [dspy.Predict("post -> harmful: bool") for _ in range(3)]
        self.explain = dspy.Predict("post, decision -> notice")

    def forward(self, post: str) -> dspy.Prediction:
        votes = [vote(post=post).harmful for vote in self.votes]
        decision = "remove" if sum(votes) >= 2 else "keep"
        return dspy.Prediction(notice=self.explain(post=post, decision=decision).notice)


class SelfConsistency(dspy.Module):
    def __init__(self, samples: int = 3) -> None:
        super().__init__()
        self.samples = samples
        self.solve = dspy.Predict("question -> answer")
        self.report = dspy.Predict("question, answer -> report")

    def forward(self, question: str) -> dspy.Prediction:
        answers = [
            self.solve(question=question, config={"rollout_id": i, "temperature": 1.0}).answer
            for i in range(self.samples)
        ]
        winner = Counter(answers).most_common(1)[0][0]
        return dspy.Prediction(answer=winner, report=self.report(question=question, answer=winner).report)


class FiveVotes(SelfConsistency):
    def __init__(self) -> None:
        super().__init__(samples=5)


class BestDraft(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drafts = [dspy.Predict("brief -> text") for _ in range(3)]
        self.score = dspy.Predict("text -> score: int")
        self.publish = dspy.Predict("text -> post")

    def forward(self, brief: str) -> dspy.Prediction:
        texts = [draft(brief=brief).text for draft in self.drafts]
        scores = [self.score(text=text).score for text in texts]
        best = texts[scores.index(max(scores))]
        return dspy.Prediction(post=self.publish(text=best).post)


class RankedDrafts(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("brief, style -> text")
        self.score = dspy.Predict("text -> score: int")

    def forward(self, brief: str) -> dspy.Prediction:
        texts = [self.draft(brief=brief, style=style).text for style in ("dry", "warm", "bold")]
        ranked = sorted(texts, key=lambda text: self.score(text=text).score, reverse=True)
        return dspy.Prediction(best=ranked[0], longest=max(texts, key=len))


class TwoWitnesses(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> answer")
        self.second = dspy.Predict("question -> answer")
        self.arbiter = dspy.Predict("question, one, other -> answer")
        self.phrase = dspy.Predict("question, fact -> sentence")

    def forward(self, question: str) -> dspy.Prediction:
        one = self.first(question=question).answer
        other = self.second(question=question).answer
        fact = one
        if one.lower() != other.lower():
            fact = self.arbiter(question=question, one=one, other=other).answer
        return dspy.Prediction(sentence=self.phrase(question=question, fact=fact).sentence)


class LoanCheck(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.income = dspy.Predict("form -> verdict")
        self.payments = dspy.Predict("form -> verdict")
        self.address = dspy.Predict("form -> verdict")
        self.decide = dspy.Predict("income_ok, payments_ok, default_answer -> decision")

    def forward(self, form: str) -> dspy.Prediction:
        income = self.income(form=form).verdict
        payments = self.payments(form=form).verdict
        self.address(form=form)
        decided = self.decide(income_ok=income, payments_ok=payments, default_answer="Yes")
        return dspy.Prediction(decision=decided.decision, checked="Yes")


class WeightedVote(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.solvers = {name: dspy.Predict("question -> option, confidence: int") for name in ("fast", "slow", "old")}
        self.explain = dspy.Predict("question, option -> explanation")

    def forward(self, question: str) -> dspy.Prediction:
        weights: dict[str, int] = defaultdict(int)
        for solver in self.solvers.values():
            solved = solver(question=question)
            weights[solved.option] += solved.confidence
        winner = max(weights, key=lambda option: weights[option])
        return dspy.Prediction(explanation=self.explain(question=question, option=winner).explanation)


class MedianPrice(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.appraise = dspy.Predict("item, expert -> price: int")
        self.advert = dspy.Predict("item, price -> advert")

    def forward(self, item: str) -> dspy.Prediction:
        prices = [self.appraise(item=item, expert=expert).price for expert in ("dealer", "museum", "friend")]
        advert = self.advert(item=item, price=f"{median(prices):.0f} euros")
        return dspy.Prediction(advert=advert.advert, spread=max(prices) - min(prices))


DRAFTS = {
    "drafts[0]": {"text": "Come and see the fair."},
    "drafts[1]": {"text": "The fair: a day you keep."},
    "drafts[2]": {"text": "Fair on Sunday."},
    "publish": {"post": "The fair is on!"},
}
SOUP = {"dry": "It is hot.", "warm": "It hugs you.", "bold": "SOUP!"}
DRAFT_EDGES = """drafts[0][0].text -> score[0].text
                 drafts[1][0].text -> score[1].text
                 drafts[2][0].text -> score[2].text
                 score[0].score, score[1].score, score[2].score -> publish[0].text"""

CASES = (
    case(
        "majority-of-three",
        Moderation,
        {"post": "You are all wonderful, except one."},
        {
            "votes[0]": {"harmful": False},
            "votes[1]": {"harmful": True},
            "votes[2]": {"harmful": True},
            "explain": {"notice": "Your post was removed."},
        },
        data="votes[1][0].harmful, votes[2][0].harmful -> explain[0].decision",
        output="explain[0].notice -> notice",
        allowed="votes[0][0].harmful -> explain[0].decision",
        note="Flipping the overruled vote alone changes nothing, flipping one of the majority does.",
    ),
    case(
        "majority-of-strings",
        SelfConsistency,
        {"question": "What is the capital of France?"},
        {
            "solve": [{"answer": "Paris"}, {"answer": "Lyon"}, {"answer": "Paris"}],
            "report": {"report": "It is Paris."},
        },
        data="solve[0].answer, solve[2].answer -> report[0].answer",
        output="""solve[0].answer, solve[2].answer -> answer
                  report[0].report -> report""",
        allowed="solve[1].answer -> report[0].answer, answer",
        note="The two votes for the winner are the same text; the overruled one cannot change it alone.",
    ),
    case(
        "vote-without-majority",
        SelfConsistency,
        {"question": "Which colour wins?"},
        {
            "solve": [{"answer": "red"}, {"answer": "blue"}, {"answer": "green"}],
            "report": {"report": "Red wins."},
        },
        data="solve[0].answer, solve[1].answer, solve[2].answer -> report[0].answer",
        output="""solve[0].answer, solve[1].answer, solve[2].answer -> answer
                  report[0].report -> report""",
        note="In a tie the first wins, and each of the others could decide it by agreeing with another.",
    ),
    case(
        "unanimous-sevens",
        FiveVotes,
        {"question": "What is 3 + 4, is it 7?"},
        {"solve": {"answer": "7"}, "report": {"report": "7"}},
        output="report[0].report -> report",
        allowed="""solve[0].answer, solve[1].answer, solve[2].answer -> report[0].answer, answer
                   solve[3].answer, solve[4].answer -> report[0].answer, answer""",
        note="Five equal votes: no single one can change the result, and 7 stands everywhere.",
    ),
    case(
        "best-of-by-score",
        BestDraft,
        {"brief": "announce the fair"},
        {**DRAFTS, "score": lambda inputs: {"score": 9 if "keep" in inputs["text"] else 4}},
        data=DRAFT_EDGES + "\n drafts[1][0].text -> publish[0].text",
        output="publish[0].post -> post",
        note="All scores choose, but only the chosen draft's text goes on.",
    ),
    case(
        "best-of-with-a-tie",
        BestDraft,
        {"brief": "announce the fair, please"},
        {**DRAFTS, "score": lambda inputs: {"score": 3 if "Sunday" in inputs["text"] else 8}},
        data=DRAFT_EDGES + "\n drafts[0][0].text -> publish[0].text",
        output="publish[0].post -> post",
        note="Two scores are equal and the first wins, so each of the two could change the choice by itself.",
    ),
    case(
        "best-of-equal-texts",
        BestDraft,
        {"brief": "announce the fair, shortly"},
        {
            **{name: {"text": "The fair opens."} for name in ("drafts[0]", "drafts[1]", "drafts[2]")},
            "score": {"score": 5},
            "publish": {"post": "The fair opens."},
        },
        data="""drafts[0][0].text -> score[0].text, publish[0].text
                drafts[1][0].text -> score[1].text
                drafts[2][0].text -> score[2].text""",
        output="publish[0].post -> post",
        allowed="score[0].score, score[1].score, score[2].score -> publish[0].text",
        note="The drafts are equal, so the scores choose without any change to see: neither required nor wrong.",
    ),
    case(
        "sorted-by-a-call",
        RankedDrafts,
        {"brief": "praise the soup"},
        {
            "draft": lambda inputs: {"text": SOUP.get(inputs["style"], "Soup.")},
            "score": lambda inputs: {"score": {"It is hot.": 2, "It hugs you.": 9}.get(inputs["text"], 5)},
        },
        data="""draft[0].text -> score[0].text
                draft[1].text -> score[1].text
                draft[2].text -> score[2].text""",
        output="""draft[1].text, score[0].score, score[1].score, score[2].score -> best
                  draft[0].text, draft[1].text, draft[2].text -> longest""",
        note="A predictor is the sort key; beside it a length decides, in which every text has a say.",
    ),
    case(
        "agreeing-twins",
        TwoWitnesses,
        {"question": "Where is the Louvre?"},
        {
            "first": {"answer": "Paris"},
            "second": {"answer": "Paris"},
            "arbiter": {"answer": "Lyon"},
            "phrase": {"sentence": "The Louvre is in Paris."},
        },
        data="first[0].answer -> phrase[0].fact",
        output="phrase[0].sentence -> sentence",
        allowed="second[0].answer -> phrase[0].fact",
        note="Equal outputs, one used and one compared; the other counts only through an arbiter that was not asked.",
    ),
    case(
        "yes-everywhere",
        LoanCheck,
        {"form": "Income? Yes. Debts paid? Yes."},
        {
            "income": {"verdict": "Yes"},
            "payments": {"verdict": "Yes"},
            "address": {"verdict": "Yes"},
            "decide": {"decision": "Yes"},
        },
        data="""income[0].verdict -> decide[0].income_ok
                payments[0].verdict -> decide[0].payments_ok""",
        output="decide[0].decision -> decision",
        note="Yes is one string for three checks, a constant and the decision; one check is never read.",
    ),
    case(
        "weighted-vote",
        WeightedVote,
        {"question": "Left or right?"},
        {
            "solvers['fast']": {"option": "left", "confidence": 9},
            "solvers['slow']": {"option": "right", "confidence": 3},
            "solvers['old']": {"option": "right", "confidence": 4},
            "explain": {"explanation": "The left is shorter."},
        },
        data="""solvers['fast'][0].option, solvers['fast'][0].confidence -> explain[0].option
                solvers['slow'][0].confidence, solvers['old'][0].confidence -> explain[0].option""",
        output="explain[0].explanation -> explanation",
        allowed="solvers['slow'][0].option, solvers['old'][0].option -> explain[0].option",
        note="Sums of weights decide: the losers' weights could change the winner alone, their options could not.",
    ),
    case(
        "median-of-three",
        MedianPrice,
        {"item": "a brass clock"},
        {
            "appraise": lambda inputs: {"price": {"dealer": 40, "museum": 90}.get(inputs["expert"], 70)},
            "advert": {"advert": "Clock, 70 euros"},
        },
        data="appraise[0].price, appraise[1].price, appraise[2].price -> advert[0].price",
        output="""appraise[0].price, appraise[1].price -> spread
                  appraise[2].price -> spread
                  advert[0].advert -> advert""",
        note="Each price can move the median and the spread, though the text shows one of them.",
    ),
)
