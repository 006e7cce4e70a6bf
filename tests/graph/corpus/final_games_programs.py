"""Games and agents: worlds with state, brackets, votes, code repair, markets, memories (cases in final_games.py)."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar

import dspy


class GameError(Exception):
    """A move that the rules forbid."""


# --- an adventure -------------------------------------------------------------------------------------------


class World:
    exits: ClassVar = {"hall": {"north": "cellar"}, "cellar": {"south": "hall"}}

    def __init__(self) -> None:
        self.room = "hall"
        self.items: dict[str, list[str]] = {"hall": [], "cellar": ["key"]}
        self.bag: list[str] = []
        self.won = False

    def do(self, command: str) -> str:
        verb, _, thing = command.strip().lower().partition(" ")
        action: Callable[[str], str] | None = {"go": self.go, "take": self.take, "open": self.open}.get(verb)
        if action is None:
            raise GameError("you only know go, take and open")
        return action(thing)

    def go(self, direction: str) -> str:
        if direction not in self.exits[self.room]:
            raise GameError("there is no way")
        self.room = self.exits[self.room][direction]
        return f"you went {direction}"

    def take(self, item: str) -> str:
        if item not in self.items[self.room]:
            raise GameError("it is not here")
        self.items[self.room].remove(item)
        self.bag.append(item)
        return "taken"

    def open(self, thing: str) -> str:
        if thing != "door" or self.room != "hall" or "key" not in self.bag:
            raise GameError("it stays shut")
        self.won = True
        return "the door opens"

    def view(self) -> str:
        return f"You are in the {self.room}. You see: {', '.join(self.items[self.room]) or 'nothing'}."


class Adventure(dspy.Module):
    def __init__(self, turns: int = 4) -> None:
        super().__init__()
        self.turns = turns
        self.player = dspy.Predict("view, bag -> command")
        self.narrator = dspy.Predict("log -> tale")

    def forward(self, greeting: str) -> dspy.Prediction:
        world, log, message = World(), [], greeting
        while not world.won and len(log) < self.turns:
            view = f"{world.view()} ({message})"
            command = self.player(view=view, bag=", ".join(world.bag) or "nothing").command
            try:
                message = world.do(command)
            except GameError as error:
                message = f"No: {error}"
            log.append(f"> {command}\n{message}")
        return dspy.Prediction(tale=self.narrator(log="\n".join(log)).tale, won=world.won)


# --- questions ----------------------------------------------------------------------------------------------


class ThreeQuestions(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.asker = dspy.Predict("notes -> question")
        self.oracle = dspy.Predict("secret, question -> answer: Literal['yes', 'no', 'won']")

    def forward(self, secret: str) -> dspy.Prediction:
        notes: list[tuple[str, str]] = []
        for _ in range(3):
            asked = self.asker(notes=" ".join(f"{q} {a.upper()}!" for q, a in notes) or "none")
            answer = self.oracle(secret=secret, question=asked.question).answer
            notes.append((asked.question, answer))
            if answer == "won":
                break
        return dspy.Prediction(last=notes[-1][0], yes=sum(a == "yes" for _, a in notes), solved=notes[-1][1] == "won")


# --- a plan on a stack machine ------------------------------------------------------------------------------


class Machine:
    """Runs steps like 'push 3' and 'times 4' and forgets everything afterwards."""

    def __init__(self) -> None:
        self.value = 0

    def run(self, steps: list[str]) -> int:
        for step in steps:
            name, _, number = step.strip().partition(" ")
            try:
                getattr(self, f"tool_{name}")(int(number or 0))
            except AttributeError:
                raise GameError(f"there is no tool {name!r}") from None
        return self.value

    def tool_push(self, number: int) -> None:
        self.value = number

    def tool_plus(self, number: int) -> None:
        self.value += number

    def tool_times(self, number: int) -> None:
        self.value *= number


class PlanAndRun(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.ChainOfThought("goal, problem -> steps: list[str]")
        self.boast = dspy.Predict("goal, value: int, size -> speech")

    def forward(self, goal: str) -> dspy.Prediction:
        problem, value = "none", None
        for _ in range(3):
            steps = self.plan(goal=goal, problem=problem).steps
            try:
                value = Machine().run(steps)
            except (GameError, ValueError) as error:
                problem = str(error)
            else:
                break
        size = "big" if (value or 0) > 100 else "small"
        return dspy.Prediction(value=value, speech=self.boast(goal=goal, value=value or 0, size=size).speech)


# --- code repair --------------------------------------------------------------------------------------------


class CodeGolf(dspy.Module):
    """Expressions in n are tried on examples; what goes wrong is the next prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.coder = dspy.Predict("task, previous, failures: list[str] -> code")
        self.critic = dspy.Predict("code, length: int -> remark")

    def failures(self, code: str, examples: dict[int, int]) -> Iterator[str]:
        for n, wanted in examples.items():
            try:
                got = eval(code, {"__builtins__": {}}, {"n": n})
            except Exception as error:
                yield f"n={n}: {type(error).__name__}: {error}"
                continue
            if got != wanted:
                yield f"n={n}: {got} instead of {wanted}"

    def forward(self, task: str, examples: dict[int, int]) -> dspy.Prediction:
        code, failures = "", ["nothing was tried"]
        for _ in range(3):
            code = self.coder(task=task, previous=code, failures=failures).code.strip("` \n")
            failures = list(islice(self.failures(code, examples), 2))
            if not failures:
                break
        remark = self.critic(code=code, length=len(code)).remark
        return dspy.Prediction(code=code, remark=remark, correct=not failures)


# --- a bracket ----------------------------------------------------------------------------------------------


class Bracket(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.match = dspy.Predict("first, second -> winner: Literal['first', 'second'], comment")
        self.interview = dspy.Predict("champion, road: list[str] -> interview")

    def forward(self, players: list[str]) -> dspy.Prediction:
        left, log = list(players), []
        while len(left) > 1:
            pairs = list(zip(left[::2], left[1::2], strict=True))
            left = []
            for first, second in pairs:
                played = self.match(first=first, second=second)
                log.append(({first, second}, played.comment))
                left.append(first if played.winner == "first" else second)
        (champion,) = left
        road = [comment for pair, comment in log if champion in pair]
        return dspy.Prediction(
            champion=champion, interview=self.interview(champion=champion, road=road).interview, matches=len(log)
        )


# --- a village vote -----------------------------------------------------------------------------------------


class Village(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.voters = [dspy.Predict("night -> suspect: Literal['fox', 'owl', 'bat'], reason") for _ in range(4)]
        self.defend = dspy.Predict("accused, reasons: list[str] -> defence")

    async def aforward(self, night: str) -> dspy.Prediction:
        votes = await asyncio.gather(*(voter.acall(night=night) for voter in self.voters))
        tally = Counter(vote.suspect for vote in votes)
        [(accused, _)] = tally.most_common(1)
        reasons = [vote.reason for vote in votes if vote.suspect == accused]
        defence = (await self.defend.acall(accused=accused, reasons=reasons)).defence
        return dspy.Prediction(defence=defence, tally=dict(tally))


# --- a quiz with a streak -----------------------------------------------------------------------------------


class Quiz(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("topic, level: int -> question")
        self.player = dspy.ChainOfThought("question -> answer")
        self.grade = dspy.Predict("question, answer -> points: int")
        self.host = dspy.Predict("total: int, highlight -> goodbye")
        self.streak = 0

    def round(self, topic: str) -> tuple[int, str]:
        question = self.ask(topic=topic, level=self.streak + 1).question
        answer = self.player(question=question).answer
        points = self.grade(question=question, answer=answer).points
        self.streak = self.streak + 1 if points >= 5 else 0
        return points, answer

    def forward(self, topics: list[str]) -> dspy.Prediction:
        self.streak, total, rounds = 0, 0, []
        for topic in topics:
            points, answer = self.round(topic)
            total += points * self.streak
            rounds.append((points, answer))
        highlight = max(rounds, key=lambda one: one[0])[1]
        return dspy.Prediction(total=total, goodbye=self.host(total=total, highlight=highlight).goodbye)


# --- a market -----------------------------------------------------------------------------------------------


class Wallet:
    def __init__(self, cash: int) -> None:
        self.cash, self.stock = cash, 0

    def trade(self, order: str, price: int) -> None:
        match = re.search(r"\b(buy|sell)\s+(\d+)", order, re.IGNORECASE)
        if match is None:
            raise GameError("say 'buy 2' or 'sell 2'")
        amount = int(match[2]) * (1 if match[1].lower() == "buy" else -1)
        if amount * price > self.cash:
            raise GameError(f"you are {amount * price - self.cash} short")
        if self.stock + amount < 0:
            raise GameError("you own too little")
        self.cash -= amount * price
        self.stock += amount


class Market(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trader = dspy.Predict("price: int, cash: int, stock: int, notice -> order")
        self.advisor = dspy.Predict("worth: int -> advice")

    def forward(self, cash: int, prices: list[int]) -> dspy.Prediction:
        wallet, notice = Wallet(cash), "none"
        for price in prices:
            order = self.trader(price=price, cash=wallet.cash, stock=wallet.stock, notice=notice).order
            try:
                wallet.trade(order, price)
                notice = "none"
            except GameError as error:
                notice = str(error)
        worth = wallet.cash + wallet.stock * prices[-1]
        return dspy.Prediction(stock=wallet.stock, worth=worth, advice=self.advisor(worth=worth).advice)


# --- a treaty -----------------------------------------------------------------------------------------------


class Treaty(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fox = dspy.Predict("memory -> line, offer: int")
        self.owl = dspy.Predict("memory -> line, offer: int")
        self.sign = dspy.Predict("memory, gold: int -> treaty")

    def forward(self, opening: str) -> dspy.Prediction:
        memory = deque([opening], maxlen=2)
        offers: dict[str, int] = {}
        for _ in range(3):
            for name in ("fox", "owl"):
                said = getattr(self, name)(memory="\n".join(memory))
                memory.append(f"{name}: {said.line} ({said.offer})")
                offers[name] = said.offer
            if abs(offers["fox"] - offers["owl"]) <= 2:
                break
        gold = sum(offers.values()) // 2
        return dspy.Prediction(gold=gold, treaty=self.sign(memory="\n".join(memory), gold=gold).treaty)


# --- two plies ----------------------------------------------------------------------------------------------


class Chess(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.propose = dspy.Predict("position -> moves: list[str]")
        self.counter = dspy.Predict("position -> replies: list[str]")
        self.evaluate = dspy.Predict("position -> score: int")
        self.explain = dspy.Predict("move, score: int -> comment")

    def forward(self, position: str) -> dspy.Prediction:
        def worst(line: str) -> int:
            replies = self.counter(position=line).replies
            return min((self.evaluate(position=f"{line} {reply}").score for reply in replies), default=0)

        values = {move: worst(f"{position} {move}") for move in self.propose(position=position).moves}
        move = max(values, key=lambda one: values[one])
        return dspy.Prediction(move=move, comment=self.explain(move=move, score=values[move]).comment)


# --- a memory -----------------------------------------------------------------------------------------------


class Memory(list[tuple[int, str]]):
    def note(self, importance: int, text: str) -> None:
        self.append((min(max(importance, 0), 10), text.strip().rstrip(".")))

    def best(self, k: int) -> Iterator[str]:
        return (text for _, text in sorted(self, key=lambda one: one[0], reverse=True)[:k])

    @property
    def pressure(self) -> int:
        return sum(importance for importance, _ in self)


class Villager(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.observe = dspy.Predict("scene -> note, importance: int")
        self.reflect = dspy.ChainOfThought("notes: list[str] -> insight")
        self.speak = dspy.Predict("question, memories, insight -> reply")

    def forward(self, scenes: list[str], question: str) -> dspy.Prediction:
        memory, insight = Memory(), "none"
        for scene in scenes:
            seen = self.observe(scene=scene)
            memory.note(seen.importance, seen.note)
        if memory.pressure > 15:
            insight = self.reflect(notes=[text for _, text in memory]).insight
        memories = "; ".join(memory.best(2))
        return self.speak(question=question, memories=memories, insight=insight)


# --- an agent that may ask another model ------------------------------------------------------------------------

QUEST: Any = "quest -> plan"


def strength(name: str) -> int:
    """How strong is somebody?"""
    return {"dragon": 90, "knight": 40}[name.lower()]


class Quest(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.oracle = dspy.Predict("question -> prophecy, price: int")

        def consult(question: str) -> str:
            """Ask the oracle."""
            told = self.oracle(question=question)
            return f"The oracle says: {told.prophecy.upper()}"

        self.agent = dspy.ReAct(QUEST, tools=[consult, strength], max_iters=3)
        self.bard = dspy.Predict("plan -> song")

    def forward(self, quest: str) -> dspy.Prediction:
        plan = self.agent(quest=quest).plan
        return dspy.Prediction(song=self.bard(plan=plan).song)
