"""Small sets of examples that instructions could quote: problems, trivia, reviews, formulas, other scripts."""

from __future__ import annotations

import dspy
from pydantic import BaseModel


class Order(BaseModel):
    customer: str
    items: list[str]
    note: str


def _set(inputs: tuple[str, ...], rows: list[dict]) -> list[dspy.Example]:
    return [dspy.Example(**row).with_inputs(*inputs) for row in rows]


def _pairs(given: str, wanted: str, rows: list[tuple]) -> list[dspy.Example]:
    return _set((given,), [{given: one, wanted: other} for one, other in rows])


SHOP = _pairs(
    "question",
    "answer",
    [
        ("Marisol baked 48 muffins on Monday and half as many on Friday. How many muffins did she bake?", "72"),
        ("Dietrich drives 1,350 miles in three days. How many miles is that on average each day?", "450"),
        ("A ferry carries 96 cars on each trip and makes 7 trips. How many cars does it carry?", "672"),
        ("Oksana saves $35 a week. How much money has she saved after 24 weeks?", "840"),
        ("Of the 125 tulips in the garden, 40% are red. How many tulips are red?", "50"),
        ("Tomasz reads 18 pages an hour. How many hours does he need for a book of 414 pages?", "23"),
        ("A bakery sells 215 loaves at $4 and 60 cakes at $12. How much money does it take?", "1580"),
        ("There are 9 shelves with 34 jars each, and 11 jars fall down. How many jars are left?", "295"),
        ("Ngozi runs 5 laps of 400 meters and walks 2 laps. How many meters does she cover?", "2800"),
        ("Twelve friends share a bill of $318 equally. How much does each of them pay?", "26.5"),
        ("Priya has 64 stamps, gives a quarter of them to Leon and buys 19 more. How many has she now?", "67"),
        ("A tank holds 980 liters and loses 14 liters an hour. After how many hours is it empty?", "70"),
    ],
)
TRIVIA = _pairs(
    "question",
    "answer",
    [
        ("Which river flows through Zaragoza?", "Ebro"),
        ("Who painted the ceiling of the opera house in Paris in 1964?", "Marc Chagall"),
        ("What is the capital of Burkina Faso?", "Ouagadougou"),
        ("Which physicist was first to measure the speed of light on Earth?", "Hippolyte Fizeau"),
        ("In which year did the Vasa sink?", "1628"),
        ("Which novel begins with the death of a mother in Algiers?", "The Stranger"),
        ("What is the chemical symbol of tungsten?", "W"),
        ("Who was the second woman to win a Nobel Prize in Physics?", "Maria Goeppert Mayer"),
        ("Which strait separates Honshu from Hokkaido?", "Tsugaru Strait"),
        ("Who composed the opera about the barber from Seville?", "Gioachino Rossini"),
    ],
)
_REVIEWS = [
    ("The hinges rattled after two days and nobody answered my letters.", "negative"),
    ("I love it", "positive"),
    ("Arrived early, works as promised, and my grandmother adores the color.", "positive"),
    ("Not worth a tenth of what they charge for this flimsy kettle.", "negative"),
    ("It is a chair. You can sit on it.", "neutral"),
    ("Five stars for the soup, one star for the waiter who spilled it.", "neutral"),
    ("Broken on arrival, refund refused!", "negative"),
    ("My cat sleeps in the box; the lamp itself is gorgeous.", "positive"),
]
REVIEWS = _pairs("review", "label", _REVIEWS)
SUMS = _pairs(
    "input",
    "target",
    [(f"what is {a} * {b}?", str(a * b)) for a, b in ((17, 23), (41, 19), (8, 77), (36, 52), (13, 99), (64, 28))],
)
FORMULAS = _pairs(
    "input",
    "target",
    [
        ("((-3 + 8 * 5) - (2 - -7)) =", "28"),
        ("((4 * -6 + 1) + (9 - 5 * 2)) =", "-24"),
        ("not ( True and False ) or ( not True ) is", "True"),
        ("( False or not False ) and not ( True ) is", "False"),
        ("Close the brackets: [ { ( < [", "] > ) } ]"),
        ("Close the brackets: < < ( { }", ") > >"),
        ("Close the brackets: ( [ [ { <", "> } ] ] )"),
    ],
)
CODE = _pairs(
    "program",
    "bug",
    [
        (
            "def mean(xs):\n    total = 0\n    for x in xs:\n        total += x\n    return total / (len(xs) + 1)",
            "It divides by one more than the number of values, so that every mean is too small.",
        ),
        (
            "def last(xs):\n    if not xs:\n        raise IndexError\n    return xs[len(xs)]",
            "The index is one too large, and the function raises for every list that is not empty.",
        ),
        (
            "let sum = 0;\nfor (let i = 0; i <= a.length; i++) { sum += a[i]; }",
            "The loop reads one element behind the end of the array, which makes the sum NaN.",
        ),
    ],
)
ORDERS = _set(
    ("order",),
    [
        {
            "order": Order(
                customer="Beatrix Vandermeer", items=["two copper kettles", "a walnut tray"], note="Ring twice."
            ),
            "code": "KX-48213-B",
        },
        {
            "order": Order(
                customer="Idris Okonkwo", items=["one brass lamp"], note="Leave it with the baker next door."
            ),
            "code": "QP-90177-A",
        },
        {
            "order": Order(
                customer="Sunniva Dahl", items=["nine beeswax candles", "a linen apron"], note="A birthday gift."
            ),
            "code": "ZT-11542-C",
        },
        {
            "order": Order(customer="Aurelio Conti", items=["six oak spoons"], note="Please no plastic in the parcel."),
            "code": "MM-70086-D",
        },
    ],
)
PEOPLE = _set(
    ("age", "city", "job", "income"),
    [
        {"age": 34, "city": "Ghent", "job": "glazier", "income": 41250, "buys": "yes"},
        {"age": 58, "city": "Tartu", "job": "bus driver", "income": 28900, "buys": "no"},
        {"age": 27, "city": "Bergamo", "job": "nurse", "income": 36400, "buys": "yes"},
        {"age": 45, "city": "Aarhus", "job": "notary", "income": 99100, "buys": "no"},
        {"age": 61, "city": "Porto", "job": "beekeeper", "income": 22750, "buys": "yes"},
    ],
)
CLAIMS = _set(
    ("statement", "speaker", "source"),
    [
        {"statement": s, "speaker": p, "source": w, "verdict": v}
        for s, p, w, v in [
            (
                "The county spent more on fireworks than on school libraries last year.",
                "mayor",
                "a radio interview",
                "no",
            ),
            (
                "Our harbor handles twice the cargo of every other port on this coast.",
                "senator",
                "a press release",
                "yes",
            ),
            ("Nobody in the valley has paid tolls since the bridge was opened in 1987.", "governor", "a TV ad", "yes"),
            (
                "Wages of nurses rose by 11.5 percent while rents stood still.",
                "senator",
                "a speech on the House floor",
                "no",
            ),
            ("I never voted for the pipeline, not in committee and not on the floor.", "governor", "a debate", "yes"),
            ("Every third teacher leaves the profession within two winters.", "mayor", "a TV ad", "no"),
        ]
    ],
)
_TABLE = "Here is a table of boats, one a line: name, length, crew. Heron, 12, 4. Osprey, 9, 2. Cormorant, 17, 6. "
TABLE = _pairs(
    "input",
    "target",
    [
        (_TABLE + "Which boat has the largest crew?", "Cormorant"),
        (_TABLE + "How long is the boat with two people on board?", "9"),
        (_TABLE + "Remove every boat under ten meters. How many people sail?", "10"),
        (_TABLE + "Add Gannet, 14, 5. What is the total length of the fleet?", "52"),
        (_TABLE + "Sort the boats by length and name the second one.", "Heron"),
    ],
)
LANGUAGES = _pairs(
    "text",
    "topic",
    [
        ("Der Bäcker schließt seine Stube erst, wenn der letzte Gast müde nach Hause geht.", "handwerk"),
        ("昨日の夕方、駅前の古い書店が静かに店を閉めました。", "地域"),
        ("Поздно вечером старый смотритель зажёг фонарь на краю пустой пристани.", "море"),
        ("L\u2019été dernier, ma voisine a planté trois cerisiers derrière l\u2019église du village.", "jardin"),
        ("어제 저녁 작은 항구에 노란 배 세 척이 조용히 들어왔다.", "항구"),
        ("कल शाम पुराने बाज़ार में एक नया पुस्तकालय खुला और बच्चे बहुत खुश हुए।", "नगर"),
    ],
)
LETTERS = _pairs(
    "topic",
    "letter",
    [
        (
            "late parcel",
            "Dear customer, your parcel waits in our depot in Lund; we will bring it on Thursday before noon.",
        ),
        (
            "wrong size",
            "Send the boots back in their own box, and we will pay the postage and exchange them within a week.",
        ),
        (
            "broken mug",
            "We are sorry for the broken mug: keep the pieces for the mosaic class, a new one is on its way.",
        ),
    ],
)
ANTONYMS = _pairs("word", "antonym", [("arid", "humid"), ("gaunt", "plump"), ("frugal", "lavish"), ("opaque", "sheer")])

DATA = {
    "shop": SHOP,
    "trivia": TRIVIA,
    "reviews": REVIEWS,
    "sums": SUMS,
    "formulas": FORMULAS,
    "code": CODE,
    "orders": ORDERS,
    "people": PEOPLE,
    "claims": CLAIMS,
    "table": TABLE,
    "languages": LANGUAGES,
    "letters": LETTERS,
    "antonyms": ANTONYMS,
}
