"""Typed answers, validation, guards and coincidences; written without sight of any tracer."""

import base64
import csv
import difflib
import enum
import io
import logging
import textwrap
from collections import defaultdict
from typing import Literal
from urllib.parse import urlencode

import dspy
import pydantic

from .base import case

logger = logging.getLogger(__name__)
STATIONS = ("Harbour North", "Old Town", "University", "Airport")


class Look(enum.Enum):
    BRIGHT = "bright"
    DARK = "dark"


PALETTE = {Look.BRIGHT: ("white", "orange"), Look.DARK: ("black", "grey")}


class ChooseStyle(dspy.Signature):
    """Choose how the sign looks."""

    wish: str = dspy.InputField()
    look: Look = dspy.OutputField()
    casing: Literal["upper", "lower", "title"] = dspy.OutputField()


class TakeRequest(dspy.Signature):
    """Sum up a request, and say for how many guests it is, if it tells."""

    request: str = dspy.InputField()
    summary: str = dspy.OutputField()
    guests: int | None = dspy.OutputField()


class Booking(pydantic.BaseModel):
    guest: str = pydantic.Field(min_length=2)
    nights: int = pydantic.Field(ge=1, le=30)


class BookingRetry(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fill = dspy.Predict("request, feedback -> form")
        self.confirm = dspy.Predict("guest, nights: int -> note")

    def forward(self, request: str) -> dspy.Prediction:
        feedback = "none"
        for _ in range(3):
            form = self.fill(request=request, feedback=feedback).form
            try:
                booking = Booking.model_validate_json(form)
            except pydantic.ValidationError as error:
                feedback = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
                continue
            note = self.confirm(guest=booking.guest, nights=booking.nights).note
            return dspy.Prediction(note=note, price=80 * booking.nights)
        return dspy.Prediction(note="We could not read your request.", price=0)


class PairMatch(dspy.Module):
    """Two outputs are matched together."""

    def __init__(self) -> None:
        super().__init__()
        self.triage = dspy.Predict("report -> kind, severity: int")
        self.page = dspy.Predict("report, urgency -> message")
        self.file = dspy.Predict("report -> message")
        self.thank = dspy.Predict("report -> message")

    def forward(self, report: str) -> dspy.Prediction:
        triage = self.triage(report=report)
        match (triage.kind.strip().lower(), triage.severity):
            case ("bug", severity) if severity >= 7:
                message = self.page(report=report, urgency=f"{severity * 10} %").message
            case ("bug", _):
                message = self.file(report=report).message
            case (_, 0):
                message = "Noted."
            case _:
                message = self.thank(report=report).message
        return dspy.Prediction(message=message, label=triage.kind.strip().title())


class GuardedIntake(dspy.Module):
    """One guard looks at what comes in and at what goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = dspy.Predict("text -> safe: bool")
        self.intake = dspy.Predict(TakeRequest)
        self.ask = dspy.Predict("summary -> question")
        self.book = dspy.Predict("summary, chairs: int -> reply")

    def forward(self, request: str) -> dspy.Prediction:
        if not self.guard(text=request).safe:
            return dspy.Prediction(reply="I cannot help with that.")
        taken = self.intake(request=request)
        if taken.guests is None:
            return dspy.Prediction(reply=self.ask(summary=taken.summary).question)
        reply = self.book(summary=taken.summary, chairs=taken.guests + 1).reply
        if not self.guard(text=reply).safe:
            reply = "I cannot say that."
        return dspy.Prediction(reply=reply)


class MailDesk(dspy.Module):
    """What is logged, counted and compared stands in the inputs of the reply by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.tag = dspy.Predict("mail -> tag")
        self.attachments = dspy.Predict("mail -> number: int")
        self.by_name = dspy.Predict("mail -> known")
        self.by_address = dspy.Predict("mail -> known")
        self.reply = dspy.Predict("mail, known_sender, n_open: int -> reply")

    def forward(self, mail: str) -> dspy.Prediction:
        logger.info("tag %s", self.tag(mail=mail).tag)
        number = self.attachments(mail=mail).number
        by_name = self.by_name(mail=mail).known
        by_address = self.by_address(mail=mail).known
        if by_name != by_address:
            logger.warning("the checks differ: %s, %s", by_name, by_address)
        reply = self.reply(mail=mail, known_sender=by_address, n_open=0).reply
        return dspy.Prediction(reply=reply, n_attachments=number, answered="Yes")


class SignMaker(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.guess = dspy.Predict("wish -> station")
        self.style = dspy.Predict(ChooseStyle)
        self.paint = dspy.Predict("label, colours: list[str] -> sign")

    def forward(self, wish: str) -> dspy.Prediction:
        near = difflib.get_close_matches(self.guess(wish=wish).station, STATIONS, n=1, cutoff=0.4)
        style = self.style(wish=wish)
        label = getattr(str, style.casing)(near[0] if near else "Central")
        sign = self.paint(label=label, colours=list(PALETTE[style.look])).sign
        return dspy.Prediction(sign=sign, look=style.look.name)


class LedgerSearch(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.export = dspy.Predict("notes -> table")
        self.browse = dspy.Predict("url -> page")
        self.archive = dspy.Predict("blob -> receipt")

    def forward(self, notes: str) -> dspy.Prediction:
        rows = list(csv.DictReader(io.StringIO(self.export(notes=notes).table)))
        busiest = max(rows, key=lambda row: int(row["crates"]))
        page = self.browse(url="https://example.org/find?" + urlencode({"q": busiest["harbour"], "n": 3})).page
        receipt = self.archive(blob=base64.b64encode(page.encode()).decode()).receipt
        return dspy.Prediction(receipt=receipt, total=sum(int(row["crates"]) for row in rows))


class RollingMemory(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("heading, memory -> text")
        self.compress = dspy.Predict("memory, text -> memory_now")

    def forward(self, headings: list[str]) -> dspy.Prediction:
        memory, chapters = "blank", []
        for number, heading in enumerate(headings, start=1):
            text = self.write(heading=heading, memory=memory).text
            chapters.append(f"{number}. {heading}\n{textwrap.indent(text, '   ')}")
            memory = self.compress(memory=memory, text=text).memory_now
        return dspy.Prediction(book="\n\n".join(chapters))


class BordaCount(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rank = dspy.Predict("dishes, guest -> ranking: list[str]")
        self.invite = dspy.Predict("dish -> invitation")

    def forward(self, dishes: list[str]) -> dspy.Prediction:
        points: dict[str, int] = defaultdict(int)
        for guest in ("aunt", "uncle", "child"):
            for place, dish in enumerate(self.rank(dishes=", ".join(dishes), guest=guest).ranking):
                points[dish] += len(dishes) - 1 - place
        winner = max(sorted(dishes), key=lambda dish: points[dish])
        return dspy.Prediction(invitation=self.invite(dish=winner).invitation)


CASES = (
    case(
        "booking-retry",
        BookingRetry,
        {"request": "A room, please. Lo."},
        {
            "fill": [{"form": '{"guest": "L", "nights": 0}'}, {"form": '{"guest": "Lo", "nights": 2}'}],
            "confirm": {"note": "Two nights for Lo."},
        },
        data="""fill[0].form -> fill[1].feedback
                fill[1].form -> confirm[0].guest, confirm[0].nights""",
        output="""fill[1].form -> price
                  confirm[0].note -> note""",
        control="fill[0].form -> fill[1]",
        allowed="fill[0].form -> confirm[0].guest, confirm[0].nights, price",
        note="What a validator says of the first form, without a word of it, goes into the second try.",
    ),
    case(
        "match-on-a-pair",
        PairMatch,
        {"report": "Bug: the map is upside down. Severity 9!"},
        {
            "triage": {"kind": "Bug", "severity": 9},
            "page": {"message": "Somebody is called."},
            "file": {"message": "Filed."},
            "thank": {"message": "Thanks."},
        },
        data="triage[0].severity -> page[0].urgency",
        output="""page[0].message -> message
                  triage[0].kind -> label""",
        control="triage[0].kind, triage[0].severity -> page[0]",
        allowed="triage[0].kind, triage[0].severity -> message",
        note="A match statement over two outputs with a guard: both decide, and one of them goes in, times ten.",
    ),
    case(
        "guarded-intake",
        GuardedIntake,
        {"request": "A table for two on Friday at eight."},
        {
            "guard": [{"safe": True}, {"safe": True}],
            "intake": {"summary": "two people, Friday, 20:00", "guests": 2},
            "ask": {"question": "When?"},
            "book": {"reply": "Your table is booked."},
        },
        data="""intake[0].summary -> book[0].summary
                intake[0].guests -> book[0].chairs
                book[0].reply -> guard[1].text""",
        output="book[0].reply, guard[1].safe -> reply",
        control="""guard[0].safe -> intake[0]
                   intake[0].guests -> book[0], guard[1]""",
        allowed="""guard[0].safe -> book[0], guard[1], reply
                   intake[0].guests -> reply""",
        note="Early returns, an optional number that is there, and a guard that is called twice with the same verdict.",
    ),
    case(
        "coincidences",
        MailDesk,
        {"mail": "This is urgent. Yes, really urgent, with 0 attachments."},
        {
            "tag": {"tag": "urgent"},
            "attachments": {"number": 0},
            "by_name": {"known": "Yes"},
            "by_address": {"known": "Yes"},
            "reply": {"reply": "Yes, we hurry."},
        },
        data="by_address[0].known -> reply[0].known_sender",
        output="""reply[0].reply -> reply
                  attachments[0].number -> n_attachments""",
        note="A logged tag stands in the mail, a count equals a constant, one of two equal checks is only compared.",
    ),
    case(
        "sign-by-nearest",
        SignMaker,
        {"wish": "a sign for the harbor stop"},
        {
            "guess": {"station": "Harbor Nord"},
            "style": {"look": "bright", "casing": "upper"},
            "paint": {"sign": "HARBOUR NORTH in orange"},
        },
        data="""guess[0].station, style[0].casing -> paint[0].label
                style[0].look -> paint[0].colours""",
        output="""style[0].look -> look
                  paint[0].sign -> sign""",
        note="The nearest of fixed names, a method of str by its name, and an Enum as the key of a table.",
    ),
    case(
        "ledger-search",
        LedgerSearch,
        {"notes": "3 crates at Ebb Bay, 12 at Kelp & Sons"},
        {
            "export": {"table": "crates,harbour\n3,Ebb Bay\n12,Kelp & Sons"},
            "browse": {"page": "Kelp & Sons, since 1900"},
            "archive": {"receipt": "kept"},
        },
        data="""export[0].table -> browse[0].url
                browse[0].page -> archive[0].blob""",
        output="""export[0].table -> total
                  archive[0].receipt -> receipt""",
        note="CSV is summed up, one name is quoted for an address, and a page is encoded in base64.",
    ),
    case(
        "rolling-memory",
        RollingMemory,
        {"headings": ["Dawn", "Noon", "Dusk"]},
        {
            "write": [{"text": "The cook wakes."}, {"text": "The cook bakes."}, {"text": "The cook sleeps."}],
            "compress": [{"memory_now": "cook awake"}, {"memory_now": "cook busy"}, {"memory_now": "cook asleep"}],
        },
        data="""write[0].text -> compress[0].text
                compress[0].memory_now -> write[1].memory, compress[1].memory
                write[1].text -> compress[1].text
                compress[1].memory_now -> write[2].memory, compress[2].memory
                write[2].text -> compress[2].text""",
        output="write[0].text, write[1].text, write[2].text -> book",
        note="Chapters meet only through a compressed memory; the last memory is made and dropped.",
    ),
    case(
        "borda-count",
        BordaCount,
        {"dishes": ["apple pie", "broth", "curry"]},
        {
            "rank": [
                {"ranking": ["apple pie", "broth", "curry"]},
                {"ranking": ["broth", "apple pie", "curry"]},
                {"ranking": ["curry", "broth", "apple pie"]},
            ],
            "invite": {"invitation": "Come for broth."},
        },
        data="rank[0].ranking, rank[1].ranking, rank[2].ranking -> invite[0].dish",
        output="invite[0].invitation -> invitation",
        note="Places in three lists give points, and by one point any guest could change the winner.",
    ),
)
