"""Text pipelines as users write them: folding, retrieval, debate, search; written without sight of any tracer."""

import functools
import re
import textwrap
from operator import itemgetter
from typing import NamedTuple

import dspy

from .base import case


class Passage(NamedTuple):
    title: str
    body: str


HANDBOOK = (
    Passage("Tides", "the tide table of the harbour is printed every monday"),
    Passage("Ferries", "the ferry to the island leaves at noon and at six"),
    Passage("Fares", "a ticket for the ferry costs nine crowns"),
    Passage("Weather", "storm warnings are given by a red flag on the pier"),
)
FACTS = {"who built the mill": "a carpenter from Lund", "when did he live": "around 1720"}


def overlap(query: str, passage: Passage) -> int:
    return len(set(query.lower().split()) & set(passage.body.split()))


def ranked(query: str) -> list[Passage]:
    return sorted(HANDBOOK, key=lambda passage: overlap(query, passage), reverse=True)


class FoldedSummary(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.digest = dspy.Predict("chunk -> summary")
        self.fold = dspy.Predict("so_far, addition -> summary")

    def forward(self, document: str) -> dspy.Prediction:
        parts = [self.digest(chunk=chunk).summary for chunk in textwrap.wrap(document, 40)]
        whole = functools.reduce(lambda left, right: self.fold(so_far=left, addition=right).summary, parts)
        return dspy.Prediction(summary=whole, kept=f"{len(whole) / len(document):.0%}")


class CollapseWhileLong(dspy.Module):
    limit = 12

    def __init__(self) -> None:
        super().__init__()
        self.note = dspy.Predict("paragraph -> note")
        self.condense = dspy.Predict("notes -> shorter")
        self.finish = dspy.Predict("notes -> brief")

    def forward(self, paragraphs: list[str]) -> dspy.Prediction:
        notes = [self.note(paragraph=paragraph).note for paragraph in paragraphs]
        while len(notes) > 1 and sum(len(note.split()) for note in notes) > self.limit:
            pairs = [notes[i : i + 2] for i in range(0, len(notes), 2)]
            notes = [self.condense(notes="\n".join(pair)).shorter for pair in pairs]
        return dspy.Prediction(brief=self.finish(notes="\n".join(notes)).brief)


class DecomposedRag(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decompose = dspy.Predict("question -> sub_questions: list[str]")
        self.answer = dspy.ChainOfThought("question, context: list[str] -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        sub_questions = self.decompose(question=question).sub_questions
        found = {ranked(one)[0] for one in sub_questions}
        return self.answer(question=question, context=[p.body for p in sorted(found)])


class ListwiseRerank(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rank = dspy.Predict("question, passages -> ranking")
        self.answer = dspy.Predict("question, context -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        listing = "\n".join(f"{i}: {passage.body}" for i, passage in enumerate(HANDBOOK))
        order = [int(n) for n in re.findall(r"\d+", self.rank(question=question, passages=listing).ranking)]
        top = [HANDBOOK[n] for n in order if n < len(HANDBOOK)][:2]
        context = "\n".join(f"[{i}] {passage.body}" for i, passage in enumerate(top, start=1))
        answer = self.answer(question=question, context=context).answer
        cited = {int(n) for n in re.findall(r"\[(\d+)\]", answer)}
        sources = [passage.title for i, passage in enumerate(top, start=1) if i in cited]
        return dspy.Prediction(answer=re.sub(r"\s*\[\d+\]", "", answer), sources=sources)


class SelfAsk(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.Predict("question, scratchpad -> text")

    def forward(self, question: str) -> dspy.Prediction:
        scratchpad = "(empty)"
        for _ in range(4):
            text = self.step(question=question, scratchpad=scratchpad).text
            final = re.search(r"final answer: (.+)", text)
            if final:
                return dspy.Prediction(answer=final.group(1).rstrip("."))
            asked = text.removeprefix("Follow up:").strip(" ?").lower()
            scratchpad += f"\n{text}\nIntermediate answer: {FACTS.get(asked, 'not known')}"
        return dspy.Prediction(answer="unknown")


class Debate(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pro = dspy.Predict("motion, opponent -> speech")
        self.con = dspy.Predict("motion, opponent -> speech")
        self.judge = dspy.Predict("transcript -> winner: Literal['pro', 'con']")

    def forward(self, motion: str) -> dspy.Prediction:
        last = {"pro": "(nothing yet)", "con": "(nothing yet)"}
        transcript = []
        for _ in range(2):
            for side, other in (("pro", "con"), ("con", "pro")):
                last[side] = getattr(self, side)(motion=motion, opponent=last[other]).speech
                transcript.append(f"{side.upper()}: {last[side]}")
        winner = self.judge(transcript="\n".join(transcript)).winner
        return dspy.Prediction(winner=winner, closing=last[winner])


class HillClimb(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("task -> text")
        self.rate = dspy.Predict("text -> rating")
        self.revise = dspy.Predict("text, points -> revised")

    def points(self, text: str) -> int:
        return int(re.findall(r"\d+", self.rate(text=text).rating)[0])

    def forward(self, task: str) -> dspy.Prediction:
        text = self.write(task=task).text
        best = self.points(text)
        for _ in range(2):
            candidate = self.revise(text=text, points=f"{best} of 10").revised
            points = self.points(candidate)
            if points > best:
                text, best = candidate, points
        return dspy.Prediction(text=text, points=best)


class BeamOfThoughts(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand = dspy.Predict("problem, path -> steps: list[str]")
        self.appraise = dspy.Predict("path -> value: float")

    def forward(self, problem: str) -> dspy.Prediction:
        beam = ["start"]
        for _ in range(2):
            paths = [f"{path} > {step}" for path in beam for step in self.expand(problem=problem, path=path).steps]
            valued = [(self.appraise(path=path).value, path) for path in paths]
            beam = [path for _, path in sorted(valued, key=itemgetter(0), reverse=True)[:2]]
        return dspy.Prediction(path=beam[0])


class RankFusion(dspy.Module):
    """Two wordings of the question, whose rankings are fused by reciprocal rank."""

    def __init__(self) -> None:
        super().__init__()
        self.reword = dspy.Predict("question, style -> query")
        self.answer = dspy.Predict("question, context -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        fused: dict[Passage, float] = {}
        for style in ("keywords", "plain words"):
            for place, passage in enumerate(ranked(self.reword(question=question, style=style).query)):
                fused[passage] = fused.get(passage, 0.0) + 1 / (1 + place)
        best, second, *_ = sorted(fused, key=lambda passage: fused[passage], reverse=True)
        context = f"{best.body}\n{second.body}"
        return dspy.Prediction(answer=self.answer(question=question, context=context).answer, first=best.title)


class ChatWindow(dspy.Module):
    """A chat that rewrites each message with the help of the last turn only."""

    def __init__(self) -> None:
        super().__init__()
        self.rewrite = dspy.Predict("history: dspy.History, message -> standalone")
        self.reply = dspy.Predict("standalone -> reply")

    def forward(self, messages: list[str]) -> dspy.Prediction:
        turns: list[dict[str, str]] = []
        replies = []
        for message in messages:
            window = dspy.History(messages=turns[-1:])
            standalone = self.rewrite(history=window, message=message).standalone
            replies.append(self.reply(standalone=standalone).reply)
            turns.append({"message": message, "standalone": standalone})
        return dspy.Prediction(replies=replies)


CASES = (
    case(
        "folded-summary",
        FoldedSummary,
        {"document": "The fleet left in May with nine boats. Two came back late. The rest stayed in the warm bay."},
        {
            "digest": [{"summary": "Nine boats left."}, {"summary": "Two were late."}, {"summary": "Others stayed."}],
            "fold": [{"summary": "Nine left, two late."}, {"summary": "Nine left, two late, others stayed."}],
        },
        data="""digest[0].summary -> fold[0].so_far
                digest[1].summary -> fold[0].addition
                fold[0].summary -> fold[1].so_far
                digest[2].summary -> fold[1].addition""",
        output="fold[1].summary -> summary, kept",
        note="functools.reduce calls a predictor; each fold contains the texts before it, a length is a percentage.",
    ),
    case(
        "collapse-while-long",
        CollapseWhileLong,
        {"paragraphs": ["On bread.", "On salt.", "On butter.", "On water."]},
        {
            "note": [
                {"note": "bread wants much time"},
                {"note": "salt comes very last"},
                {"note": "butter stays cold"},
                {"note": "water runs warm"},
            ],
            "condense": [{"shorter": "time, then salt"}, {"shorter": "cold butter, warm water"}],
            "finish": {"brief": "Take your time."},
        },
        data="""note[0].note, note[1].note -> condense[0].notes
                note[2].note, note[3].note -> condense[1].notes
                condense[0].shorter, condense[1].shorter -> finish[0].notes""",
        output="finish[0].brief -> brief",
        control="note[0].note, note[1].note, note[2].note, note[3].note -> condense[0], condense[1]",
        allowed="note[0].note, note[1].note, note[2].note, note[3].note -> finish[0].notes",
        note="A while loop over a word count: one shorter note would have spared both calls of condense.",
    ),
    case(
        "decomposed-rag",
        DecomposedRag,
        {"question": "When does the ferry leave and what does it cost?"},
        {
            "decompose": {"sub_questions": ["ferry leaves at which hour", "ticket costs", "what costs the ticket"]},
            "answer.predict": {"reasoning": "Both stand there.", "answer": "At noon and six, for nine crowns."},
        },
        data="decompose[0].sub_questions -> answer.predict[0].context",
        output="""answer.predict[0].answer -> answer
                  answer.predict[0].reasoning -> reasoning""",
        note="Sub-questions only pick passages, which are pooled in a set and sorted: no text of theirs goes on.",
    ),
    case(
        "listwise-rerank",
        ListwiseRerank,
        {"question": "Is a storm coming?"},
        {
            "rank": {"ranking": "3 > 0 > 2 > 1"},
            "answer": {"answer": "Look for a red flag on the pier [1], and at the table [2]."},
        },
        data="rank[0].ranking -> answer[0].context",
        output="""answer[0].answer -> answer, sources
                  rank[0].ranking -> sources""",
        note="A permutation is parsed out of a text; the titles come from the ranking and from marks in the answer.",
    ),
    case(
        "self-ask",
        SelfAsk,
        {"question": "When did the builder of the mill live?"},
        {
            "step": [
                {"text": "Follow up: Who built the mill?"},
                {"text": "Follow up: When did he live?"},
                {"text": "So the final answer: around 1720."},
            ]
        },
        data="""step[0].text -> step[1].scratchpad, step[2].scratchpad
                step[1].text -> step[2].scratchpad""",
        output="step[2].text -> answer",
        control="""step[0].text -> step[1]
                   step[1].text -> step[2]""",
        allowed="""step[0].text -> step[2]
                   step[0].text, step[1].text -> answer""",
        note="One predictor asks itself; a phrase in the text ends the loop, and the answer stood in a fact before.",
    ),
    case(
        "two-sided-debate",
        Debate,
        {"motion": "Cats make better sailors"},
        {
            "pro": [{"speech": "They catch rats."}, {"speech": "They balance well."}],
            "con": [{"speech": "They fear water."}, {"speech": "They fear water."}],
            "judge": {"winner": "pro"},
        },
        data="""pro[0].speech -> con[0].opponent, judge[0].transcript
                con[0].speech -> pro[1].opponent, judge[0].transcript
                pro[1].speech -> con[1].opponent, judge[0].transcript
                con[1].speech -> judge[0].transcript""",
        output="""judge[0].winner -> winner, closing
                  pro[1].speech -> closing""",
        note="Debaters see only the other's last speech; one side repeats itself, and the verdict picks a speech.",
    ),
    case(
        "hill-climb",
        HillClimb,
        {"task": "a sign for the bakery"},
        {
            "write": {"text": "Bread here."},
            "rate": [{"rating": "5/10, plain"}, {"rating": "8/10"}, {"rating": "a 6 at best"}],
            "revise": [{"revised": "Warm bread here."}, {"revised": "Warm bread, here, now."}],
        },
        data="""write[0].text -> rate[0].text, revise[0].text
                rate[0].rating -> revise[0].points, revise[1].text, revise[1].points
                revise[0].revised -> rate[1].text, revise[1].text
                rate[1].rating -> revise[1].text, revise[1].points
                revise[1].revised -> rate[2].text""",
        output="""revise[0].revised -> text
                  rate[0].rating, rate[1].rating, rate[2].rating -> text, points""",
        note="A revision is kept only if a number in a text rose; the second revision is judged and thrown away.",
    ),
    case(
        "beam-of-thoughts",
        BeamOfThoughts,
        {"problem": "Get from 3 to 8."},
        {
            "expand": [{"steps": ["add 3", "double", "halve"]}, {"steps": ["add 1", "add 2"]}, {"steps": ["x", "y"]}],
            "appraise": [{"value": value} for value in (0.2, 0.9, 0.5, 0.4, 0.8, 0.6, 0.3)],
        },
        data="""expand[0].steps -> appraise[0].path, appraise[1].path, appraise[2].path, expand[1].path, expand[2].path
                expand[0].steps -> appraise[3].path, appraise[4].path, appraise[5].path, appraise[6].path
                appraise[0].value, appraise[1].value, appraise[2].value -> expand[1].path, expand[2].path
                appraise[0].value, appraise[1].value, appraise[2].value -> appraise[3].path, appraise[4].path
                appraise[0].value, appraise[1].value, appraise[2].value -> appraise[5].path, appraise[6].path
                expand[1].steps -> appraise[3].path, appraise[4].path
                expand[2].steps -> appraise[5].path, appraise[6].path""",
        output="""expand[0].steps, expand[1].steps, appraise[1].value -> path
                  appraise[3].value, appraise[4].value, appraise[5].value, appraise[6].value -> path""",
        allowed="""expand[0].steps -> appraise[0], appraise[1], appraise[2], expand[1], expand[2]
                   expand[0].steps, expand[1].steps -> appraise[3], appraise[4], appraise[5], appraise[6]
                   expand[2].steps -> appraise[3], appraise[4], appraise[5], appraise[6]
                   expand[1].steps -> appraise[5].path, appraise[6].path
                   expand[2].steps, appraise[0].value, appraise[2].value -> path""",
        note="Values of one level choose the prefixes of the next; the losing branch reaches only values.",
    ),
    case(
        "rank-fusion",
        RankFusion,
        {"question": "What does the crossing cost?"},
        {
            "reword": [{"query": "ferry prices"}, {"query": "crowns for a ticket"}],
            "answer": {"answer": "Nine crowns."},
        },
        data="reword[0].query, reword[1].query -> answer[0].context",
        output="""answer[0].answer -> answer
                  reword[0].query -> first
                  reword[1].query -> first""",
        note="Two queries become ranks, the ranks a sum of fractions, and the sum an order of fixed passages.",
    ),
    case(
        "chat-window",
        ChatWindow,
        {"messages": ["Who runs the inn?", "Since when?", "And before?"]},
        {
            "rewrite": [
                {"standalone": "Who runs the inn?"},
                {"standalone": "Since when does she run the inn?"},
                {"standalone": "Who ran the inn before her?"},
            ],
            "reply": [{"reply": "A widow."}, {"reply": "Ten years."}, {"reply": "A widow."}],
        },
        data="""rewrite[0].standalone -> reply[0].standalone, rewrite[1].history
                rewrite[1].standalone -> reply[1].standalone, rewrite[2].history
                rewrite[2].standalone -> reply[2].standalone""",
        output="reply[0].reply, reply[1].reply, reply[2].reply -> replies",
        note="The history holds one turn, so the first rewriting is out of sight at the third; it equals its message.",
    ),
)
