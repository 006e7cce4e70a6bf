"""An instruction with protected texts, edits that lose them (and what the refusal must name), and edits that do not."""

from __future__ import annotations

SPANS = [
    "Answer in JSON.",
    'Return {"id": <id>, "score": 0.50}',
    "never",
    "(a) cite the source;\n(b) stop.",
    "Wait... 100%!",
    "naïve",
]
CURRENT = """You grade naïve proofs.
Answer in JSON. You may never guess, and never skip a step.
(a) cite the source;
(b) stop.
Return {"id": <id>, "score": 0.50}
Wait... 100%!"""

_REST = CURRENT.split("\n", 1)[1]

LOST = [
    ("", "naïve"),
    ("Grade proofs.", "Answer in JSON."),
    # One of them is gone.
    (CURRENT.replace("Answer in JSON. ", ""), "Answer in JSON."),
    (CURRENT.replace("\nWait... 100%!", ""), "Wait... 100%!"),
    (CURRENT.replace('Return {"id": <id>, "score": 0.50}\n', ""), "score"),
    (CURRENT.replace("(b) stop.", ""), "cite the source"),
    (f"You grade proofs.\n{_REST}", "naïve"),
    (_REST, "naïve"),
    # Case, punctuation, white space, spelling.
    (CURRENT.replace("Answer in JSON.", "answer in JSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "ANSWER IN JSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer in JSON!"), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer in  JSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer in\nJSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer in **JSON**."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer in JSONL."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer only in JSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Respond in JSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "Answer\u00a0in JSON."), "Answer in JSON."),
    (CURRENT.replace("Answer in JSON.", "An\u200bswer in JSON."), "Answer in JSON."),
    (CURRENT.replace("Wait... 100%!", "Wait\u2026 100%!"), "Wait..."),
    (CURRENT.replace("Wait... 100%!", "Wait... 100 %!"), "Wait..."),
    (CURRENT.replace("Wait... 100%!", "Wait... 10%!"), "Wait..."),
    (CURRENT.replace("naïve", "naive"), "naïve"),
    (CURRENT.replace("naïve", "nai\u0308ve"), "naïve"),
    (CURRENT.replace("naïve", "Naïve"), "naïve"),
    (CURRENT.replace("naïve", "naïvely"), "naïve"),
    # Formats and placeholders.
    (CURRENT.replace("0.50", "0.5"), "score"),
    (CURRENT.replace("<id>", "17"), "score"),
    (CURRENT.replace("<id>", "<ID>"), "score"),
    (CURRENT.replace('"id"', "'id'"), "score"),
    (CURRENT.replace('"id"', "\u201cid\u201d"), "score"),
    (CURRENT.replace('{"id"', '{ "id"'), "score"),
    (CURRENT.replace("}", ""), "score"),
    (CURRENT.replace("{", "{{").replace("}", "}}"), "score"),
    # Lines of a text of several lines.
    (CURRENT.replace("source;\n(b)", "source; (b)"), "cite the source"),
    (CURRENT.replace("source;\n(b)", "source;\n\n(b)"), "cite the source"),
    (CURRENT.replace("source;\n(b)", "source;\n  (b)"), "cite the source"),
    (CURRENT.replace("(a)", "1.").replace("(b)", "2."), "cite the source"),
    (CURRENT.replace("source;\n(b)", "source;\nand\n(b)"), "cite the source"),
    # Number.
    (CURRENT.replace("never guess", "not guess"), "'never'"),
    (CURRENT.replace("never", "not"), "'never'"),
    (CURRENT.replace("never skip", "always skip"), "'never'"),
    (CURRENT + "\nYou may never stop early.", "'never'"),
    (CURRENT + "\nAnswer in JSON.", "Answer in JSON."),
    (CURRENT + "\n" + CURRENT, "naïve"),
    ("naïve " + CURRENT, "naïve"),
    (CURRENT.replace("never guess", "never guess and never lie"), "'never'"),
    (CURRENT.replace("never", "nevermore"), "'never'"),
    # Order.
    ("\n".join(reversed(CURRENT.split("\n"))).replace("(b) stop.\n(a) cite the source;", ""), "cite the source"),
    ("Wait... 100%!\n" + CURRENT.removesuffix("\nWait... 100%!"), "order"),
    (_REST + "\nYou grade naïve proofs.", "order"),
    (CURRENT.replace("Answer in JSON. You may never guess", "You may never guess. Answer in JSON."), "order"),
    ("(a) cite the source;\n(b) stop.\n" + CURRENT.replace("(a) cite the source;\n(b) stop.\n", ""), "order"),
    # Hidden in other words.
    (CURRENT.replace("Wait... 100%!", "xWait... 100%!"), "Wait..."),
    (CURRENT.replace("Answer in JSON.", "Do not say 'answer in json'."), "Answer in JSON."),
]

KEPT = [
    CURRENT,
    f"\n\n{CURRENT}\n\n",
    f"Be brief.\n{CURRENT}\nBe kind.",
    CURRENT.replace("You grade naïve proofs.", "Grade each naïve proof, line by line."),
    CURRENT.replace("You may never guess, and never skip a step.", "You never guess. You never, ever skip a step."),
    CURRENT.replace("\n", "\n\n").replace("source;\n\n(b)", "source;\n(b)"),
    CURRENT.replace("Answer in JSON.", "**Answer in JSON.**"),
    CURRENT.replace("naïve", '"naïve"'),
    CURRENT.replace("Wait... 100%!", "Wait... 100%! Then go on."),
    CURRENT.replace("never guess", "never guess (nevertheless try)"),
    f"{CURRENT}\nanswer in json as told; JSON has no comments.",
    "Grade naïve work. Answer in JSON. Guess never; skip never.\n(a) cite the source;\n(b) stop.\n"
    'Return {"id": <id>, "score": 0.50} and Wait... 100%!',
]
