"""The programs of the benchmark that the package does not ship: ordinary modules, run one call after the other."""

from __future__ import annotations

import re

import dspy


def step(inputs: str) -> dspy.Predict:
    """A predictor that reads these fields (separated by commas) and writes `note`."""
    return dspy.Predict(f"{inputs} -> note")


class Chain(dspy.Module):
    """Six steps; each reads only what the one before it wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.first = step("question")
        self.steps = [step("note_before") for _ in range(4)]
        self.last = step("note_before")

    def forward(self, question: str) -> dspy.Prediction:
        """Pass the note down the chain."""
        note = self.first(question=question).note
        for one in self.steps:
            note = one(note_before=note).note
        return self.last(note_before=note)


class Diamond(dspy.Module):
    """One step that two read, whose outputs are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.source = step("question")
        self.left = step("source_note")
        self.right = step("source_note")
        self.join = step("question, left_note, right_note")

    def forward(self, question: str) -> dspy.Prediction:
        """Split and join."""
        note = self.source(question=question).note
        left, right = self.left(source_note=note).note, self.right(source_note=note).note
        return self.join(question=question, left_note=left, right_note=right)


class Loop(dspy.Module):
    """Reads one list after the other and refines a running total, then answers."""

    def __init__(self) -> None:
        super().__init__()
        self.read = step("question")
        self.refine = step("question, total_so_far, new_note")
        self.final = step("total")

    def forward(self, lists: list[str]) -> dspy.Prediction:
        """One round for each list."""
        total = "nothing yet"
        for question in lists:
            note = self.read(question=question).note
            total = self.refine(question=question, total_so_far=total, new_note=note).note
        return self.final(total=total)


class Router(dspy.Module):
    """One step chooses which of three others does the work."""

    def __init__(self) -> None:
        super().__init__()
        self.route = step("question")
        self.branches = [step("question") for _ in range(3)]
        self.final = step("branch_note")

    def forward(self, question: str) -> dspy.Prediction:
        """Choose, work, answer; without a usable choice the first branch works."""
        chosen = re.search(r"\d+", self.route(question=question).note)
        at = int(chosen[0]) if chosen else 1
        branch = self.branches[at - 1 if 1 <= at <= len(self.branches) else 0]
        return self.final(branch_note=branch(question=question).note)


class Tree(dspy.Module):
    """Six leaves, two steps that read three of them each, and a root; each a predictor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves = [step("question") for _ in range(6)]
        self.middle = [step("question, note_1, note_2, note_3") for _ in range(2)]
        self.root = step("question, note_1, note_2")

    def forward(self, question: str) -> dspy.Prediction:
        """From the leaves to the root."""
        notes = [leaf(question=question).note for leaf in self.leaves]
        both = []
        for at, one in enumerate(self.middle):
            note_1, note_2, note_3 = notes[3 * at : 3 * at + 3]
            both.append(one(question=question, note_1=note_1, note_2=note_2, note_3=note_3).note)
        return self.root(question=question, note_1=both[0], note_2=both[1])


class MapReduce(dspy.Module):
    """A mapper on each of 16 lists, combined two by two, reduced in three groups, then answered: 28 calls."""

    def __init__(self) -> None:
        super().__init__()
        self.map = step("question")
        self.combine = step("question, notes")
        self.reduce = step("question, notes")
        self.final = step("question, notes")

    def forward(self, lists: list[str]) -> dspy.Prediction:
        """Map, combine, reduce, answer."""
        notes = [self.map(question=text).note for text in lists]
        pairs = [(f"{lists[at]}, {lists[at + 1]}", f"{notes[at]}\n{notes[at + 1]}") for at in range(0, len(notes), 2)]
        texts = [text for text, _ in pairs]
        halves = [self.combine(question=text, notes=both).note for text, both in pairs]
        groups = [range(0, 3), range(3, 6), range(6, 8)]
        sums = [
            self.reduce(question=", ".join(texts[at] for at in group), notes="\n".join(halves[at] for at in group)).note
            for group in groups
        ]
        return self.final(question=", ".join(texts), notes="\n".join(sums))


class Debate(dspy.Module):
    """Two sides answer each other over two rounds; a judge reads what they said last."""

    def __init__(self) -> None:
        super().__init__()
        self.pro = step("question, other_side")
        self.con = step("question, other_side")
        self.judge = step("question, pro_note, con_note")

    def forward(self, question: str) -> dspy.Prediction:
        """Two rounds and a verdict."""
        pro, con = "", "nothing yet"
        for _ in range(2):
            pro = self.pro(question=question, other_side=con).note
            con = self.con(question=question, other_side=pro).note
        return self.judge(question=question, pro_note=pro, con_note=con)


class Agent(dspy.Module):
    """Chooses what to look up, looks it up in plain Python, takes notes, and answers: ReAct's pattern."""

    def __init__(self) -> None:
        super().__init__()
        self.choose = step("wish")
        self.observe = step("wish, found")
        self.answer = step("question, first_note, second_note")

    def forward(self, question: str, wishes: list[str], store: list[str]) -> dspy.Prediction:
        """Two rounds of choosing and looking."""
        notes = []
        for wish in wishes:
            chosen = re.search(r"\d+", self.choose(wish=wish).note)
            at = int(chosen[0]) if chosen else 0
            found = store[at - 1] if 1 <= at <= len(store) else "nothing found"
            notes.append(self.observe(wish=wish, found=found).note)
        return self.answer(question=question, first_note=notes[0], second_note=notes[1])
