"""Programs that compute with what the model answers; written without sight of any tracer."""

import logging
import re
from collections import Counter
from datetime import date, timedelta
from statistics import mean

import dspy
import pydantic

from .base import case

logger = logging.getLogger(__name__)
METRES = {"m": 1.0, "km": 1000.0, "mi": 1609.0}


class Line(pydantic.BaseModel):
    name: str
    quantity: int
    price: float


class ReadInvoice(dspy.Signature):
    """Read the lines of an invoice."""

    scan: str = dspy.InputField()
    lines: list[Line] = dspy.OutputField()


class ReadDay(dspy.Signature):
    """Find a day in a mail."""

    mail: str = dspy.InputField()
    which: str = dspy.InputField()
    day: date = dspy.OutputField()


class InvoiceWithTax(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict(ReadInvoice)
        self.tax = dspy.Predict("scan -> rate")
        self.currency = dspy.Predict("scan -> currency")
        self.letter = dspy.Predict("total, n_lines: int -> letter")

    def forward(self, scan: str) -> dspy.Prediction:
        lines = self.read(scan=scan).lines
        net = sum(line.quantity * line.price for line in lines)
        rate = float(re.findall(r"[\d.]+", self.tax(scan=scan).rate)[0])
        logger.info("currency %s", self.currency(scan=scan).currency)
        total = round(net * (1 + rate / 100), 2)
        letter = self.letter(total=f"{total:.2f} EUR", n_lines=len(lines)).letter
        return dspy.Prediction(letter=letter, net=net, currency="EUR")


class NightsBetween(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.find_day = dspy.Predict(ReadDay)
        self.quote = dspy.Predict("nights: int, weekday -> offer")

    def forward(self, mail: str) -> dspy.Prediction:
        arrival = self.find_day(mail=mail, which="arrival").day
        departure = self.find_day(mail=mail, which="departure").day
        offer = self.quote(nights=(departure - arrival).days, weekday=f"{arrival:%A}").offer
        return dspy.Prediction(offer=offer, cleaning=(departure + timedelta(days=1)).isoformat())


class UnitRatio(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.measure = dspy.Predict("text -> value: float, unit: Literal['m', 'km', 'mi']")
        self.explain = dspy.Predict("ratio -> sentence")

    def forward(self, here: str, there: str) -> dspy.Prediction:
        lengths = []
        for text in (here, there):
            measured = self.measure(text=text)
            lengths.append(measured.value * METRES[measured.unit])
        sentence = self.explain(ratio=f"{lengths[1] / lengths[0]:.3f} times as long").sentence
        return dspy.Prediction(sentence=sentence, shorter="here" if lengths[0] < lengths[1] else "there")


class WordBudget(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("heading, n_words: int -> text")

    def forward(self, headings: list[str], limit: int) -> dspy.Prediction:
        left, texts = limit, []
        for i, heading in enumerate(headings):
            text = self.write(heading=heading, n_words=left // (len(headings) - i)).text
            left -= len(text.split())
            texts.append(text)
        return dspy.Prediction(document="\n".join(texts), left=left)


class Agreement(dspy.Module):
    """Two annotators; a third one is asked where they differ."""

    def __init__(self) -> None:
        super().__init__()
        self.ann = dspy.Predict("sentence -> mood: Literal['good', 'bad', 'mixed']")
        self.bob = dspy.Predict("sentence -> mood: Literal['good', 'bad', 'mixed']")
        self.settle = dspy.Predict("sentence, options -> decision")
        self.report = dspy.Predict("agreement, decisions -> report")

    def forward(self, sentences: list[str]) -> dspy.Prediction:
        pairs = [(self.ann(sentence=one).mood, self.bob(sentence=one).mood) for one in sentences]
        decisions = [
            self.settle(sentence=one, options=" or ".join(sorted(pair))).decision
            for one, pair in zip(sentences, pairs, strict=True)
            if len(set(pair)) > 1
        ]
        agreement = sum(left == right for left, right in pairs) / len(pairs)
        report = self.report(agreement=f"{agreement:.1%}", decisions="; ".join(decisions)).report
        return dspy.Prediction(report=report)


class TrimmedMean(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mark = dspy.Predict("dive, judge -> points: int")
        self.announce = dspy.Predict("average -> announcement")

    def forward(self, dive: str, judges: list[str]) -> dspy.Prediction:
        points = sorted(self.mark(dive=dive, judge=judge).points for judge in judges)
        average = mean(points[1:-1])
        announcement = self.announce(average=f"{average:.2f} of 10, by 5 judges").announcement
        return dspy.Prediction(announcement=announcement, medal="gold" if average >= 9 else "none")


class TieBreak(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose = dspy.Predict("wall, person -> colour")
        self.settle = dspy.Predict("wall, candidates -> colour")

    def forward(self, wall: str) -> dspy.Prediction:
        votes = Counter(self.choose(wall=wall, person=who).colour.lower() for who in ("owner", "tenant", "painter"))
        most = max(votes.values())
        leaders = [colour for colour, count in votes.items() if count == most]
        colour = leaders[0]
        if len(leaders) > 1:
            colour = self.settle(wall=wall, candidates=", ".join(leaders)).colour
        return dspy.Prediction(colour=colour, support=f"{most} of 3")


class ExpectedValue(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.forecast = dspy.Predict("venture -> chances: dict[str, float]")
        self.appraise = dspy.Predict("venture -> gains: dict[str, float]")
        self.invest = dspy.Predict("venture, expected -> memo")
        self.decline = dspy.Predict("venture -> memo")

    def forward(self, venture: str) -> dspy.Prediction:
        chances = self.forecast(venture=venture).chances
        gains = self.appraise(venture=venture).gains
        expected = sum(chance * gains.get(outcome, 0.0) for outcome, chance in chances.items())
        if expected <= 0:
            return dspy.Prediction(memo=self.decline(venture=venture).memo)
        return dspy.Prediction(memo=self.invest(venture=venture, expected=f"{expected:+.1f}").memo)


class Bisect(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("secret_of, number: int -> hint: Literal['higher', 'lower', 'correct']")

    def forward(self, secret_of: str) -> dspy.Prediction:
        low, high, middle = 1, 15, 0
        while low <= high:
            middle = (low + high) // 2
            match self.ask(secret_of=secret_of, number=middle).hint:
                case "higher":
                    low = middle + 1
                case "lower":
                    high = middle - 1
                case _:
                    break
        return dspy.Prediction(number=middle)


class Rucksack(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.appraise = dspy.Predict("thing -> kilos: int, use: int")
        self.pack = dspy.Predict("selection -> packing_list")

    def forward(self, things: list[str]) -> dspy.Prediction:
        appraised = {thing: self.appraise(thing=thing) for thing in things}
        load, chosen = 0, []
        for thing in sorted(things, key=lambda one: appraised[one].use / appraised[one].kilos, reverse=True):
            if load + appraised[thing].kilos <= 10:
                load += appraised[thing].kilos
                chosen.append(thing)
        return dspy.Prediction(packing_list=self.pack(selection=" + ".join(chosen)).packing_list, load=load)


class PercentChange(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict("report, year -> figure")
        self.count = dspy.Predict("report -> pages: int")
        self.headline = dspy.Predict("change -> headline")

    def forward(self, report: str) -> dspy.Prediction:
        before, after = (
            int(re.sub(r"\D", "", self.read(report=report, year=year).figure)) for year in ("last", "this")
        )
        change = round(100 * (after - before) / before)
        if self.count(report=report).pages == change:
            logger.debug("as many pages as percent")
        headline = self.headline(change=f"{'up' if change > 0 else 'down'} {abs(change)} %").headline
        return dspy.Prediction(headline=headline, pages=7)


ALL_MOODS = "ann[0].mood, bob[0].mood, ann[1].mood, bob[1].mood, ann[2].mood, bob[2].mood"
ALL_MARKS = "mark[0].points, mark[1].points, mark[2].points, mark[3].points, mark[4].points"
ALL_THINGS = ", ".join(f"appraise[{i}].kilos, appraise[{i}].use" for i in range(3))

CASES = (
    case(
        "invoice-with-tax",
        InvoiceWithTax,
        {"scan": "2 lamps at 20, 1 desk at 60. VAT 25 %, all in EUR."},
        {
            "read": {
                "lines": [
                    {"name": "lamp", "quantity": 2, "price": 20.0},
                    {"name": "desk", "quantity": 1, "price": 60.0},
                ]
            },
            "tax": {"rate": "25 % VAT"},
            "currency": {"currency": "EUR"},
            "letter": {"letter": "Please pay 125.00 EUR."},
        },
        data="""read[0].lines -> letter[0].total, letter[0].n_lines
                tax[0].rate -> letter[0].total""",
        output="""read[0].lines -> net
                  letter[0].letter -> letter""",
        note="A sum of products times a parsed rate; the currency is only logged and equals a constant of the code.",
    ),
    case(
        "nights-between",
        NightsBetween,
        {"mail": "We come on 2 May 2031 and leave on 6 May."},
        {
            "find_day": [{"day": "2031-05-02"}, {"day": "2031-05-06"}],
            "quote": {"offer": "Four nights for 400."},
        },
        data="""find_day[0].day -> quote[0].nights, quote[0].weekday
                find_day[1].day -> quote[0].nights""",
        output="""find_day[1].day -> cleaning
                  quote[0].offer -> offer""",
        note="Typed dates become a difference, a weekday and the day after.",
    ),
    case(
        "unit-ratio",
        UnitRatio,
        {"here": "a three kilometre beach", "there": "a beach of two miles"},
        {
            "measure": [{"value": 3.0, "unit": "km"}, {"value": 2.0, "unit": "mi"}],
            "explain": {"sentence": "Nearly the same."},
        },
        data="measure[0].value, measure[0].unit, measure[1].value, measure[1].unit -> explain[0].ratio",
        output="""measure[0].value, measure[0].unit, measure[1].value, measure[1].unit -> shorter
                  explain[0].sentence -> sentence""",
        note="A unit selects a factor of a table; all four outputs meet in one quotient and one comparison.",
    ),
    case(
        "word-budget",
        WordBudget,
        {"headings": ["Sea", "Sand", "Wind"], "limit": 30},
        {
            "write": [
                {"text": "The sea is wide and cold, and it is never quite still."},
                {"text": "Sand is what is left of old shells."},
                {"text": "Wind moves both."},
            ]
        },
        data="""write[0].text -> write[1].n_words, write[2].n_words
                write[1].text -> write[2].n_words""",
        output="write[0].text, write[1].text, write[2].text -> document, left",
        note="From section to section only a count of words goes on.",
    ),
    case(
        "annotators-disagree",
        Agreement,
        {"sentences": ["Good, or not good.", "Bad soup, bad wine.", "Mixed feelings at best."]},
        {
            "ann": [{"mood": "good"}, {"mood": "bad"}, {"mood": "mixed"}],
            "bob": [{"mood": "mixed"}, {"mood": "bad"}, {"mood": "bad"}],
            "settle": lambda inputs: {"decision": "bad" if "feelings" in inputs["sentence"] else "mixed"},
            "report": {"report": "They agree on 33.3% only."},
        },
        data=f"""ann[0].mood, bob[0].mood -> settle[0].options
                 ann[2].mood, bob[2].mood -> settle[1].options
                 {ALL_MOODS} -> report[0].agreement
                 settle[0].decision, settle[1].decision -> report[0].decisions""",
        output="report[0].report -> report",
        control="""ann[0].mood, bob[0].mood -> settle[0]
                   ann[2].mood, bob[2].mood -> settle[1]""",
        allowed=f"{ALL_MOODS} -> report[0].decisions",
        note="Labels are compared pair by pair; two labels agreeing would drop the call that settles them.",
    ),
    case(
        "trimmed-mean",
        TrimmedMean,
        {"dive": "a somersault, 7 metres high", "judges": ["A", "B", "C", "D", "E"]},
        {
            "mark": [{"points": 9}, {"points": 7}, {"points": 6}, {"points": 7}, {"points": 8}],
            "announce": {"announcement": "7.33!"},
        },
        data=f"{ALL_MARKS} -> announce[0].average",
        output="announce[0].announcement -> announcement",
        allowed=f"{ALL_MARKS} -> medal",
        note="Without the extremes no single mark can reach the gold, though each one can move the average.",
    ),
    case(
        "tie-break-call",
        TieBreak,
        {"wall": "the kitchen wall, now red"},
        {
            "choose": [{"colour": "Red"}, {"colour": "blue"}, {"colour": "Green"}],
            "settle": {"colour": "blue"},
        },
        data="choose[0].colour, choose[1].colour, choose[2].colour -> settle[0].candidates",
        output="""settle[0].colour -> colour
                  choose[0].colour, choose[1].colour, choose[2].colour -> support""",
        control="choose[0].colour, choose[1].colour, choose[2].colour -> settle[0]",
        allowed="choose[0].colour, choose[1].colour, choose[2].colour -> colour",
        note="Three different votes call for a fourth; any two agreeing would spare it.",
    ),
    case(
        "expected-value",
        ExpectedValue,
        {"venture": "a ferry line"},
        {
            "forecast": {"chances": {"boom": 0.3, "bust": 0.2, "flat": 0.5}},
            "appraise": {"gains": {"boom": 100.0, "bust": -60.0, "flat": 5.0}},
            "invest": {"memo": "We buy."},
            "decline": {"memo": "We wait."},
        },
        data="forecast[0].chances, appraise[0].gains -> invest[0].expected",
        output="invest[0].memo -> memo",
        control="forecast[0].chances, appraise[0].gains -> invest[0]",
        allowed="forecast[0].chances, appraise[0].gains -> memo",
        note="Two dicts are multiplied key by key; the sign of the sum chooses the call and its value goes in.",
    ),
    case(
        "bisect-by-hints",
        Bisect,
        {"secret_of": "the baker"},
        {"ask": [{"hint": "higher"}, {"hint": "lower"}, {"hint": "correct"}]},
        data="""ask[0].hint -> ask[1].number, ask[2].number
                ask[1].hint -> ask[2].number""",
        output="ask[0].hint, ask[1].hint -> number",
        control="""ask[0].hint -> ask[1]
                   ask[1].hint -> ask[2]""",
        allowed="""ask[0].hint -> ask[2]
                   ask[2].hint -> number""",
        note="Words move the bounds of a bisection: each number is made of all hints before it.",
    ),
    case(
        "rucksack-by-ratio",
        Rucksack,
        {"things": ["rope", "lamp", "stove"]},
        {
            "appraise": [{"kilos": 3, "use": 9}, {"kilos": 4, "use": 8}, {"kilos": 6, "use": 9}],
            "pack": {"packing_list": "rope and lamp"},
        },
        data=f"{ALL_THINGS} -> pack[0].selection",
        output=f"""{ALL_THINGS} -> load
                   pack[0].packing_list -> packing_list""",
        note="Quotients of two outputs sort the inputs, a sum cuts them off; two of the numbers are equal.",
    ),
    case(
        "percent-change",
        PercentChange,
        {"report": "7 pages on boats: about 1,070 this year after 1,000."},
        {
            "read": [{"figure": "about 1,000"}, {"figure": "1,070 boats"}],
            "count": {"pages": 7},
            "headline": {"headline": "Boats up 7 %"},
        },
        data="read[0].figure, read[1].figure -> headline[0].change",
        output="headline[0].headline -> headline",
        note="The 7 of the pages equals the percentage and a constant, and is compared to no effect.",
    ),
)
