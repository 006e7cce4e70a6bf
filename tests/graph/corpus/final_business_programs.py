"""Business programs: invoices, tickets, contracts, forecasts, mail, orders, prices (cases in final_business.py)."""

import asyncio
import contextvars
import json
import logging
import math
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar

import dspy
import pydantic

audit = logging.getLogger("audit")


class Line(pydantic.BaseModel):
    sku: str
    quantity: int
    unit_price: float


class Priority(Enum):
    LOW = "low"
    HIGH = "high"


class ReadInvoice(dspy.Signature):
    """Read an invoice."""

    document: str = dspy.InputField()
    supplier: str = dspy.OutputField()
    lines: list[Line] = dspy.OutputField()


class RateTicket(dspy.Signature):
    """How soon must we react?"""

    ticket: str = dspy.InputField()
    priority: Priority = dspy.OutputField()
    motive: str = dspy.OutputField()


class InvoiceDesk(dspy.Module):
    vat: ClassVar = {"DE": 0.19, "FR": 0.2, "CH": 0.081}
    limit: ClassVar = 1000

    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict(ReadInvoice)
        self.country = dspy.Predict("document -> country: Literal['DE', 'FR', 'CH']")
        self.approve = dspy.ChainOfThought("supplier, net: float -> approved: bool")
        self.post = dspy.Predict("supplier, gross, state -> entry")

    def forward(self, document: str) -> dspy.Prediction:
        invoice = self.read(document=document)
        rate = self.vat[self.country(document=document).country]
        net = sum(line.quantity * line.unit_price for line in invoice.lines)
        state = "automatic"
        if net > self.limit:
            state = "approved" if self.approve(supplier=invoice.supplier, net=net).approved else "held"
        gross = f"{net * (1 + rate):.2f}"
        posted = self.post(supplier=invoice.supplier.upper(), gross=gross, state=state)
        return dspy.Prediction(entry=posted.entry, gross=gross)


class TicketDesk(dspy.Module):
    hours: ClassVar = {Priority.LOW: 72, Priority.HIGH: 4}
    teams: ClassVar = {"router": "network", "laptop": "hardware"}

    def __init__(self) -> None:
        super().__init__()
        self.rate = dspy.Predict(RateTicket)
        self.product = dspy.Predict("ticket -> product")
        self.reply = dspy.Predict("ticket, due, team -> reply")

    async def aforward(self, ticket: str, opened: str) -> dspy.Prediction:
        rated, named = await asyncio.gather(self.rate.acall(ticket=ticket), self.product.acall(ticket=ticket))
        audit.info("%s because %s", rated.priority.name, rated.motive)
        due = datetime.fromisoformat(opened) + timedelta(hours=self.hours[rated.priority])
        team = self.teams.get(named.product.strip().lower(), "general")
        answered = await self.reply.acall(ticket=ticket, due=due.strftime("%d.%m. at %H:%M"), team=team)
        return dspy.Prediction(reply=answered.reply, team=team, overdue=False)


class ContractReview(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = dspy.Predict("clause -> risk: int, why")
        self.redraft = dspy.Predict("clause, concern -> clause_text")
        self.memo = dspy.Predict("high: int, before, after -> memo")

    def forward(self, clauses: list[str]) -> dspy.Prediction:
        rated = [self.rate(clause=clause) for clause in clauses]
        worst = max(range(len(clauses)), key=lambda index: rated[index].risk)
        redrafted = self.redraft(clause=clauses[worst], concern=rated[worst].why)
        high = sum(one.risk >= 7 for one in rated)
        memo = self.memo(high=high, before=clauses[worst], after=redrafted.clause_text)
        return dspy.Prediction(memo=memo.memo, share=f"{100 * high / len(clauses):.0f}%")


class DemandPlan(dspy.Module):
    """Four forecasts in threads; the highest and the lowest are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.forecast = dspy.Predict("product, method -> outlook, caveat")
        self.explain = dspy.Predict("product, units: int -> plan")

    def forward(self, product: str, box: int) -> dspy.Prediction:
        methods = ("trend", "season", "survey", "gut")
        with ThreadPoolExecutor(max_workers=2) as pool:
            jobs = [pool.submit(contextvars.copy_context().run, self.units, product, one) for one in methods]
            units = sorted(job.result() for job in jobs)
        planned = min(max(round(sum(units[1:-1]) / 2), 80), 200)
        plan = self.explain(product=product, units=planned).plan
        return dspy.Prediction(plan=plan, boxes=math.ceil(planned / box))

    def units(self, product: str, method: str) -> int:
        outlook = self.forecast(product=product, method=method).outlook
        numbers = re.findall(r"\d+", outlook)
        return int(numbers[0]) if numbers else 0


class MailTriage(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spam = dspy.Predict("mail -> spam: bool")
        self.sort = dspy.Predict("mail -> folder, urgent: bool")

    def forward(self, mail: str) -> dspy.Prediction:
        if self.spam(mail=mail).spam:
            return dspy.Prediction(folder="junk", urgent=False)
        sorted_mail = self.sort(mail=mail)
        return dspy.Prediction(folder=sorted_mail.folder.lower(), urgent=sorted_mail.urgent)


class Inbox(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.triage = MailTriage()
        self.digest = dspy.Predict("counts, urgent: int -> digest")

    def forward(self, mails: list[str]) -> dspy.Prediction:
        examples = [dspy.Example(mail=mail).with_inputs("mail") for mail in mails]
        results: list[Any] = list(self.triage.batch(examples, num_threads=2, disable_progress_bar=True))
        counts = Counter(one.folder for one in results)
        digest = self.digest(counts=json.dumps(counts, sort_keys=True), urgent=sum(one.urgent for one in results))
        return dspy.Prediction(digest=digest.digest, folders=[one.folder for one in results])


class Dashboard(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("report -> figures: dict[str, float]")
        self.season = dspy.Predict("report -> season")
        self.comment = dspy.Predict("margin, change -> note")
        self.alert = dspy.Predict("margin: float -> alert")

    def forward(self, report: str, last_basket: float, floor: float) -> dspy.Prediction:
        figures = self.extract(report=report).figures
        audit.info("season: %s", self.season(report=report).season)
        margin = 1 - figures["cost"] / figures["revenue"]
        basket = figures["revenue"] / figures["orders"]
        change = f"{(basket - last_basket) / last_basket:+.1%}"
        note = self.comment(margin=f"{margin:.0%}", change=change).note
        alert = self.alert(margin=round(margin, 2)).alert if margin < floor else None
        return dspy.Prediction(note=note, alert=alert, kpis={"margin": f"{margin:.2f}", "floor": f"{floor:.2f}"})


@dataclass
class Deal:
    ask: int
    bid: int
    log: list[str] = field(default_factory=list)

    @property
    def gap(self) -> int:
        return self.ask - self.bid


class Haggling(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.buyer = dspy.Predict("ask: int, history -> bid: int")
        self.seller = dspy.Predict("bid: int -> ask: int")
        self.draft = dspy.Predict("price: int -> contract")

    def forward(self, list_price: int, opening: int) -> dspy.Prediction:
        deal = Deal(ask=list_price, bid=opening)
        while deal.gap > 10 and len(deal.log) < 4:
            deal.bid = max(deal.bid, self.buyer(ask=deal.ask, history="; ".join(deal.log)).bid)
            deal.ask = min(deal.ask, self.seller(bid=deal.bid).ask)
            deal.log.append(f"{deal.bid}/{deal.ask}")
        price = (deal.ask + deal.bid) // 2
        contract = self.draft(price=price).contract
        return dspy.Prediction(price=price, rounds=len(deal.log), contract=contract)


class Approval(dspy.Module):
    chains: ClassVar = {"small": ("lead",), "medium": ("lead", "finance"), "large": ("lead", "finance", "board")}

    def __init__(self) -> None:
        super().__init__()
        self.size = dspy.Predict("request -> size: Literal['small', 'medium', 'large']")
        roles = self.chains["large"]
        self.approvers = {role: dspy.Predict("request, earlier -> ok: bool, remark") for role in roles}
        self.letter = dspy.Predict("status, remarks: list[str] -> letter")

    def forward(self, request: str) -> dspy.Prediction:
        remarks: list[str] = []
        status = "approved"
        for role in self.chains[self.size(request=request).size]:
            vote = self.approvers[role](request=request, earlier=" / ".join(remarks) or "none")
            remarks.append(f"{role}: {vote.remark}")
            if not vote.ok:
                status = f"stopped by {role}"
                break
        return dspy.Prediction(status=status, letter=self.letter(status=status, remarks=remarks).letter)


class Quotation(dspy.Module):
    prices: ClassVar = {"A1": 12.5, "B2": 40.0}

    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("order -> payload")
        self.fix = dspy.Predict("order, payload, problem -> payload_fixed")
        self.quote = dspy.Predict("total -> quote")

    def total(self, payload: str) -> float:
        return sum(self.prices[row["sku"]] * row["n"] for row in json.loads(payload))

    def forward(self, order: str) -> dspy.Prediction:
        payload = self.extract(order=order).payload
        total = 0.0
        for _ in range(2):
            try:
                total = self.total(payload)
                break
            except (KeyError, ValueError) as error:
                payload = self.fix(order=order, payload=payload, problem=repr(error)).payload_fixed
        return dspy.Prediction(total=total, quote=self.quote(total=f"EUR {total:.2f}").quote)


class Glossary(dspy.Module):
    """Translates each term once, also over several letters."""

    def __init__(self) -> None:
        super().__init__()
        self.terms = dspy.Predict("letter -> terms: list[str]")
        self.translate = dspy.Predict("term -> translation")
        self.letter = dspy.Predict("letter, glossary -> german")
        self.known: dict[str, str] = {}

    def lookup(self, term: str) -> str:
        key = term.strip().lower()
        if key not in self.known:
            self.known[key] = self.translate(term=key).translation
        return self.known[key]

    def forward(self, letter: str) -> dspy.Prediction:
        terms = self.terms(letter=letter).terms
        glossary = "\n".join(f"{term} = {self.lookup(term)}" for term in terms)
        german = self.letter(letter=letter, glossary=glossary).german
        return dspy.Prediction(german=german, terms=len(terms))


class Scorecard(dspy.Module):
    weights: ClassVar = {"skills": 5, "writing": 3, "travel": 2}

    def __init__(self) -> None:
        super().__init__()
        self.score = dspy.ChainOfThought("cv, criterion -> score: int, evidence")
        self.invite = dspy.Predict("strength -> mail")
        self.reject = dspy.Predict("gap -> mail")

    def forward(self, cv: str) -> dspy.Prediction:
        parallel = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        scored: list[Any] = parallel([(self.score, {"cv": cv, "criterion": name}) for name in self.weights])
        points = [min(max(one.score, 0), 10) for one in scored]
        total = sum(weight * point for weight, point in zip(self.weights.values(), points, strict=True))
        if total >= 60:
            mail = self.invite(strength=scored[points.index(max(points))].evidence).mail
        else:
            mail = self.reject(gap=scored[points.index(min(points))].evidence).mail
        return dspy.Prediction(mail=mail, total=total)


class Section(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("title, facts -> text")
        self.shorten = dspy.Predict("text, words: int -> shorter")

    async def aforward(self, title: str, facts: str) -> dspy.Prediction:
        text = (await self.draft.acall(title=title, facts=facts)).text
        if len(text.split()) > 10:
            text = (await self.shorten.acall(text=text, words=10)).shorter
        return dspy.Prediction(text=text)


class QuarterReport(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sections = {"sales": Section(), "staff": Section()}
        self.summary = dspy.Predict("leads: list[str] -> summary")

    async def aforward(self, facts: str) -> dspy.Prediction:
        made = await asyncio.gather(*(one.acall(title=title, facts=facts) for title, one in self.sections.items()))
        texts = [one.text for one in made]
        summary = (await self.summary.acall(leads=[text.split(".")[0] for text in texts])).summary
        report = "\n".join(f"# {title.title()}\n{text}" for title, text in zip(self.sections, texts, strict=True))
        return dspy.Prediction(report=report, summary=summary)
