"""Programs by their build: nested, shared, copied and nameless predictors."""

import copy
from itertools import pairwise

import dspy

from .base import case


class Section(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("heading, before -> text")
        self.check = dspy.ChainOfThought("text -> corrected")

    def forward(self, heading: str, before: str) -> dspy.Prediction:
        text = self.write(heading=heading, before=before).text
        return dspy.Prediction(text=self.check(text=text).corrected)


class Report(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.intro = Section()
        self.body = Section()

    def forward(self, subject: str) -> dspy.Prediction:
        intro = self.intro(heading=f"What is {subject}?", before="(start)")
        body = self.body(heading=f"More on {subject}", before=intro.text)
        return dspy.Prediction(report=f"{intro.text}\n\n{body.text}")


class StepList(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict("text, task -> result"), dspy.ChainOfThought("text, task -> result")]
        self.last = {
            "shout": dspy.Predict("text, task -> result"),
            "whisper": dspy.Predict("text, task -> result"),
        }

    def forward(self, text: str, ending: str) -> dspy.Prediction:
        for step, task in zip([*self.steps, self.last[ending]], ("clean", "shorten", "finish"), strict=True):
            text = step(text=text, task=task).result
        return dspy.Prediction(text=text)


class DeepContainers(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [
            [dspy.Predict("text -> view"), dspy.Predict("text -> view")],
            [dspy.Predict("text -> view")],
        ]
        self.sum_up = dspy.Predict("views -> summary")

    def forward(self, text: str) -> dspy.Prediction:
        views = [text]
        for layer in self.layers:
            views = [look(text=" / ".join(views)).view for look in layer]
        return dspy.Prediction(summary=self.sum_up(views=views[0]).summary)


class OneModelTwoRoles(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.writer = dspy.Predict("request -> text")
        self.editor = self.writer
        self.judge = dspy.Predict("text -> mark")

    def forward(self, topic: str) -> dspy.Prediction:
        text = self.writer(request=f"Write about {topic}.").text
        edited = self.editor(request=f"Shorten this: {text}").text
        return dspy.Prediction(text=edited, mark=self.judge(text=edited).mark)


class MadeOnTheFly(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick_entries = dspy.Predict("form -> entries: list[str]")

    def forward(self, form: str) -> dspy.Prediction:
        values = {}
        for name in self.pick_entries(form=form).entries:
            values[name] = dspy.Predict("form, wanted -> value")(form=form, wanted=name).value
        return dspy.Prediction(record="; ".join(f"{name}={value}" for name, value in values.items()))


class Twins(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.optimist = dspy.Predict("plan -> opinion")
        self.pessimist = dspy.Predict("plan -> opinion")
        self.weigh = dspy.Predict("good, bad -> verdict")

    def forward(self, plan: str) -> dspy.Prediction:
        bad = self.pessimist(plan=plan).opinion
        good = self.optimist(plan=plan).opinion
        return dspy.Prediction(verdict=self.weigh(good=good, bad=bad).verdict)


class CopiedVoters(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        voter = dspy.Predict("question -> answer")
        self.voters = [copy.deepcopy(voter) for _ in range(3)]
        self.settle = dspy.Predict("one, two -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        answers = [voter(question=question).answer for voter in self.voters]
        return dspy.Prediction(answer=self.settle(one=answers[0], two=answers[-1]).answer, middle=answers[1])


class Polish(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rewrite = dspy.Predict("text -> better")

    def forward(self, text: str) -> dspy.Prediction:
        versions = [text]
        for _ in range(3):
            versions.append(self.rewrite(text=versions[-1]).better)
        return dspy.Prediction(text=versions[-1], changes=sum(a != b for a, b in pairwise(versions)))


class TwiceRead(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.invent = dspy.Predict("trade -> name, slogan")
        self.check = dspy.Predict("name, sentence, length: int -> fits: bool")

    def forward(self, trade: str) -> dspy.Prediction:
        made = self.invent(trade=trade)
        sentence = f"{made.name}: {made.slogan}"
        return self.check(name=made.name, sentence=sentence, length=len(sentence))


class FewerFields(dspy.Module):
    """Passes a whole Prediction on, as ** and as a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("letter -> sender, topic, mood")
        self.file = dspy.Predict("sender, topic -> folder")
        self.answer = dspy.Predict("facts: dict[str, str] -> reply")

    def forward(self, letter: str) -> dspy.Prediction:
        found = self.extract(letter=letter)
        folder = self.file(**{key: found[key] for key in ("sender", "topic")}).folder
        reply = self.answer(facts={key: value for key, value in found.items() if key != "topic"}).reply
        return dspy.Prediction(folder=folder, reply=reply)


CASES = (
    case(
        "nested-sections",
        Report,
        {"subject": "moss"},
        {
            "intro.write": {"text": "Moss is a plnt."},
            "intro.check.predict": {"reasoning": "plnt is wrong", "corrected": "Moss is a plant."},
            "body.write": {"text": "Moss is a plant. It likes shade."},
            "body.check.predict": {"reasoning": "fine", "corrected": "It likes shade."},
        },
        data="""intro.write[0].text -> intro.check.predict[0].text
                intro.check.predict[0].corrected -> body.write[0].before
                body.write[0].text -> body.check.predict[0].text""",
        output="intro.check.predict[0].corrected, body.check.predict[0].corrected -> report",
        note="Values leave a sub-module under another field's name, and the same class is used twice.",
    ),
    case(
        "list-and-dict-of-modules",
        StepList,
        {"text": "  It was, well, raining. ", "ending": "whisper"},
        {
            "steps[0]": {"result": "It was raining."},
            "steps[1].predict": {"reasoning": "short", "result": "Rain."},
            "last['shout']": {"result": "RAIN!"},
            "last['whisper']": {"result": "rain..."},
        },
        data="""steps[0][0].result -> steps[1].predict[0].text
                steps[1].predict[0].result -> last['whisper'][0].text""",
        output="last['whisper'][0].result -> text",
        note="A chain through a list and a dict of modules; the input chooses the last one, no output does.",
    ),
    case(
        "nested-containers",
        DeepContainers,
        {"text": "A red barn."},
        {
            "?": [{"view": "It is red."}, {"view": "It is a barn."}, {"view": "Red, and a barn."}],
            "sum_up": {"summary": "red barn"},
        },
        data="""?[0].view, ?[1].view -> ?[2].text
                ?[2].view -> sum_up[0].views""",
        output="sum_up[0].summary -> summary",
        note="Lists in a list hide their predictors from named_predictors(): three calls without a name.",
    ),
    case(
        "one-predictor-two-names",
        OneModelTwoRoles,
        {"topic": "snow"},
        {
            "writer": [{"text": "Snow is white and it falls softly."}, {"text": "Snow falls."}],
            "judge": {"mark": "good"},
        },
        data="""writer[0].text -> writer[1].request
                writer[1].text -> judge[0].text""",
        output="""writer[1].text -> text
                  judge[0].mark -> mark""",
        note="Two attributes hold one predictor, which has the first name only and feeds itself.",
    ),
    case(
        "made-in-forward",
        MadeOnTheFly,
        {"form": "Name: Guest. Town: Oslo."},
        {
            "pick_entries": {"entries": ["name", "town"]},
            "?": lambda inputs: {"value": "Oslo" if inputs["wanted"] == "town" else "Guest"},
        },
        data="pick_entries[0].entries -> ?[0].wanted, ?[1].wanted",
        output="pick_entries[0].entries, ?[0].value, ?[1].value -> record",
        allowed="pick_entries[0].entries -> ?[0], ?[1]",
        note="A new predictor without a name for each field; the field names also stand in the result.",
    ),
    case(
        "twin-signatures",
        Twins,
        {"plan": "Swim across the lake."},
        {
            "optimist": {"opinion": "It is warm."},
            "pessimist": {"opinion": "It is wide."},
            "weigh": {"verdict": "No."},
        },
        data="""optimist[0].opinion -> weigh[0].good
                pessimist[0].opinion -> weigh[0].bad""",
        output="weigh[0].verdict -> verdict",
        note="Two predictors with one signature are called against the order in which they were made.",
    ),
    case(
        "copied-predictors",
        CopiedVoters,
        {"question": "Left or right?"},
        {
            "voters[0]": {"answer": "left"},
            "voters[1]": {"answer": "left"},
            "voters[2]": {"answer": "left"},
            "settle": {"answer": "left"},
        },
        data="""voters[0][0].answer -> settle[0].one
                voters[2][0].answer -> settle[0].two""",
        output="""settle[0].answer -> answer
                  voters[1][0].answer -> middle""",
        note="Deep copies of one predictor share its stage and answer alike; only position tells them apart.",
    ),
    case(
        "loop-over-one-predictor",
        Polish,
        {"text": "me like soup"},
        {"rewrite": [{"better": "I like soup"}, {"better": "I like soup."}, {"better": "I like soup."}]},
        data="""rewrite[0].better -> rewrite[1].text
                rewrite[1].better -> rewrite[2].text""",
        output="""rewrite[2].better -> text
                  rewrite[0].better, rewrite[1].better, rewrite[2].better -> changes""",
        note="The last two outputs are equal, and a count of changes compares all of them.",
    ),
    case(
        "read-twice",
        TwiceRead,
        {"trade": "bakery"},
        {"invent": {"name": "Crust", "slogan": "still warm"}, "check": {"fits": True}},
        data="""invent[0].name -> check[0].name, check[0].sentence, check[0].length
                invent[0].slogan -> check[0].sentence, check[0].length""",
        output="check[0].fits -> fits",
        note="One output reaches three fields of one call: as it is, within a sentence and as a length.",
    ),
    case(
        "prediction-as-a-dict",
        FewerFields,
        {"letter": "The roof leaks again! Your tenant"},
        {
            "extract": {"sender": "tenant", "topic": "roof", "mood": "cross"},
            "file": {"folder": "repairs"},
            "answer": {"reply": "We come tomorrow."},
        },
        data="""extract[0].sender -> file[0].sender
                extract[0].topic -> file[0].topic
                extract[0].sender, extract[0].mood -> answer[0].facts""",
        output="""file[0].folder -> folder
                  answer[0].reply -> reply""",
        note="items() reads every field, one of which is left out afterwards.",
    ),
)
