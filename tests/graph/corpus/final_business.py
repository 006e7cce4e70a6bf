"""Business workflows: the runs of the programs in final_business_programs.py and their true edges."""

from . import final_business_programs as programs
from .base import case

CASES = (
    case(
        "biz-invoice-posting",
        programs.InvoiceDesk,
        {"document": "Alder Ltd, Paris. 10 chairs at 120.00, 2 lamps at 150.00"},
        {
            "read": {
                "supplier": "Alder Ltd",
                "lines": [
                    programs.Line(sku="chair", quantity=10, unit_price=120.0),
                    programs.Line(sku="lamp", quantity=2, unit_price=150.0),
                ],
            },
            "country": {"country": "FR"},
            "approve.predict": {"reasoning": "A known supplier.", "approved": True},
            "post": {"entry": "ALDER LTD 1800.00 approved"},
        },
        data="""read[0].supplier -> approve.predict[0].supplier, post[0].supplier
                read[0].lines -> approve.predict[0].net, post[0].gross
                country[0].country -> post[0].gross
                approve.predict[0].approved -> post[0].state""",
        output="""post[0].entry -> entry
                  read[0].lines, country[0].country -> gross""",
        control="read[0].lines -> approve.predict[0]",
        allowed="read[0].lines -> post[0].state",
        note="A sum over models decides on an approval; without one the state would be another constant.",
    ),
    case(
        "biz-ticket-due-date",
        programs.TicketDesk,
        {"ticket": "High time: the router is dead, the laptop is fine.", "opened": "2024-02-29T22:30:00"},
        {
            "rate": {"priority": "high", "motive": "the router is dead"},
            "product": {"product": " Router"},
            "reply": {"reply": "The network team comes on 01.03. at 02:30."},
        },
        data="""rate[0].priority -> reply[0].due
                product[0].product -> reply[0].team""",
        output="""reply[0].reply -> reply
                  product[0].product -> team""",
        note="An Enum becomes a date past midnight, a word selects a team, and the motive is only logged.",
        style="async",
    ),
    case(
        "biz-contract-worst-clause",
        programs.ContractReview,
        {"clauses": ["Payment in 30 days.", "Liability without limit.", "Notice of 3 months."]},
        {
            "rate": [
                {"risk": 3, "why": "usual"},
                {"risk": 8, "why": "no cap"},
                {"risk": 5, "why": "rather long"},
            ],
            "redraft": {"clause_text": "Liability up to the fees of a year."},
            "memo": {"memo": "1 clause was changed."},
        },
        data="""rate[0].risk, rate[1].risk, rate[2].risk -> redraft[0].clause, redraft[0].concern
                rate[0].risk, rate[1].risk, rate[2].risk -> memo[0].high, memo[0].before
                rate[1].why -> redraft[0].concern
                redraft[0].clause_text -> memo[0].after""",
        output="""memo[0].memo -> memo
                  rate[0].risk, rate[1].risk, rate[2].risk -> share""",
        note="The highest number selects a clause of the input and a reason; a count above a threshold goes on too.",
    ),
    case(
        "biz-demand-trimmed-mean",
        programs.DemandPlan,
        {"product": "model 120 kettle", "box": 12},
        {
            "forecast": lambda inputs: {
                "outlook": {"trend": "90 units", "season": "some 400", "survey": "120 or so"}.get(
                    inputs["method"], "130, by feeling"
                ),
                "caveat": "none",
            },
            "explain": {"plan": "125 kettles in 11 boxes"},
        },
        data="""forecast[0].outlook, forecast[1].outlook -> explain[0].units
                forecast[2].outlook, forecast[3].outlook -> explain[0].units""",
        output="""forecast[0].outlook, forecast[1].outlook -> boxes
                  forecast[2].outlook, forecast[3].outlook -> boxes
                  explain[0].plan -> plan""",
        note="Threads; the outermost of four numbers are dropped, yet each could come to stand in the middle.",
    ),
    case(
        "biz-inbox-batch",
        programs.Inbox,
        {"mails": ["The bill 17 is wrong, call me now.", "You won a yacht.", "What does a desk cost?"]},
        {
            "triage.spam": lambda inputs: {"spam": "yacht" in inputs["mail"]},
            "triage.sort": lambda inputs: (
                {"folder": "Billing", "urgent": True}
                if "bill" in inputs["mail"]
                else {"folder": "Sales", "urgent": False}
            ),
            "digest": {"digest": "3 mails, 1 urgent"},
        },
        data="""triage.sort[0].folder, triage.sort[1].folder -> digest[0].counts
                triage.sort[0].urgent, triage.sort[1].urgent -> digest[0].urgent""",
        output="""digest[0].digest -> digest
                  triage.sort[0].folder, triage.sort[1].folder -> folders""",
        control="""triage.spam[0].spam -> triage.sort[0]
                   triage.spam[2].spam -> triage.sort[1]""",
        allowed="""triage.spam[0].spam, triage.spam[1].spam -> digest[0].counts, digest[0].urgent, folders
                   triage.spam[2].spam -> digest[0].counts, digest[0].urgent, folders""",
        note="A batch over a module with an early return: the third mail's sorting is the second call of its kind.",
    ),
    case(
        "biz-kpi-alert",
        programs.Dashboard,
        {"report": "Revenue 1000, cost 750, 40 orders, margin 0.30 planned", "last_basket": 20.0, "floor": 0.3},
        {
            "extract": {"figures": {"revenue": 1000.0, "cost": 750.0, "orders": 40.0}},
            "season": {"season": "25%"},
            "comment": {"note": "Baskets grew."},
            "alert": {"alert": "The margin is below the floor."},
        },
        data="""extract[0].figures -> comment[0].margin, comment[0].change
                extract[0].figures -> alert[0].margin""",
        output="""comment[0].note -> note
                  alert[0].alert -> alert
                  extract[0].figures -> kpis""",
        control="extract[0].figures -> alert[0]",
        allowed="extract[0].figures -> alert",
        note="Ratios of a dict of numbers; a logged output equals the margin's text and leads nowhere.",
    ),
    case(
        "biz-haggling",
        programs.Haggling,
        {"list_price": 100, "opening": 40},
        {
            "buyer": [{"bid": 60}, {"bid": 75}],
            "seller": [{"ask": 90}, {"ask": 80}],
            "draft": {"contract": "Sold for 77."},
        },
        data="""buyer[0].bid -> seller[0].bid, buyer[1].history, seller[1].bid, draft[0].price
                seller[0].ask -> buyer[1].ask, buyer[1].history, draft[0].price
                buyer[1].bid -> seller[1].bid, draft[0].price
                seller[1].ask -> draft[0].price""",
        output="""buyer[0].bid, seller[0].ask, buyer[1].bid, seller[1].ask -> price
                  draft[0].contract -> contract""",
        control="buyer[0].bid, seller[0].ask -> buyer[1], seller[1]",
        allowed="buyer[0].bid, seller[0].ask, buyer[1].bid, seller[1].ask -> rounds",
        note="Bids never fall and asks never rise, so a first bid of 76 to 79 would also be the second one.",
    ),
    case(
        "biz-approval-chain",
        programs.Approval,
        {"request": "A medium van for the warehouse, approved by none"},
        {
            "size": {"size": "medium"},
            "approvers['lead']": {"ok": True, "remark": "needed"},
            "approvers['finance']": {"ok": False, "remark": "no budget"},
            "approvers['board']": {"ok": True, "remark": "fine"},
            "letter": {"letter": "Finance stopped it."},
        },
        data="""approvers['lead'][0].remark -> approvers['finance'][0].earlier, letter[0].remarks
                approvers['finance'][0].remark -> letter[0].remarks
                approvers['finance'][0].ok -> letter[0].status""",
        output="""approvers['finance'][0].ok -> status
                  letter[0].letter -> letter""",
        control="size[0].size, approvers['lead'][0].ok -> approvers['finance'][0]",
        allowed="""size[0].size, approvers['lead'][0].ok -> letter[0].status, letter[0].remarks, status""",
        note="A word chooses how many approvers there are, the first is always among them; a refusal ends the chain.",
    ),
    case(
        "biz-quotation-fix",
        programs.Quotation,
        {"order": "Two of A1, please"},
        {
            "extract": {"payload": '[{"sku": "A9", "n": 2}]'},
            "fix": {"payload_fixed": '[{"sku": "A1", "n": 2}]'},
            "quote": {"quote": "EUR 25.00, valid for 30 days"},
        },
        data="""extract[0].payload -> fix[0].payload, fix[0].problem
                fix[0].payload_fixed -> quote[0].total""",
        output="""fix[0].payload_fixed -> total
                  quote[0].quote -> quote""",
        control="extract[0].payload -> fix[0]",
        allowed="extract[0].payload -> quote[0].total, total",
        note="An unknown article raises a KeyError whose text goes to the repair; a mended order is priced.",
    ),
    case(
        "biz-glossary-cache",
        programs.Glossary,
        {"letter": "The Invoice and the credit note; again the invoice."},
        {
            "terms": {"terms": ["Invoice", "credit note", " invoice"]},
            "translate": lambda inputs: {"translation": "Rechnung" if inputs["term"] == "invoice" else "Gutschrift"},
            "letter": {"german": "Die Rechnung und die Gutschrift; nochmals die Rechnung."},
        },
        data="""terms[0].terms -> translate[0].term, translate[1].term, letter[0].glossary
                translate[0].translation, translate[1].translation -> letter[0].glossary""",
        output="""letter[0].german -> german
                  terms[0].terms -> terms""",
        allowed="terms[0].terms -> translate[0], translate[1]",
        note="The third term is answered by a cache in the program, which a second run finds filled.",
        pure=False,
    ),
    case(
        "biz-scorecard",
        programs.Scorecard,
        {"cv": "8 years of Go, a blog, free to travel"},
        {
            "score.predict": lambda inputs: {
                "reasoning": "as it says",
                **{
                    "skills": {"score": 8, "evidence": "8 years of Go"},
                    "writing": {"score": 7, "evidence": "a blog"},
                    "travel": {"score": 9, "evidence": "free to travel"},
                }[inputs["criterion"]],
            },
            "invite": {"mail": "Come, you are free to travel."},
            "reject": {"mail": "Sorry."},
        },
        data="""score.predict[0].score, score.predict[1].score, score.predict[2].score -> invite[0].strength
                score.predict[2].evidence -> invite[0].strength""",
        output="""score.predict[0].score, score.predict[1].score, score.predict[2].score -> total
                  invite[0].mail -> mail""",
        control="score.predict[0].score, score.predict[1].score -> invite[0]",
        allowed="""score.predict[2].score -> invite[0]
                   score.predict[0].score, score.predict[1].score, score.predict[2].score -> mail""",
        note="A weighted sum decides on the letter, which the lightest weight cannot turn alone.",
    ),
    case(
        "biz-quarter-report",
        programs.QuarterReport,
        {"facts": "sales 12, staff 3"},
        {
            "sections['sales'].draft": {
                "text": "Sales of twelve were the best since the day on which we opened. Thanks."
            },
            "sections['sales'].shorten": {"shorter": "Sales: twelve. Thanks."},
            "sections['staff'].draft": {"text": "Three people. Thanks."},
            "sections['staff'].shorten": {"shorter": "Three."},
            "summary": {"summary": "Twelve sales, three people."},
        },
        data="""sections['sales'].draft[0].text -> sections['sales'].shorten[0].text
                sections['sales'].shorten[0].shorter -> summary[0].leads
                sections['staff'].draft[0].text -> summary[0].leads""",
        output="""sections['sales'].shorten[0].shorter, sections['staff'].draft[0].text -> report
                  summary[0].summary -> summary""",
        control="sections['sales'].draft[0].text -> sections['sales'].shorten[0]",
        allowed="sections['sales'].draft[0].text -> summary[0].leads, report",
        note="Two sub-modules side by side, one of which shortens; only first sentences reach the summary.",
        style="async",
    ),
)
