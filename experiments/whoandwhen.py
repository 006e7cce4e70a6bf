"""A public yardstick for blame: Who&When (arXiv 2505.00212), failed logs of agents with the agent and step at fault.

    python experiments/whoandwhen.py --data FOLDER                       # floors only: no model is asked
    python experiments/whoandwhen.py --data FOLDER --base_model openai/gpt-4.1-mini
    python experiments/whoandwhen.py --data FOLDER --base_model openai/local --api_base http://127.0.0.1:8799/v1 \\
      --arms judge window --shortest --limit 6 --window 4 --longest 150 --question 2200 --max_tokens 700

FOLDER holds `<kind>.jsonl` files or folders `<kind>/` of JSON files; a log has `history`, `question`, `ground_truth`,
and the labels `mistake_agent` and `mistake_step`, which only the scoring reads. The data set is not part of this
repository. Every answer is a line of `--lines`; what stands there is not asked again.

Arms, all told the right answer:

- semantic: a sweep in which each turn may have read all earlier ones;
- window: the same with the nearest turns only;
- pooled: the gradients of `window`, pooled over the logs of a kind whose agents recur;
- isolated: as `window`, every turn judged alone, blind to its siblings;
- judge: one question about the whole log, with a score for every agent and every step;
- steps: turn after turn, whether it is the one, until the first yes.

An arm that names nobody is wrong there. The floors ask nobody.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data.whoandwhen import Labelled, labelled
from records import average, interval, origin
from tqdm.auto import tqdm

from dspy_semantic_backprop import Diagnosis, Method, Semantic, SemanticBackpropError, diagnose_logs

RECORD = Path(__file__).parent / "results" / "whoandwhen.json"
ARMS = ("semantic", "window", "pooled", "isolated", "judge", "steps")


_TURN = re.compile(r"\W*(?:turn|step)?\W*(\d+)\W*", re.IGNORECASE)
Said = tuple[str | None, int | None]
"""The agent and the step that are named; None where nobody is."""


def floors(logs: Sequence[Labelled]) -> dict[str, tuple[list[float], list[float]]]:
    """Floor -> of each log whether the agent and whether the step is right; empty where it names none."""
    agent = Counter(one.agent for one in logs).most_common(1)[0][0]
    step = Counter(one.step for one in logs).most_common(1)[0][0]
    return {
        "most frequent speaker": ([float(Counter(x.speakers).most_common(1)[0][0] == x.agent) for x in logs], []),
        "first speaker": ([float(x.speakers[0] == x.agent) for x in logs], []),
        f"always {agent}": ([float(agent == x.agent) for x in logs], []),
        f"always step {step}": ([], [float(step == x.step) for x in logs]),
        "chance": ([1 / len(set(x.speakers)) for x in logs], [1 / len(x.speakers) for x in logs]),
    }


class Judge(dspy.Signature):
    """Agents worked on a task and failed: below is what they said, turn by turn, and the right answer, which they did
    not know. Score every agent and every turn by how likely it is that the failure goes back to it: the earliest
    mistake without which the task would have been solved."""

    task: str = dspy.InputField()
    right_answer: str = dspy.InputField()
    turns: str = dspy.InputField(desc="each with its number and its agent")
    reasoning: str = dspy.OutputField(desc="what each turn contributed to the failure")
    agents: dict[str, float] = dspy.OutputField(desc="agent -> 0 to 1, all agents")
    steps: dict[str, float] = dspy.OutputField(desc="number of the turn -> 0 to 1, all turns")


class Step(dspy.Signature):
    """Agents work on a task. Is the last of these turns the mistake that makes them fail? Judge by the right answer,
    which they do not know."""

    task: str = dspy.InputField()
    right_answer: str = dspy.InputField()
    turns: str = dspy.InputField(desc="each with its number and its agent; the last one is to be judged")
    mistaken: bool = dspy.OutputField()


def clipped(text: str, tokens: int) -> str:
    """A text with at most about so many tokens, its two ends."""
    half = 2 * tokens
    return text if len(text) <= 2 * half else f"{text[:half]} (...) {text[-half:]}"


def shown(one: Labelled, tokens: int, most: int) -> list[str]:
    """The turns of a log as texts, of which all together have about `most` tokens, and each at most `tokens`."""
    graph = one.log.graph
    each = max(20, min(tokens, most // len(graph)))
    texts = [(call, str(next(iter(call.outputs.values()), ""))) for call in graph]
    return [f"[{one.log.turns[call.id]}] {call.predictor}: {clipped(text, each)}" for call, text in texts]


def best(scores: Any) -> Any:
    """What has the highest score; None where there are none."""
    known = {key: value for key, value in scores.items() if isinstance(value, (int, float))} if scores else {}
    return max(known, key=lambda key: known[key]) if known else None


def numbered(scores: Any) -> dict[int, Any]:
    """Number of a turn -> its score, from keys such as "3" and "turn 3"; what names no turn is left out."""
    found = {_TURN.fullmatch(str(key).strip()): value for key, value in (scores or {}).items()}
    return {int(match[1]): value for match, value in found.items() if match is not None}


def named(found: Diagnosis, one: Labelled, number: int = 0) -> Said:
    """The agent and the step that a diagnosis blames most for one of its logs."""
    calls = [call for call in found.calls if call.example_id == number]
    if not calls:
        return None, None
    if len(found.logs) == 1:
        agent = max(found.predictors, key=lambda each: each.share).predictor
    else:
        # Of many logs there are the shares of the most blamed turns of each.
        totals: Counter[str] = Counter()
        for call in calls:
            totals[call.predictor] += call.share  # pyright: ignore[reportArgumentType]
        agent = totals.most_common(1)[0][0]
    return agent, one.log.turns[calls[0].call]


class Study:
    """Asks the arms, and keeps every answer as a line."""

    def __init__(self, config: argparse.Namespace) -> None:
        self.config = config
        server = {"api_base": config.api_base, "api_key": os.environ.get("OPENAI_API_KEY", "local")}
        self.lm = dspy.LM(
            config.base_model,
            max_tokens=config.max_tokens,
            temperature=0.0,
            cache=False,
            **(server if config.api_base else {}),
        )
        self.lines, self.lock = Path(config.lines), threading.Lock()
        self.known = [json.loads(line) for line in self.lines.read_text().splitlines()] if self.lines.exists() else []
        self.known = [one for one in self.known if self._mine(one)]

    def _mine(self, line: Mapping[str, Any]) -> bool:
        return line["model"] == self.config.base_model and line["how"] == self.how

    @property
    def how(self) -> dict[str, Any]:
        """What an answer depends on besides the model and the log."""
        return {name: getattr(self.config, name) for name in ("window", "longest", "question", "max_tokens")}

    def _semantic(self, logs: Sequence[Labelled], arm: str) -> Diagnosis:
        config = self.config
        form = Semantic(siblings=arm != "isolated", longest=config.longest, budget=config.question)
        return diagnose_logs(
            [one.log for one in logs],
            gradient_lm=self.lm,
            method=Method(backward=form),
            window=None if arm == "semantic" else config.window,
            num_threads=config.threads,
            gradient_cache=Path(config.cache) / arm,
            subscribers=(),
        )

    def _swept(self, one: Labelled, arm: str) -> dict[str, Any]:
        try:
            found = self._semantic([one], arm)
        except SemanticBackpropError as error:
            # As for the judges: what cannot be had names nobody, and the others are asked.
            return {"agent": None, "step": None, "tokens": 0, "said": f"{type(error).__name__}: {error}"[:300]}
        agent, step = named(found, one)
        said = [{"call": call.call, "share": round(call.share, 3), "said": call.said} for call in found.calls[:3]]
        return {"agent": agent, "step": step, "tokens": found.total.tokens, "notes": found.notes, "said": said}

    def _asked(self, one: Labelled, ask: Callable[[Labelled], tuple[Said, Any]]) -> dict[str, Any]:
        with dspy.context(lm=self.lm, adapter=dspy.ChatAdapter()), dspy.track_usage() as usage:
            try:
                (agent, step), said = ask(one)
            except Exception as error:  # noqa: BLE001 - an answer that cannot be read names nobody
                (agent, step), said = (None, None), f"{type(error).__name__}: {error}"[:300]
        tokens = sum(int(spent.get("total_tokens") or 0) for spent in usage.get_total_tokens().values())
        return {"agent": agent, "step": step, "tokens": tokens, "said": said}

    def _material(self, one: Labelled) -> dict[str, str]:
        return {
            "task": clipped(str(one.log.graph.inputs["task"]), self.config.longest),
            "right_answer": str(one.log.expected),
        }

    def _judge(self, one: Labelled) -> tuple[Said, Any]:
        turns = "\n".join(shown(one, self.config.longest, self.config.question))
        reply = dspy.Predict(Judge)(**self._material(one), turns=turns)
        return (best(reply.agents), best(numbered(reply.steps))), {"reasoning": reply.reasoning, "steps": reply.steps}

    def _steps(self, one: Labelled) -> tuple[Said, Any]:
        turns = shown(one, self.config.longest, self.config.question)
        for at, call in enumerate(one.log.graph):
            reply = dspy.Predict(Step)(**self._material(one), turns="\n".join(turns[: at + 1]))
            if reply.mistaken:
                return (call.predictor, one.log.turns[call.id]), None
        return (None, None), None

    def ask(self, arm: str, one: Labelled) -> None:
        """Ask an arm about a log, unless it was asked before, and write the answer down."""
        if self.answer(arm, one) is not None:
            return
        started = time.monotonic()
        if arm in ("judge", "steps"):
            answer = self._asked(one, self._judge if arm == "judge" else self._steps)
        else:
            answer = self._swept(one, arm)
        self.keep(arm, one, {**answer, "seconds": round(time.monotonic() - started, 1)})

    def pool(self, kind: str, logs: Sequence[Labelled]) -> None:
        """Pool the gradients of `window`, which come from the cache."""
        found = self._semantic(logs, "window")
        for number, one in enumerate(logs):
            agent, step = named(found, one, number)
            self.keep("pooled", one, {"agent": agent, "step": step, "tokens": self._tokens("window", one)})

    def _tokens(self, arm: str, one: Labelled) -> int:
        return int((self.answer(arm, one) or {}).get("tokens", 0))

    def keep(self, arm: str, one: Labelled, answer: Mapping[str, Any]) -> None:
        """Write an answer down, with what people said."""
        where = {"arm": arm, "model": self.config.base_model, "kind": one.kind, "log": one.log.name, "how": self.how}
        line = {**where, **answer, "labels": [one.agent, one.step]}
        written = json.dumps(line, ensure_ascii=False, default=str)
        with self.lock, self.lines.open("a", encoding="utf-8") as file:
            # Read back, so that a record is the same whether its answers are new or known.
            self.known.append(json.loads(written))
            file.write(f"{written}\n")

    def answer(self, arm: str, one: Labelled) -> dict[str, Any] | None:
        """The last answer of an arm about a log; None where it was not asked."""
        known = reversed([*self.known])
        mine = (x for x in known if (x["arm"], x["kind"], x["log"]) == (arm, one.kind, one.log.name))
        return next(mine, None)


def row(
    arm: str, model: str | None, kind: str, agent: Sequence[float], step: Sequence[float], tokens: Any
) -> dict[str, Any]:
    """One row of the record: shares of logs, with 95 % Wilson intervals; None where nothing is named."""
    return {
        "arm": arm,
        "model": model,
        "kind": kind,
        "n": len(agent or step),
        **{name: average(right) if right else None for name, right in (("agent", agent), ("step", step))},
        **{f"{name}_interval": _wilson(right) for name, right in (("agent", agent), ("step", step))},
        "tokens": tokens,
    }


def _wilson(right: Sequence[float]) -> list[float]:
    """Of counts; means of chances are none."""
    return interval(right) if {*right} <= {0.0, 1.0} else []


def rows(study: Study | None, kind: str, logs: Sequence[Labelled], arms: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The floors over all logs of a kind, then the arms on those that they were asked about."""
    for floor, right in floors(logs).items():
        yield row(floor, None, kind, *right, 0)
    for arm in arms if study is not None else ():
        said = [(one, found) for one in logs if (found := study.answer(arm, one)) is not None]  # pyright: ignore
        if said:
            agent = [float(found["agent"] == one.agent) for one, found in said]
            step = [float(str(found["step"]) == str(one.step)) for one, found in said]
            tokens = round(average([found["tokens"] for _, found in said]))
            named_none = sum(found["agent"] is None for _, found in said)
            yield {**row(arm, said[0][1]["model"], kind, agent, step, tokens), "named_nobody": named_none}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("whoandwhen", description="Who is to blame in logs of others?", allow_abbrev=False)
    parser.add_argument("--data", required=True, help="the folder with the logs")
    parser.add_argument("--base_model", help="any LiteLLM string; none: floors only")
    parser.add_argument("--api_base", help="the address of an OpenAI-compatible server")
    parser.add_argument("--kinds", nargs="+", help="names of files or folders in it; none: all")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    parser.add_argument("--limit", type=int, help="so many logs of each kind; none: all")
    parser.add_argument("--shortest", action="store_true", help="the shortest logs first, else in a random order")
    parser.add_argument("--window", type=int, default=16, help="how many earlier turns a turn is taken to have read")
    parser.add_argument("--longest", type=int, default=1000, help="the most tokens of one turn in a question")
    parser.add_argument("--question", type=int, default=24_000, help="the most tokens of one question")
    parser.add_argument("--max_tokens", type=int, default=4000, help="the most tokens of one answer")
    parser.add_argument("--threads", type=int, default=8, help="questions of a log at once")
    parser.add_argument("--logs", type=int, default=4, help="logs at once, each with one arm")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no question is begun after so many minutes")
    parser.add_argument("--lines", default="whoandwhen.jsonl", help="every answer, as JSON lines; known ones are kept")
    parser.add_argument("--cache", help="a folder for the gradients; none: beside the lines")
    parser.add_argument("--record", default=str(RECORD), help="where the record is written")
    config = parser.parse_args(argv)
    config.cache = config.cache or f"{config.lines}.gradients"
    return config


def chosen(config: argparse.Namespace, logs: Sequence[Labelled]) -> list[Labelled]:
    """The logs that a model is asked about; those of a run that ends early are a fair sample unless it says else."""
    order = random.Random("the order of logs").sample(logs, len(logs))
    if config.shortest:
        order.sort(key=lambda one: sum(len(text) for text in shown(one, 10**6, 10**9)))
    return order[: config.limit]


def main(argv: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Ask, score, print the rows, and write the record."""
    config, started = parse(argv), time.monotonic()
    if not Path(config.data).is_dir():
        print(f"SKIPPED: there is no folder {config.data}; nothing was measured", file=sys.stderr)
        return None
    everything = labelled(Path(config.data))
    kinds = [kind for kind in dict.fromkeys(one.kind for one in everything) if not config.kinds or kind in config.kinds]
    by_kind = {kind: [one for one in everything if one.kind == kind] for kind in kinds}
    study = Study(config) if config.base_model else None
    if study is not None:
        for kind, logs in by_kind.items():
            asked(study, kind, chosen(config, logs), started)
    found = [one for kind, logs in by_kind.items() for one in rows(study, kind, logs, config.arms)]
    record = {
        "study": "whoandwhen",
        **origin(),
        "settings": study.how if study is not None else {},
        "data": {
            kind: {"logs": len(logs), "labels_disagree": sum(not one.consistent for one in logs)}
            for kind, logs in by_kind.items()
        },
        "seconds": round(time.monotonic() - started, 1),
        "rows": found,
        "answers": [] if study is None else [{k: v for k, v in one.items() if k != "how"} for one in study.known],
    }
    Path(config.record).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for one in found:
        print(told(one))
    print(config.record)
    return record


def asked(study: Study, kind: str, logs: Sequence[Labelled], started: float) -> None:
    """Ask every arm about every log of a kind, all arms about one log before the next, until the time is over."""
    jobs = [(arm, one) for one in logs for arm in study.config.arms if arm != "pooled"]

    def ask(job: tuple[str, Labelled]) -> None:
        if time.monotonic() - started < 60 * study.config.minutes:
            study.ask(*job)

    with ThreadPoolExecutor(study.config.logs) as pool:
        for _ in tqdm(pool.map(ask, jobs), desc=kind, unit="answer", total=len(jobs)):
            pass
    whole = [one for one in logs if study.answer("window", one) is not None]
    if "pooled" in study.config.arms and len(whole) > 1:
        study.pool(kind, whole)


def told(one: Mapping[str, Any]) -> str:
    """A row in one line."""

    def share(name: str) -> str:
        if one[name] is None:
            return f"{name} -"
        return f"{name} {one[name]:.3f} [{', '.join(f'{bound:.3f}' for bound in one[f'{name}_interval'])}]"

    who = f"{one['kind']:10} {one['arm']:24} n={one['n']:3}"
    return f"{who}  {share('agent')}  {share('step')}  {one['tokens']:,} tokens"


if __name__ == "__main__":
    main()
