"""Programs that handle values: JSON, numbers, lists, tables, typed outputs, histories."""

import csv
import datetime
import io
import json
from typing import ClassVar, Literal

import dspy
import pydantic

from .base import case


class Address(pydantic.BaseModel):
    city: str
    postcode: str


class Person(pydantic.BaseModel):
    name: str
    age: int
    address: Address


class ReadLetter(dspy.Signature):
    """Who wrote the letter?"""

    letter: str = dspy.InputField()
    person: Person = dspy.OutputField()


class DetectLanguage(dspy.Signature):
    """In which language is the message?"""

    message: str = dspy.InputField()
    language: Literal["en", "fr", "de"] = dspy.OutputField()


class JobMatch(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parse = dspy.Predict("resume -> profile")
        self.match = dspy.Predict("profile, job -> fit")

    def forward(self, resume: str, job: str) -> dspy.Prediction:
        profile = json.loads(self.parse(resume=resume).profile)
        profile.pop("name", None)
        profile["skills"] = sorted(skill.upper() for skill in profile.get("skills", []))
        fit = self.match(profile=json.dumps(profile, indent=2, sort_keys=True), job=job)
        return dspy.Prediction(fit=fit.fit, n_skills=len(profile["skills"]))


class Invoice(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.price = dspy.Predict("item -> price")
        self.quantity = dspy.Predict("order -> quantity")
        self.write = dspy.Predict("item, total: int -> invoice")

    def forward(self, item: str, order: str) -> dspy.Prediction:
        price = int(self.price(item=item).price.rstrip("€ "))
        quantity = int(self.quantity(order=order).quantity)
        total = price * quantity
        return dspy.Prediction(total=total, invoice=self.write(item=item, total=total).invoice)


class Roster(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("minutes -> attendees: list[str]")
        self.seat = dspy.Predict("names: list[str], count: int -> plan")

    def forward(self, minutes: str) -> dspy.Prediction:
        attendees = self.extract(minutes=minutes).attendees
        plan = self.seat(names=sorted(attendees, key=str.lower), count=len(attendees)).plan
        return dspy.Prediction(plan=plan, first=min(attendees, default=""))


class Tagger(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.from_title = dspy.Predict("title -> keywords: list[str]")
        self.from_body = dspy.Predict("body -> keywords: list[str]")
        self.choose = dspy.Predict("keywords: list[str] -> tag")

    def forward(self, title: str, body: str) -> dspy.Prediction:
        found = self.from_title(title=title).keywords + self.from_body(body=body).keywords
        unique = list(dict.fromkeys(word.casefold() for word in found))
        return dspy.Prediction(tag=self.choose(keywords=unique).tag, keywords=unique)


class Greeter(dspy.Module):
    greetings: ClassVar = {"en": "Good morning", "fr": "Bonjour", "de": "Guten Morgen"}

    def __init__(self) -> None:
        super().__init__()
        self.detect = dspy.Predict(DetectLanguage)
        self.reply = dspy.Predict("message, opening -> reply")

    def forward(self, message: str) -> dspy.Prediction:
        opening = self.greetings[self.detect(message=message).language]
        reply = self.reply(message=message, opening=opening).reply
        return dspy.Prediction(reply=f"{opening}, {reply}")


class Ticket(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.formal = dspy.Predict("mail -> formal: bool")
        self.urgent = dspy.Predict("mail -> urgent: bool")
        self.write = dspy.Predict("mail, tone, subject -> reply")

    def forward(self, mail: str) -> dspy.Prediction:
        formal = self.formal(mail=mail).formal
        urgent = self.urgent(mail=mail).urgent
        subject = "URGENT: your mail" if urgent else "Your mail"
        reply = self.write(mail=mail, tone="formal" if formal else "casual", subject=subject).reply
        return dspy.Prediction(reply=reply, escalate=urgent)


class Review(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = dspy.Predict("review -> rating: int")
        self.count = dspy.Predict("review -> complaints: int")
        self.summarize = dspy.Predict("review, rating: int -> summary")

    def forward(self, review: str) -> dspy.Prediction:
        rating = self.rate(review=review).rating
        complaints = self.count(review=review).complaints
        summary = self.summarize(review=review, rating=rating).summary
        return dspy.Prediction(summary=summary, severity=min(complaints * 2, 10))


class Mover(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict(ReadLetter)
        self.climate = dspy.Predict("city -> climate")
        self.card = dspy.Predict("record, climate -> card")

    def forward(self, letter: str) -> dspy.Prediction:
        person = self.extract(letter=letter).person
        climate = self.climate(city=person.address.city).climate
        card = self.card(record=person.model_dump_json(exclude={"address"}), climate=climate).card
        return dspy.Prediction(card=card, adult=person.age >= 18)


class Tutor(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.chat = dspy.Predict("history: dspy.History, question -> answer")

    def forward(self, questions: list[str]) -> dspy.Prediction:
        history = dspy.History(messages=[])
        answer = ""
        for question in questions:
            answer = self.chat(history=history, question=question).answer
            history.messages.append({"question": question, "answer": answer})
        return dspy.Prediction(answer=answer)


class Emotion(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.score = dspy.Predict("text -> scores: dict[str, float]")
        self.explain = dspy.Predict("text, emotion -> reason")

    def forward(self, text: str) -> dspy.Prediction:
        scores = self.score(text=text).scores
        top = max(scores, key=lambda name: scores[name])
        reason = self.explain(text=text, emotion=top).reason
        return dspy.Prediction(reason=reason, certain=scores[top] > 0.5)


class Deadline(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.estimate = dspy.Predict("task -> days: int")
        self.announce = dspy.Predict("task, deadline -> notice")

    def forward(self, task: str) -> dspy.Prediction:
        days = self.estimate(task=task).days
        deadline = datetime.date(2024, 1, 30) + datetime.timedelta(days=days)
        return dspy.Prediction(notice=self.announce(task=task, deadline=deadline.isoformat()).notice)


class TableReport(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("notes -> rows: list[dict[str, str | int]]")
        self.caption = dspy.Predict("table -> caption")

    def forward(self, notes: str) -> dspy.Prediction:
        rows = self.extract(notes=notes).rows
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=["month", "sales"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        caption = self.caption(table=out.getvalue()).caption
        return dspy.Prediction(caption=caption, total=sum(int(row.get("sales", 0)) for row in rows))


CASES = (
    case(
        "json-load-and-dump",
        JobMatch,
        {"resume": "Four years of SQL and Go", "job": "backend"},
        {
            "parse": {"profile": '{"name": "N. N.", "years": 4, "skills": ["sql", "go"]}'},
            "match": {"fit": "strong in GO and SQL"},
        },
        data="parse[0].profile -> match[0].profile",
        output="""parse[0].profile -> n_skills
                  match[0].fit -> fit""",
        note="JSON is parsed, trimmed, upper-cased, sorted and dumped again; its length is returned too.",
    ),
    case(
        "int-arithmetic",
        Invoice,
        {"item": "lamp", "order": "a dozen lamps please"},
        {
            "price": {"price": "25 €"},
            "quantity": {"quantity": "12"},
            "write": {"invoice": "Lamps: 300 euros"},
        },
        data="price[0].price, quantity[0].quantity -> write[0].total",
        output="""price[0].price, quantity[0].quantity -> total
                  write[0].invoice -> invoice""",
        note="A product of two parsed numbers holds neither of them.",
    ),
    case(
        "sorted-list-and-count",
        Roster,
        {"minutes": "Present: the baker, the Cook, an actor."},
        {
            "extract": {"attendees": ["the baker", "the Cook", "an actor"]},
            "seat": {"plan": "actor, baker, cook"},
        },
        data="extract[0].attendees -> seat[0].names, seat[0].count",
        output="""extract[0].attendees -> first
                  seat[0].plan -> plan""",
        note="A typed list goes on sorted, and its length goes on as a number.",
    ),
    case(
        "dedup-two-lists",
        Tagger,
        {"title": "Bread at home", "body": "Flour, water, an oven."},
        {
            "from_title": {"keywords": ["Bread", "home"]},
            "from_body": {"keywords": ["flour", "bread", "Oven"]},
            "choose": {"tag": "baking"},
        },
        data="from_title[0].keywords, from_body[0].keywords -> choose[0].keywords",
        output="""from_title[0].keywords, from_body[0].keywords -> keywords
                  choose[0].tag -> tag""",
        note="Two lists overlap, are lower-cased and lose their duplicates.",
    ),
    case(
        "dict-translation",
        Greeter,
        {"message": "Salut, ça va?"},
        {"detect": {"language": "fr"}, "reply": {"reply": "tout va bien"}},
        data="detect[0].language -> reply[0].opening",
        output="detect[0].language, reply[0].reply -> reply",
        note="A Literal only selects a text of a table: nothing of it stands in the next input.",
    ),
    case(
        "two-true-booleans",
        Ticket,
        {"mail": "Dear Sir or Madam, my heating is broken."},
        {"formal": {"formal": True}, "urgent": {"urgent": True}, "write": {"reply": "We will come today."}},
        data="""formal[0].formal -> write[0].tone
                urgent[0].urgent -> write[0].subject""",
        output="""urgent[0].urgent -> escalate
                  write[0].reply -> reply""",
        note="True is one object for both flags, and each turns into a text of the code.",
    ),
    case(
        "two-sevens",
        Review,
        {"review": "7 times I called, and still 7 faults."},
        {"rate": {"rating": 7}, "count": {"complaints": 7}, "summarize": {"summary": "7 faults"}},
        data="rate[0].rating -> summarize[0].rating",
        output="""count[0].complaints -> severity
                  summarize[0].summary -> summary""",
        note="Two outputs are the same small int; only one is passed on, the other is doubled and capped at 10.",
    ),
    case(
        "pydantic-nested",
        Mover,
        {"letter": "I am 30, call me Guest, and I moved to Oslo 0150."},
        {
            "extract": {"person": Person(name="Guest", age=30, address=Address(city="Oslo", postcode="0150"))},
            "climate": {"climate": "cold and bright"},
            "card": {"card": "Guest (30), somewhere cold"},
        },
        data="""extract[0].person -> climate[0].city, card[0].record
                climate[0].climate -> card[0].climate""",
        output="""extract[0].person -> adult
                  card[0].card -> card""",
        note="One nested field goes to one call, the rest of the model as JSON to another.",
    ),
    case(
        "history-in-place",
        Tutor,
        {"questions": ["What is a prime?", "Is 1 one?", "Is 2 one?"]},
        {
            "chat": [
                {"answer": "A number with two divisors."},
                {"answer": "No."},
                {"answer": "Yes, the even one."},
            ]
        },
        data="""chat[0].answer -> chat[1].history, chat[2].history
                chat[1].answer -> chat[2].history""",
        output="chat[2].answer -> answer",
        note="One History object is appended to in place, so every recorded input looks like the last one.",
    ),
    case(
        "dict-of-scores",
        Emotion,
        {"text": "The rain again, and I laughed."},
        {"score": {"scores": {"joy": 0.6, "anger": 0.1, "fear": 0.0}}, "explain": {"reason": "laughter"}},
        data="score[0].scores -> explain[0].emotion",
        output="""score[0].scores -> certain
                  explain[0].reason -> reason""",
        note="A key of a dict is selected by its values; the result holds a comparison of one value.",
    ),
    case(
        "date-arithmetic",
        Deadline,
        {"task": "paint the fence"},
        {"estimate": {"days": 3}, "announce": {"notice": "Done by 2 February"}},
        data="estimate[0].days -> announce[0].deadline",
        output="announce[0].notice -> notice",
        note="A number of days becomes a date in the next month.",
    ),
    case(
        "rows-to-csv",
        TableReport,
        {"notes": "January 40, February 2"},
        {
            "extract": {"rows": [{"month": "January", "sales": 40}, {"month": "February", "sales": 2}]},
            "caption": {"caption": "Sales fell"},
        },
        data="extract[0].rows -> caption[0].table",
        output="""extract[0].rows -> total
                  caption[0].caption -> caption""",
        note="A list of dicts is written as CSV and summed up.",
    ),
)
