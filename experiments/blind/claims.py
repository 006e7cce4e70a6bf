"""The claims desk of a parcel service: a classifier, a branch to one of two desks, a code; hardly any feedback."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import dspy
from blind.rules import Case, Rule, draw, pick
from blind.world import Call, Metric, World
from unseen.world import predict

TEXT = {
    "PAY": "The claim is covered and is to be paid.",
    "REFUSE": "The claim came too late and is to be refused.",
    "CONTRACT": "The claim is to be settled under the sender's frame contract.",
    "PROOF": "Proof of the value has to be asked for first.",
    "INVOICE": "Customs lack an invoice, which the sender has to hand in.",
    "CLEAR": "Customs will clear the parcel without further papers.",
    "POSTAGE": "The express surcharge is to be given back.",
    "SORRY": "The parcel is on its way and an apology is enough.",
}
TOPICS = ("loss", "damage", "delay", "customs")
MONEY = ("loss", "damage")
BY_MONEY, BY_TIME = ("PAY", "REFUSE", "CONTRACT", "PROOF"), ("INVOICE", "CLEAR", "POSTAGE", "SORRY")


class ClaimsDesk(dspy.Module):
    """A customer's message: its topic, what one of two desks finds, and the code of what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = predict(
            "message -> topic", "Classify the customer's message by its topic: loss, damage, delay or customs."
        )
        self.money_desk = predict(
            "message, topic -> assessment", "Assess the claim for a lost or damaged parcel and say what is to be done."
        )
        self.time_desk = predict("message, topic -> handling", "Say how the late or detained parcel is to be handled.")
        self.decide = predict(
            "message, findings -> code",
            "Turn the findings into an action code with its priority, 2 by default, such as PAY-2 or SORRY-2.",
        )

    def forward(self, message: str) -> Any:
        """The topic decides which desk is asked."""
        topic = self.sort(message=message).topic.strip().lower()
        if topic in MONEY:
            findings = self.money_desk(message=message, topic=topic).assessment
        else:
            findings = self.time_desk(message=message, topic=topic).handling
        return self.decide(message=message, findings=f"({topic}) {findings}")


def case(number: int, rng: random.Random) -> Case:
    """A message and what is to be done about it."""
    it = Case(key=f"{rng.randrange(10, 99)}-{number + 1000:04d}")
    it.kind = rng.choice(["loss", "loss", "damage", "damage", "delay", "customs"])
    it.money = it.kind in MONEY
    it.delivered = it.kind == "loss" and rng.random() < 0.4
    it.spoiled = it.kind == "damage" and rng.random() < 0.4
    it.late = rng.random() < 0.2
    it.contract = None if rng.random() < 0.8 else f"K-{rng.randrange(100, 999)}"
    it.value = rng.choice([35, 80, 120, 240, 390]) if rng.random() < 0.7 else rng.choice([560, 720, 850, 1200])
    it.days = rng.choice([9, 11, 14, 19]) if it.late else rng.choice([1, 2, 3, 5])
    it.express, it.invoice = rng.random() < 0.5, rng.random() < 0.5
    it.medical, it.again = rng.random() < 0.18, rng.random() < 0.14
    medical = rng.choice(["insulin pens", "a hearing aid", "dialysis filters"])
    other = rng.choice(["a lamp", "books", "a coat", "spare parts", "a camera"])
    it.goods = medical if it.medical else other
    if it.spoiled and not it.medical:
        it.goods = rng.choice(["cheese", "cut flowers", "smoked fish"])
    it.message = message(it, rng)
    it.act = act(it)
    it.code = f"{it.act}-{1 if it.medical or it.again else 2}"
    it.example = dspy.Example(message=it.message, code=it.code).with_inputs("message")
    return it


def message(it: Case, rng: random.Random) -> str:
    """What the customer writes."""
    name = rng.choice(["Hello", "Good morning", "Dear team", "To whom it may concern"])
    tale = {
        ("loss", True): "The tracking page says it was delivered, but nothing ever came here.",
        ("loss", False): "It never arrived, and nobody at the depot can find it.",
        ("damage", True): "It came three days late and the contents had gone off.",
        ("damage", False): "The box was crushed and the contents are broken.",
        ("delay", True): "It is still on the road and should have been here on Monday. I had paid for express.",
        ("delay", False): "It is still on the road and should have been here on Monday.",
        ("customs", True): "It has been held at customs since last week, though the invoice was attached.",
        ("customs", False): "It has been held at customs since last week, and they ask what it cost.",
    }
    which = {"loss": it.delivered, "damage": it.spoiled, "delay": it.express, "customs": it.invoice}[it.kind]
    text = [f"{name}, this is about parcel {it.key} with {it.goods}, worth {it.value} euros.", tale[it.kind, which]]
    if it.money:
        text.append(f"I noticed it {it.days} days ago and write only now.")
    if it.money and it.contract:
        text.append(f"We send under number {it.contract}.")
    if it.again:
        text.append("I have written to you about this before.")
    text.append(rng.choice(["Please help.", "What happens now?", "I look forward to your answer."]))
    return " ".join(text)


def act(it: Case) -> str:
    """What is to be done."""
    if it.money:
        return "REFUSE" if it.late else "CONTRACT" if it.contract else "PROOF" if it.value > 500 else "PAY"
    if it.kind == "delay":
        return "POSTAGE" if it.express else "SORRY"
    return "CLEAR" if it.invoice else "INVOICE"


RULES = [
    Rule(
        "S1",
        "sort",
        lambda it: it.delivered,
        (
            "A parcel that tracking calls delivered but that the customer never got is a loss.",
            "Where tracking says delivered and the customer received nothing, the topic is loss.",
        ),
        r"(tracking.{0,60}deliver[^.]*loss)",
        (
            "If the tracking page is quoted and the customer waits for nothing more, answer loss.",
            r"tracking page is quoted",
        ),
        ("Whenever tracking is mentioned or a parcel is missing, answer loss.", r"whenever tracking is mentioned"),
        lambda it: "tracking page says it was delivered",
        lambda it: "delay",
        infer=0.8,
    ),
    Rule(
        "S2",
        "sort",
        lambda it: it.spoiled,
        (
            "Goods that spoiled because the parcel was late are damage, not delay.",
            "If the contents have gone off through lateness, the topic is damage.",
        ),
        r"(spoil|gone off)[^.]*damage",
        ("Food that smells counts as broken.", r"food that smells"),
        ("Every late parcel whose contents matter is damage.", r"every late parcel whose"),
        lambda it: "gone off",
        lambda it: "delay",
        infer=0.8,
    ),
    Rule(
        "M3",
        "money_desk",
        lambda it: it.money and it.late,
        (
            "A claim that is reported more than seven days after the customer noticed is refused.",
            "Refuse the claim if the customer noticed more than a week before writing.",
        ),
        r"(refuse[^.]*(week|seven days))|((seven days|week)[^.]*refused)",
        ("Turn down claims that are fourteen days old or older.", r"fourteen days old"),
        ("Refuse a claim if the customer did not write on the very day.", r"very day"),
        lambda it: f"{it.days} days ago",
        lambda it: TEXT["CONTRACT" if it.contract else "PAY"],
    ),
    Rule(
        "M2",
        "money_desk",
        lambda it: it.money and not it.late and it.contract,
        (
            "Where the sender gives a contract number (K-...), settle under the frame contract.",
            "A number beginning with K- means a frame contract, under which the claim is settled.",
        ),
        r"K-[^.]*contract|contract number",
        ("If the sender is evidently a company with a number, settle under its contract.", r"evidently a company"),
        ("Settle under the contract whenever the sender seems to send often.", r"seems to send often"),
        lambda it: it.contract,
        lambda it: TEXT["PAY"],
    ),
    Rule(
        "M1",
        "money_desk",
        lambda it: it.money and not it.late and not it.contract and it.value > 500,
        (
            "Above 500 euros ask for proof of the value before anything is paid.",
            "Goods worth more than 500 euros need proof of their value first.",
        ),
        r"500 euros[^.]*proof|proof[^.]*500",
        ("From 1000 euros on ask for proof of the value; also for cameras.", r"from 1000 euros"),
        ("Ask for proof of the value of every parcel.", r"value of every parcel"),
        lambda it: f"{it.value} euros",
        lambda it: TEXT["PAY"],
    ),
    Rule(
        "T1",
        "time_desk",
        lambda it: it.kind == "customs" and not it.invoice,
        (
            "If customs ask what the goods cost, the invoice is missing and the sender has to hand it in.",
            "When customs ask for the price, ask the sender for the invoice.",
        ),
        r"customs ask[^.]*invoice",
        ("A parcel held for more than a week needs its invoice.", r"held for more than a week"),
        ("For every parcel at customs ask for an invoice.", r"every parcel at customs"),
        lambda it: "they ask what it cost",
        lambda it: TEXT["CLEAR"],
    ),
    Rule(
        "T2",
        "time_desk",
        lambda it: it.kind == "delay" and it.express,
        (
            "Where express was paid for and came late, give the express surcharge back.",
            "A late express parcel means that the surcharge is given back.",
        ),
        r"give the express surcharge back|late express parcel means",
        ("Give the surcharge back if the customer asks for money and paid express.", r"asks for money"),
        ("Give money back for every delay.", r"every delay"),
        lambda it: "paid for express",
        lambda it: TEXT["SORRY"],
    ),
    Rule(
        "D1",
        "decide",
        lambda it: it.medical,
        (
            "Medical goods get priority 1.",
            "Use priority 1 where medicine or a medical device is in the parcel.",
        ),
        r"(medical|medicine)[^.]*priority 1|priority 1[^.]*(medical|medicine)",
        ("Insulin gets priority 1.", r"insulin gets"),
        ("Anything for a person's body or home gets priority 1.", r"person's body"),
        lambda it: it.goods,
        lambda it: f"{it.act}-2",
    ),
    Rule(
        "D3",
        "decide",
        lambda it: it.again and not it.medical,
        ("A customer who has written before gets priority 1.", "Use priority 1 for a repeated complaint."),
        r"written before|repeated complaint|priority 1 for a repeated",
        ("Angry customers who write again and again get priority 1.", r"angry customers"),
        ("Customers who urge get priority 1.", r"who urge"),
        lambda it: "about this before",
        lambda it: f"{it.act}-2",
    ),
    Rule(
        "D2",
        "decide",
        lambda it: draw("A", it.key, "fmt") < 0.22,
        ("Answer with the bare code and nothing else.", "Write only the code, without any words around it."),
        r"bare code|only the code",
        ("Do not greet in the answer.", r"do not greet"),
        ("Answer with one single word.", r"one single word"),
        wrong=lambda it: f"Code: {it.code}",
    ),
]


class Claims(World):
    """Three calls an execution; right or wrong, with the right code in words."""

    name, letter, last = "claims", "a", "decide"
    program = ClaimsDesk
    key = re.compile(r"\b\d\d-\d{4}\b")
    count, calls = 16, 3.0

    def __init__(self) -> None:
        rng = random.Random(4711)
        super().__init__(RULES, [case(number, rng) for number in range(400)])

    def below(self, predictor: str) -> list[str]:
        """The desks after the topic, the code after a desk."""
        return {"sort": ["money_desk", "time_desk"], "decide": []}.get(predictor, ["decide"])

    def right(self, it: Case, predictor: str) -> list[str]:
        """The topic, the finding or the code."""
        if predictor == "sort":
            return [f"'{it.kind}'", f"topic should be {it.kind}", f'"topic": "{it.kind}"']
        if predictor == "decide":
            return [it.code]
        return [TEXT[it.act]] if it.money == (predictor == "money_desk") else []

    def final(self, it: Case) -> list[str]:
        """The code."""
        return [it.code]

    def seen(self, rule: Rule, it: Case, text: str) -> bool:
        """Whether the wrong topic, finding or code is shown."""
        if rule.predictor == "sort":
            return bool(re.search(rf"topic\W{{1,8}}(should be )?{rule.wrong(it)}|\({rule.wrong(it)}\)", text))
        return (f"Code: {it.act}-" if rule.name == "D2" else rule.wrong(it)) in text

    def faults(self, it: Case, predictor: str, mine: str, rest: str) -> list[tuple[Rule | None, str]]:
        """The one thing that should have stood there."""
        rules = [rule for rule in self.rules[predictor] if rule.applies(it)]
        if predictor == "sort":
            wanted, right = f"The topic should be {it.kind}.", mine.strip().lower() == it.kind
        elif predictor == "decide":
            wanted, right, rules = f"It should have been {it.code}.", mine.strip() == it.code, []
        else:
            wanted, right = f"It should have said: {TEXT[it.act]}", TEXT[it.act] in mine
            rules = [rule for rule in rules if rule.wrong(it) in mine]
        return [] if right else [(next(iter(rules), None), wanted)]

    def behave(self, call: Call, inputs: Mapping[str, str]) -> dict[str, str]:
        """The topic, the finding or the code, as far as the rules are followed."""
        it, broken, slips = call.case, call.broken(), call.slips_or_overdoes(0.04)
        if call.predictor == "sort":
            other = pick([one for one in TOPICS if one != it.kind], *call.key)
            return {"topic": broken[0].wrong(it) if broken else other if slips else it.kind}
        if call.predictor == "decide":
            return {"code": self.code(call, inputs["findings"], {rule.name for rule in broken}, slips)}
        money = call.predictor == "money_desk"
        finding = TEXT[it.act]
        if it.money != money:
            finding = TEXT["PAY" if money else "SORRY"]
        elif broken:
            finding = broken[0].wrong(it)
        elif slips:
            finding = TEXT[pick([one for one in (BY_MONEY if money else BY_TIME) if one != it.act], *call.key)]
        return {"assessment" if money else "handling": finding}

    def code(self, call: Call, findings: str, broken: set[str], slips: bool) -> str:
        """The code of what the findings say."""
        action = next((name for name, text in TEXT.items() if text in findings), "SORRY")
        urgent = (call.case.medical or call.case.again) and not broken & {"D1", "D3"}
        if slips:
            action = pick([one for one in TEXT if one != action], *call.key)
        before = "Code: " if "D2" in broken else ""
        return f"{before}{action}-{1 if urgent else 2}" + (
            " because of the findings" if call.harmed("explain", "ex", 0.5) else ""
        )

    def metric(self) -> Metric:
        """Right or wrong, with both codes in words."""

        def metric(
            example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
        ) -> dspy.Prediction:
            got = getattr(prediction, "code", None)
            right = got is not None and got.strip() == example.code
            says = "Correct." if right else f"Wrong. Expected {example.code}, got {got}."
            return dspy.Prediction(score=float(right), feedback=says)

        return metric
