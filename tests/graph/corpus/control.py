"""Programs in which an output decides which calls happen: routers, switches, early ends, counts."""

from typing import Literal

import dspy

from .base import case


class Kind(dspy.Signature):
    """Say what the question is about."""

    question: str = dspy.InputField()
    kind: Literal["math", "history", "other"] = dspy.OutputField()


class SubjectRouter(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router = dspy.Predict("question -> route")
        self.math = dspy.Predict("question -> answer")
        self.general = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        route = self.router(question=question).route
        if "math" in route.lower():
            answer = self.math(question=question).answer
        else:
            answer = self.general(question=question).answer
        return dspy.Prediction(answer=answer)


class Helpdesk(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.triage = dspy.Predict("mail -> category, order_id")
        self.refund = dspy.Predict("order, mail -> reply")
        self.repair = dspy.Predict("mail -> reply")
        self.fallback = dspy.Predict("mail -> reply")

    def forward(self, mail: str) -> dspy.Prediction:
        ticket = self.triage(mail=mail)
        match ticket.category.strip().lower():
            case "refund" | "return":
                return self.refund(order=f"#{ticket.order_id}", mail=mail)
            case "repair":
                return self.repair(mail=mail)
            case _:
                return self.fallback(mail=mail)


class Translator(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.detect = dspy.Predict("text -> language")
        self.handlers = {"fr": dspy.Predict("text -> english"), "de": dspy.Predict("text -> english")}
        self.polish = dspy.Predict("english, source -> final")

    def forward(self, text: str) -> dspy.Prediction:
        language = self.detect(text=text).language
        handler = self.handlers.get(language, self.handlers["fr"])
        english = handler(text=text).english
        return dspy.Prediction(final=self.polish(english=english, source=language.upper()).final)


class KindDispatch(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.Predict(Kind)
        self.solve_math = dspy.ChainOfThought("question -> answer")
        self.solve_history = dspy.ChainOfThought("question -> answer")
        self.solve_other = dspy.ChainOfThought("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        kind = self.classify(question=question).kind
        solved = getattr(self, f"solve_{kind}")(question=question)
        return dspy.Prediction(answer=solved.answer, kind=kind)


class CheapFirst(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quick = dspy.Predict("question -> answer, confidence: float")
        self.deep = dspy.Predict("question, first_guess -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        quick = self.quick(question=question)
        if quick.confidence >= 0.8:
            return dspy.Prediction(answer=quick.answer, source="quick")
        deep = self.deep(question=question, first_guess=quick.answer)
        return dspy.Prediction(answer=deep.answer, source="deep")


class StopsEarly(CheapFirst):
    """The same, on a question it is sure of."""


class Answerer(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("question -> text")
        self.compress = dspy.Predict("text -> shorter")
        self.translate = dspy.Predict("text -> french")

    def forward(self, question: str) -> dspy.Prediction:
        text = self.write(question=question).text
        if len(text) > 400:
            text = self.compress(text=text).shorter
        return dspy.Prediction(french=self.translate(text=text).french)


class Sampler(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("task -> n: int")
        self.sample = dspy.Predict("task, seed: int -> idea")
        self.choose = dspy.Predict("ideas -> best")

    def forward(self, task: str) -> dspy.Prediction:
        n = min(self.plan(task=task).n, 5)
        ideas = [self.sample(task=task, seed=seed).idea for seed in range(n)]
        return dspy.Prediction(best=self.choose(ideas="\n---\n".join(ideas)).best)


class FilteredNotes(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.judge = dspy.Predict("question, document -> relevant: bool")
        self.note = dspy.Predict("document -> note")
        self.write = dspy.Predict("question, notes: list[str] -> answer")

    def forward(self, question: str, documents: list[str]) -> dspy.Prediction:
        notes = []
        for document in documents:
            if not self.judge(question=question, document=document).relevant:
                continue
            notes.append(self.note(document=document).note)
        return dspy.Prediction(answer=self.write(question=question, notes=notes).answer)


class DivideAndMerge(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.split = dspy.Predict("question -> parts: list[str]")
        self.lookup = dspy.Predict("question -> fact")
        self.merge = dspy.Predict("question, facts -> fact")

    def forward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=self.solve(question, depth=1))

    def solve(self, question: str, depth: int) -> str:
        parts = self.split(question=question).parts if depth else []
        if not parts:
            return self.lookup(question=question).fact
        facts = [f"{part} -> {self.solve(part, depth - 1)}" for part in parts]
        return self.merge(question=question, facts="\n".join(facts)).fact


class Improver(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.check = dspy.Predict("text -> ok: bool, issue")
        self.fix = dspy.Predict("text, issue -> fixed")

    def forward(self, text: str) -> dspy.Prediction:
        return dspy.Prediction(text=self.improve(text, rounds=3))

    def improve(self, text: str, rounds: int) -> str:
        found = self.check(text=text)
        if found.ok or rounds == 0:
            return text
        return self.improve(self.fix(text=text, issue=found.issue).fixed, rounds - 1)


class ModelChoice(dspy.Module):
    """A flag chooses the prompt of one and the same call."""

    def __init__(self) -> None:
        super().__init__()
        self.check = dspy.Predict("message -> is_child: bool")
        self.answer = dspy.Predict("message, style -> reply")

    def forward(self, message: str) -> dspy.Prediction:
        if self.check(message=message).is_child:
            reply = self.answer(message=message, style="for a child, with one example").reply
        else:
            reply = self.answer(message=message, style="for an expert, terse").reply
        return dspy.Prediction(reply=reply)


CASES = (
    case(
        "router-if",
        SubjectRouter,
        {"question": "What is 6 times 7?"},
        {"router": {"route": "It is Math."}, "math": {"answer": "42"}, "general": {"answer": "unknown"}},
        output="math[0].answer -> answer",
        control="router[0].route -> math[0]",
        allowed="router[0].route -> answer",
        note="The route is searched for a word, so a text that is only added to it changes nothing.",
    ),
    case(
        "router-match",
        Helpdesk,
        {"mail": "My lamp arrived broken, order 8812."},
        {
            "triage": {"category": "Return ", "order_id": "8812"},
            "refund": {"reply": "We refund 8812."},
            "repair": {"reply": "We repair it."},
            "fallback": {"reply": "Thank you."},
        },
        data="triage[0].order_id -> refund[0].order",
        output="refund[0].reply -> reply",
        control="triage[0].category -> refund[0]",
        allowed="triage[0].category -> reply",
        note="One output of the call chooses the branch and another one flows into it; the "
        "Prediction is returned as is.",
    ),
    case(
        "router-dict",
        Translator,
        {"text": "Guten Tag"},
        {
            "detect": {"language": "de"},
            "handlers['fr']": {"english": "?"},
            "handlers['de']": {"english": "Good day"},
            "polish": {"final": "Good day!"},
        },
        data="""handlers['de'][0].english -> polish[0].english
                detect[0].language -> polish[0].source""",
        output="polish[0].final -> final",
        control="detect[0].language -> handlers['de'][0]",
        allowed="detect[0].language -> polish[0].english",
        note="The router's word chooses a module out of a dict and flows on in upper case too.",
    ),
    case(
        "router-getattr",
        KindDispatch,
        {"question": "When did Rome fall?"},
        {
            "classify": {"kind": "history"},
            "solve_math.predict": {"reasoning": "r", "answer": "0"},
            "solve_history.predict": {"reasoning": "The last emperor went in 476.", "answer": "476"},
            "solve_other.predict": {"reasoning": "r", "answer": "no idea"},
        },
        output="""solve_history.predict[0].answer -> answer
                  classify[0].kind -> kind""",
        control="classify[0].kind -> solve_history.predict[0]",
        allowed="classify[0].kind -> answer",
        note="The module's attribute name is made of the output; the reasoning is never read.",
    ),
    case(
        "cheap-then-deep",
        CheapFirst,
        {"question": "Who wrote the letter?"},
        {"quick": {"answer": "the baker", "confidence": 0.3}, "deep": {"answer": "the baker's son"}},
        data="quick[0].answer -> deep[0].first_guess",
        output="""deep[0].answer -> answer
                  quick[0].confidence -> source""",
        control="quick[0].confidence -> deep[0]",
        allowed="quick[0].confidence -> answer",
        note="A threshold on a number decides on the second call, whose reply contains the first one.",
    ),
    case(
        "early-return",
        StopsEarly,
        {"question": "Who wrote the other letter?"},
        {"quick": {"answer": "the cook", "confidence": 0.95}, "deep": {"answer": "the gardener"}},
        output="quick[0].answer -> answer",
        allowed="quick[0].confidence -> answer, source",
        note="The early way out was taken: the confidence acts only by way of a call that did not happen.",
    ),
    case(
        "skipped-module",
        Answerer,
        {"question": "Why is the sky blue?"},
        {
            "write": {"text": "Air scatters blue light most."},
            "compress": {"shorter": "Blue scatters."},
            "translate": {"french": "L'air disperse le bleu."},
        },
        data="write[0].text -> translate[0].text",
        output="translate[0].french -> french",
        note="A middle module is skipped for short texts, so the text goes straight on.",
    ),
    case(
        "count-decides",
        Sampler,
        {"task": "name a boat"},
        {
            "plan": {"n": 3},
            "sample": lambda inputs: {"idea": f"Boat no. {inputs['seed']}"},
            "choose": {"best": "Boat no. 1"},
        },
        data="sample[0].idea, sample[1].idea, sample[2].idea -> choose[0].ideas",
        output="choose[0].best -> best",
        control="plan[0].n -> sample[0], sample[1], sample[2]",
        allowed="plan[0].n -> choose[0].ideas",
        note="A number decides how many calls there are and flows into none of them.",
    ),
    case(
        "filter-with-continue",
        FilteredNotes,
        {"question": "When to sow?", "documents": ["Sow in April.", "Cats purr.", "Water in May."]},
        {
            "judge": lambda inputs: {"relevant": "Cats" not in inputs["document"]},
            "note": lambda inputs: {"note": f"noted: {inputs['document'].lower()}"},
            "write": {"answer": "Sow in April, water in May."},
        },
        data="note[0].note, note[1].note -> write[0].notes",
        output="write[0].answer -> answer",
        control="""judge[0].relevant -> note[0]
                   judge[2].relevant -> note[1]""",
        allowed="""judge[0].relevant, judge[2].relevant -> write[0].notes
                   judge[1].relevant -> write[0].notes""",
        note="If the first note goes, the second one becomes note[0]: only content tells which call vanished.",
    ),
    case(
        "divide-and-merge",
        DivideAndMerge,
        {"question": "Compare the height of two towers."},
        {
            "split": {"parts": ["height of the north tower", "height of the south tower"]},
            "lookup": lambda inputs: {"fact": "90 m" if "north" in inputs["question"] else "80 m"},
            "merge": {"fact": "The north tower is higher."},
        },
        data="""split[0].parts -> lookup[0].question, lookup[1].question, merge[0].facts
                lookup[0].fact, lookup[1].fact -> merge[0].facts""",
        output="merge[0].fact -> answer",
        control="split[0].parts -> merge[0]",
        allowed="""split[0].parts -> lookup[0], lookup[1]
                   split[0].parts -> answer""",
        note="Recursion: without parts there is nothing to merge and the lookup answers, with them a call per part.",
    ),
    case(
        "recursive-improver",
        Improver,
        {"text": "Teh cat sat."},
        {
            "check": [
                {"ok": False, "issue": "spelling"},
                {"ok": False, "issue": "too short"},
                {"ok": True, "issue": ""},
            ],
            "fix": [{"fixed": "The cat sat."}, {"fixed": "The cat sat on the mat."}],
        },
        data="""check[0].issue -> fix[0].issue
                check[1].issue -> fix[1].issue
                fix[0].fixed -> check[1].text, fix[1].text
                fix[1].fixed -> check[2].text""",
        output="fix[1].fixed -> text",
        control="""check[0].ok -> fix[0], check[1]
                   check[1].ok -> fix[1], check[2]""",
        allowed="""check[0].ok -> fix[1], check[2]
                   check[0].ok, check[1].ok, check[2].ok -> text""",
        note="A loop written as recursion; each check decides on the next fix and the next check.",
    ),
    case(
        "flag-chooses-the-prompt",
        ModelChoice,
        {"message": "why do stars shine"},
        {"check": {"is_child": True}, "answer": {"reply": "They are hot, like a stove."}},
        data="check[0].is_child -> answer[0].style",
        output="answer[0].reply -> reply",
        note="Both branches make the same call with another constant: to the call the flag is data, not control.",
    ),
)
