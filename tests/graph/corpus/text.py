"""Programs that pass text on: formatted, joined, cut, cleaned, searched."""

import re
import textwrap
from string import Template
from typing import ClassVar

import dspy

from .base import case


class Headline(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.summarize = dspy.Predict("article -> summary")
        self.headline = dspy.Predict("notes -> headline")

    def forward(self, article: str, audience: str) -> dspy.Prediction:
        summary = self.summarize(article=article).summary
        title = self.headline(notes=f"Audience: {audience}\nSummary: {summary}\nKeep it short.")
        return dspy.Prediction(title=title.headline)


class Decision(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pros = dspy.Predict("proposal -> text")
        self.cons = dspy.Predict("proposal -> text")
        self.risks = dspy.Predict("proposal -> text")
        self.decide = dspy.Predict("proposal, points -> decision")

    def forward(self, proposal: str) -> dspy.Prediction:
        asked = [self.pros, self.cons, self.risks]
        points = [ask(proposal=proposal).text for ask in asked]
        numbered = "\n".join(f"{i}. {point}" for i, point in enumerate(points, start=1))
        decided = self.decide(proposal=proposal, points=numbered)
        return dspy.Prediction(decision=decided.decision, considered=len(points), main_reason=points[0])


class CityGuide(dspy.Module):
    template = "Write two lines about {city}, the city of {nickname}."
    nicknames: ClassVar = {"Paris": "light", "Rome": "seven hills"}

    def __init__(self) -> None:
        super().__init__()
        self.find_city = dspy.Predict("message -> city")
        self.describe = dspy.Predict("task -> description")

    def forward(self, message: str) -> dspy.Prediction:
        city = self.find_city(message=message).city.strip().lower().title()
        task = self.template.format(city=city, nickname=self.nicknames.get(city, "unknown fame"))
        return dspy.Prediction(city=city, description=self.describe(task=task).description)


class Letter(dspy.Module):
    layout = Template("$greeting\n\n$body\n\n$closing\n$sender")

    def __init__(self) -> None:
        super().__init__()
        self.greet = dspy.Predict("recipient -> greeting")
        self.write = dspy.Predict("request -> body")
        self.close = dspy.Predict("recipient -> closing")
        self.review = dspy.Predict("letter -> verdict")

    def forward(self, recipient: str, request: str) -> dspy.Prediction:
        letter = self.layout.safe_substitute(
            greeting=self.greet(recipient=recipient).greeting,
            body=self.write(request=request).body,
            closing=self.close(recipient=recipient).closing,
            sender="The library",
        )
        return dspy.Prediction(letter=letter, verdict=self.review(letter=letter).verdict)


class Teaser(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("topic -> story")
        self.hook = dspy.Predict("opening -> hook")
        self.sequel = dspy.Predict("ending -> idea")

    def forward(self, topic: str) -> dspy.Prediction:
        story = self.write(topic=topic).story
        hook = self.hook(opening=textwrap.shorten(story, width=40, placeholder=" ...")).hook
        idea = self.sequel(ending=story[-24:]).idea
        return dspy.Prediction(hook=hook, sequel=idea)


class MarkedAnswer(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.solve = dspy.Predict("question -> reply")
        self.check = dspy.Predict("question, claim -> verdict")

    def forward(self, question: str) -> dspy.Prediction:
        reply = self.solve(question=question).reply
        found = re.search(r"ANSWER:\s*([^\n]+)", reply)
        claim = found.group(1).rstrip(". ") if found else "no answer"
        return dspy.Prediction(answer=claim, verdict=self.check(question=question, claim=claim).verdict)


class OutlineArticle(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.outline = dspy.Predict("topic -> outline")
        self.expand = dspy.Predict("topic, heading -> paragraph")

    def forward(self, topic: str) -> dspy.Prediction:
        lines = self.outline(topic=topic).outline.splitlines()
        headings = [line.lstrip("-* ").strip() for line in lines if line.strip()]
        paragraphs = [self.expand(topic=topic, heading=heading).paragraph for heading in headings]
        return dspy.Prediction(article="\n\n".join(paragraphs))


class Acronym(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.invent = dspy.Predict("purpose -> full_name")
        self.tagline = dspy.Predict("acronym -> tagline")

    def forward(self, purpose: str) -> dspy.Prediction:
        full_name = self.invent(purpose=purpose).full_name
        acronym = "".join(word[0].upper() for word in full_name.split() if word)
        return dspy.Prediction(brand=f"{acronym}: {self.tagline(acronym=acronym).tagline}")


class SentencePick(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("question -> answer")
        self.translate = dspy.Predict("sentence -> french")
        self.shorten = dspy.Predict("text -> short")

    def forward(self, question: str) -> dspy.Prediction:
        text = self.answer(question=question).answer
        sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+", text) if s.strip()]
        short = self.shorten(text=" ".join(reversed(sentences))).short
        longest = max(sentences, key=len) if sentences else ""
        return dspy.Prediction(french=self.translate(sentence=longest).french, short=short.replace("a", "e"))


CASES = (
    case(
        "fstring-headline",
        Headline,
        {"article": "The bridge over the river opened today.", "audience": "children"},
        {
            "summarize": {"summary": "A new bridge crosses the river"},
            "headline": {"headline": "Hooray, a bridge!"},
        },
        data="summarize[0].summary -> headline[0].notes",
        output="headline[0].headline -> title",
        note="The output is rebuilt by an f-string, so no object is shared.",
    ),
    case(
        "numbered-points",
        Decision,
        {"proposal": "Open the library on Sundays."},
        {
            "pros": {"text": "More people can come."},
            "cons": {"text": "Staff cost more."},
            "risks": {"text": "Few may come in winter."},
            "decide": {"decision": "Try it for a summer."},
        },
        data="pros[0].text, cons[0].text, risks[0].text -> decide[0].points",
        output="""decide[0].decision -> decision
                  pros[0].text -> main_reason""",
        note="Three predictors of one signature joined to a list; the number of points is a constant of the code.",
    ),
    case(
        "strip-title-template",
        CityGuide,
        {"message": "we fly to pARIS on monday"},
        {"find_city": {"city": "pARIS  "}, "describe": {"description": "A river and a tower."}},
        data="find_city[0].city -> describe[0].task",
        output="""find_city[0].city -> city
                  describe[0].description -> description""",
        note="strip, lower and title change the text, and a table adds a second trace of it.",
    ),
    case(
        "template-letter",
        Letter,
        {"recipient": "the reading club", "request": "a room on Friday"},
        {
            "greet": {"greeting": "Dear readers,"},
            "write": {"body": "The blue room is yours on Friday."},
            "close": {"closing": "With kind regards"},
            "review": {"verdict": "polite"},
        },
        data="greet[0].greeting, write[0].body, close[0].closing -> review[0].letter",
        output="""greet[0].greeting, write[0].body, close[0].closing -> letter
                  review[0].verdict -> verdict""",
        note="string.Template mixes three outputs, which reach both a call and the result.",
    ),
    case(
        "slice-and-shorten",
        Teaser,
        {"topic": "a lighthouse"},
        {
            "write": {"story": "The lamp went out in March. Nobody noticed until the ferry ran aground."},
            "hook": {"hook": "Who turned off the lamp?"},
            "sequel": {"idea": "The ferry sails again."},
        },
        data="write[0].story -> hook[0].opening, sequel[0].ending",
        output="""hook[0].hook -> hook
                  sequel[0].idea -> sequel""",
        note="Two short pieces of one long text; hook and sequel run in order but do not touch each other.",
    ),
    case(
        "regex-marked-answer",
        MarkedAnswer,
        {"question": "How many days has a leap year?"},
        {
            "solve": {"reply": "A normal year has 365.\nANSWER: 366 days.\nI am sure."},
            "check": {"verdict": "366 days is right"},
        },
        data="solve[0].reply -> check[0].claim",
        output="""solve[0].reply -> answer
                  check[0].verdict -> verdict""",
        note="A short piece is cut out by a regular expression and also stands in the checker's own reply.",
    ),
    case(
        "outline-lines",
        OutlineArticle,
        {"topic": "bees"},
        {
            "outline": {"outline": "- The hive\n- The dance\n\n- Honey"},
            "expand": lambda inputs: {"paragraph": f"About {inputs['heading'].lower()} one can say much."},
        },
        data="outline[0].outline -> expand[0].heading, expand[1].heading, expand[2].heading",
        output="expand[0].paragraph, expand[1].paragraph, expand[2].paragraph -> article",
        allowed="""outline[0].outline -> expand[0], expand[1], expand[2]
                   outline[0].outline -> article""",
        note="One text becomes a call per line; the replies repeat the headings, so the text seems to flow on.",
    ),
    case(
        "acronym-initials",
        Acronym,
        {"purpose": "sharing garden tools"},
        {"invent": {"full_name": "Open Tool Trade Exchange Ring"}, "tagline": {"tagline": "Dig together"}},
        data="invent[0].full_name -> tagline[0].acronym",
        output="invent[0].full_name, tagline[0].tagline -> brand",
        note="Only the initials go on: no word of the output stands in the next input.",
    ),
    case(
        "reversed-sentences",
        SentencePick,
        {"question": "What do cats do at night?"},
        {
            "answer": {"answer": "They hunt. They walk far over the roofs of the town. Then they sleep."},
            "translate": {"french": "Ils marchent loin sur les toits."},
            "shorten": {"short": "Cats hunt and walk"},
        },
        data="answer[0].answer -> shorten[0].text, translate[0].sentence",
        output="""translate[0].french -> french
                  shorten[0].short -> short""",
        note="Sentences are reordered, one is selected by length, and an output is changed letter by letter.",
    ),
)
