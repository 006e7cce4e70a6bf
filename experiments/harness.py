"""What the studies of the paper's pipelines share: flags, language models, the run, the record.

Every study ends with the path of one JSON record as its last printed line; see `records.record` for its fields.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data import SAMPLES, DataError, Split, fingerprint
from projected import Bill, table
from records import average, averages, record, save, summary
from simulated import SimulatedModel
from tqdm.auto import tqdm

from dspy_semantic_backprop import (
    Direction,
    Gated,
    Message,
    Method,
    ProgressBar,
    Proposer,
    Reading,
    Semantic,
    SemanticBackpropError,
    SemanticGradientDescent,
    SetupError,
    Spent,
    TextGradient,
    accept_always,
    any_example,
    bounded,
    coin_flips,
    drop,
    every,
    only,
    presets,
    silent,
    strictly_better,
    wandb_tracker,
    without,
    wrong,
)
from dspy_semantic_backprop.integrations import Event, ExampleDone, Projected, Subscriber
from dspy_semantic_backprop.testing import Faults, SimulatedServer

SMOKE_TRAIN, SMOKE_HELD_OUT = 8, 12


def flag(default: Any, says: str, **how: Any) -> Any:
    """A field of `Config` with the sentence that --help prints."""
    return field(default=default, metadata={"help": says, **how})


@dataclass(frozen=True)
class Config:
    """The flags of the published scripts (arXiv 2412.03624) and ours."""

    base_model: str | None = flag(
        None, "the program's model, any LiteLLM string such as openai/gpt-4.1-mini; none: a simulated one"
    )
    opt_model: str | None = flag(None, "the optimizer's model; none: the program's")
    api_base: str | None = flag(None, "the address of an OpenAI-compatible server for both models")
    time_base: int = flag(600, "seconds that a request to the program's model may take")
    time_opt: int = flag(600, "seconds that a request to the optimizer's model may take")
    temperature: float = flag(0.0, "sampling temperature of both models")
    max_tokens: int = flag(1024, "the most tokens of one answer")
    max_threads: int = flag(64, "how many programs run at once")
    n_iters: int = flag(12, "how many steps to make; the published shell lines say 4, for LIAR 8")
    errors_per_gradient: int = flag(2, "how many examples a step learns from")
    gradients_per_error: int = flag(1, "how many backward passes to make on each of them")
    include_grad: bool = flag(False, "propagate gradients; without it proposals see inputs and outputs only")
    target: bool = flag(False, "ask for directions of change rather than comments")
    no_include_sibling: bool = flag(False, "judge every output alone, as TextGrad does")
    bare: bool = flag(False, "with --no_include_sibling: show neither the reader's task nor its inputs, as published")
    use_bad_samples: bool = flag(False, "learn from wrong examples only; without it from any", also="--use_bad_sample")
    full_update: bool = flag(False, "rewrite all predictors at once; without it each with probability 1/2")
    include_final: bool = flag(True, "rewrite the final predictor too; --no-include_final leaves it as it is")
    opt_keys: str | None = flag(None, "rewrite these predictors only, separated by commas")
    short_prompt: bool = flag(False, "ask for short instructions")
    opt_via_feedback: bool = flag(False, "first ask what is wrong, then for the rewrite")
    no_select: bool = flag(False, "keep every proposal, whatever it scores")
    across_layers: bool = flag(False, "each layer also reads all earlier ones")
    batch_size: int | None = flag(None, "the most training examples; none: the paper's split")
    narrow: bool = flag(False, "liar: each hint reads one attribute and the verdict none; a variant of ours")
    arm: str | None = flag(None, "liar: one of the paper's arms by name, or 'all', a record for each")
    category: str = flag("all", "bbh: all, nlp or algorithmic tasks", choices=("all", "nlp", "algorithmic"))
    bbh_cat: str = flag("", "bbh: one task by name; none: every task there is data for")
    sandbox: str = flag("", "bcb: what starts a Python with the package bigcodebench, which executes answers")
    data: str | None = flag(
        None, "a folder with bbh/, bcb/, gsm8k/, liar/, or 'hub'; none: the project's own questions"
    )
    held_out: int | None = flag(None, "the most held-out examples; none: all")
    results_dir: str = flag("./results", "where the record is written")
    exp_num: int = flag(0, "a number that goes into the record's name")
    seed: int = flag(0, "of the split, the choices and the simulated model")
    use_wandb: bool = flag(False, "log the steps to Weights & Biases")
    faults: float = flag(0.0, "simulated model only: the share of requests that fail in passing")
    latency: float = flag(0.0, "simulated model only: seconds that each request takes")
    smoke: bool = flag(False, "a minute's run on a few questions")
    project: bool = flag(False, "run nothing: print how many calls and US dollars the run is projected to take")


@dataclass(frozen=True)
class Job:
    """One program to optimise on one task.

    Args:
        name: The task's name in the record.
        build: Makes the program.
        metric: Grades an answer, as published.
        lenient: Grades it without regard to its format.
        split: The examples.
        group: The group of tasks that it is averaged with; "" for none.
    """

    name: str
    build: Callable[[], dspy.Module]
    metric: Callable[..., Any]
    lenient: Callable[..., Any]
    split: Split
    group: str = ""


C = TypeVar("C", bound=Config)


def parse(study: str, argv: Sequence[str] | None = None, *, kind: type[C] = Config, **defaults: Any) -> C:
    """Read the command line; an unknown or abbreviated flag is an error.

    Args:
        study: The script's name, for --help.
        argv: The arguments; None reads the command line.
        kind: The flags.
        **defaults: Defaults of this study that differ from `Config`'s.
    """
    parser = argparse.ArgumentParser(study, description=f"The {study} study.", allow_abbrev=False)
    for one in fields(kind):
        default = defaults.get(one.name, one.default)
        assert default is not MISSING
        how: dict[str, Any] = dict(one.metadata) | {"default": default}
        names = [f"--{one.name}", *filter(None, [how.pop("also", None)])]
        if isinstance(default, bool):
            how["action"] = argparse.BooleanOptionalAction if default else "store_true"
        else:
            how["type"] = next(kind for kind in (int, float, str) if kind.__name__ in str(one.type))
        parser.add_argument(*names, **how)
    return kind(**vars(parser.parse_args(argv)))


def main(study: str, jobs: Callable[[Config], list[Job]], config: Config) -> None:
    """Run a study from the command line: a user's mistake is one line on standard error and exit status 2."""
    try:
        print(costs(jobs(config), config) if config.project else run(study, jobs(config), config))
    except (SemanticBackpropError, DataError) as error:
        sys.exit(f"error: {error}")


def folder(config: Config) -> Path | None:
    """The data folder that the flags ask for; None for the hub."""
    if config.data == "hub":
        return None
    return SAMPLES if config.data is None else Path(config.data)


def run(study: str, jobs: list[Job], config: Config) -> Path:
    """Optimise every job, evaluate it on held-out examples, and write the record.

    Args:
        study: The record's `study`.
        jobs: What to optimise.
        config: The flags.

    Returns:
        The record's path.
    """
    started = time.monotonic()
    with models(config) as (base, optimizer_lm, server), dspy.context(lm=base):
        results = [one(shortened(job, config), optimizer_lm, config) for job in jobs]
        written = record(study, results, config, server, time.monotonic() - started)
    note = "simulated model; " if written["simulated"] else ""
    for result in results:
        print(summary(result, note))
    for name, held in {**written["score"]["groups"], "all": written["score"]["heldout"]}.items():
        print(f"{study}, {name} ({note}seed {config.seed}): {averages(held)}")
    spent = written["spent"]
    print(f"{spent['calls']} calls, {spent['tokens']} tokens, {spent['seconds']:.0f} s")
    return save(study, written, config)


@contextmanager
def models(config: Config) -> Iterator[tuple[dspy.LM, dspy.LM, SimulatedServer | None]]:
    """The program's model, the optimizer's, and the server where they are simulated."""
    if config.base_model is None:
        if config.opt_model is not None or config.api_base is not None:
            raise SetupError("--opt_model and --api_base need --base_model; without it the model is simulated")
        third = config.faults / 3
        faults = Faults(rate_limit=third, server_error=third, drop=third)
        with SimulatedModel(config.seed).serve(latency=config.latency, faults=faults) as server:
            lm = server.lm(cache=False, temperature=config.temperature, num_retries=8)
            yield lm, lm, server
        return
    base = real(config.base_model, config, config.time_base)
    yield base, real(config.opt_model, config, config.time_opt) if config.opt_model else base, None


def real(model: str, config: Config, timeout: int) -> dspy.LM:
    """A language model that LiteLLM knows by name, or one behind `--api_base`."""
    where: dict[str, Any] = {}
    if config.api_base is not None:
        where = {"api_base": config.api_base, "api_key": os.environ.get("OPENAI_API_KEY", "none")}
    limits = {"temperature": config.temperature, "max_tokens": config.max_tokens, "timeout": timeout}
    return dspy.LM(model, **limits, **where)


def shortened(job: Job, config: Config) -> Job:
    """The job with as few examples as the flags ask for."""
    train = SMOKE_TRAIN if config.smoke else config.batch_size
    held_out = SMOKE_HELD_OUT if config.smoke else config.held_out
    return replace(job, split=Split(job.split.train[:train], job.split.held_out[:held_out]))


def method(config: Config, program: dspy.Module) -> Method:
    """The published switches as the optimizer's parts; the table is in `presets`."""
    judge = Semantic(directions=config.target, siblings=not config.no_include_sibling)
    backward = Bare(judge) if config.bare else judge
    choose = wrong if config.use_bad_samples else any_example
    predictors = every if config.full_update else coin_flips
    if not config.include_final:
        predictors = without("final", of=predictors)
    if config.opt_keys:
        predictors = only(*predictor_names(config.opt_keys, program))
    return replace(
        presets.published(),
        backward=backward if config.include_grad else silent,
        collect=bounded() if config.include_grad else drop,
        choose_examples=choose(config.errors_per_gradient, sweeps=config.gradients_per_error),
        choose_predictors=predictors,
        propose=Proposer(via_analysis=config.opt_via_feedback, short=config.short_prompt),
        search=Gated(accept_always if config.no_select else strictly_better, commit=None),
    )


@dataclass(frozen=True)
class Bare:
    """The published backward call without siblings: an output, the reader's answer, what was wanted, and nothing else.

    Args:
        judge: Asks.
    """

    judge: Semantic

    async def __call__(self, reading: Reading[TextGradient], /) -> list[Message[Direction]]:
        """Ask without the reader's task and its inputs; nothing is said of an instruction that is not shown."""
        reader = replace(reading.reader, instruction="(not shown)", inputs={}, demos=())
        sent = await self.judge(replace(reading, reader=reader))
        return [message for message in sent if message.receiver != reader.id]


def predictor_names(keys: str, program: dspy.Module) -> list[str]:
    """Predictors by their own names, or by the published ones ("Job title" is `hint_job_title`)."""
    names = [name for name, _ in program.named_predictors()]
    chosen = []
    for key in (key.strip() for key in keys.split(",")):
        plain = key.lower().replace(" ", "_")
        found = next((name for name in (key, plain, f"hint_{plain}") if name in names), None)
        if found is None:
            raise SetupError(f"--opt_keys: no predictor is named {key!r}; the program has {', '.join(names)}")
        chosen.append(found)
    return chosen


def one(job: Job, gradient_lm: dspy.LM, config: Config) -> dict[str, Any]:
    """Optimise one job and evaluate it on the held-out examples, before and after.

    Returns:
        The job's part of the record.
    """
    program = job.build()
    subscribers: list[Subscriber] = [ProgressBar()]
    if config.use_wandb:
        subscribers.append(wandb_tracker(name=job.name, config=asdict(config), reinit=True))
    # Before anything is paid for: a mistake in the flags shows here.
    optimizer = descent(job, program, gradient_lm, config, subscribers)
    before = evaluate(program, job, config, f"{job.name}: held out, before")
    better: Any = optimizer.compile(program, trainset=job.split.train)
    result = better.detailed_results
    same = result.instructions_before == result.instructions_after
    after = before if same else evaluate(better, job, config, f"{job.name}: held out, after")
    purposes = {**result.spent, "heldout": before.spent if same else before.spent + after.spent}
    return {
        "name": job.name,
        "group": job.group,
        "train": {"n": len(job.split.train), "before": result.score_before, "after": result.score_after},
        "heldout": {"before": before.scores, "after": after.scores},
        "lenient": {"before": before.lenient, "after": after.lenient},
        "missing": {"before": before.missing, "after": after.missing},
        "fingerprint": {"train": fingerprint(job.split.train), "heldout": fingerprint(job.split.held_out)},
        "steps": [{"task": job.name, **step.to_dict()} for step in result.steps],
        "ending": result.ending.value,
        "instructions": {"before": dict(result.instructions_before), "after": dict(result.instructions_after)},
        "spent": {purpose: asdict(spent) for purpose, spent in purposes.items()},
    }


def descent(
    job: Job, program: dspy.Module, gradient_lm: dspy.LM | None, config: Config, subscribers: Sequence[Subscriber]
) -> SemanticGradientDescent:
    """The optimizer as the flags have it."""
    return SemanticGradientDescent(
        job.metric,
        gradient_lm=gradient_lm,
        steps=1 if config.smoke else config.n_iters,
        method=method(config, program),
        num_threads=config.max_threads,
        seed=config.seed,
        subscribers=subscribers,
    )


class Enough(BaseException):
    """All that was to be seen of a run was seen."""


def costs(jobs: list[Job], config: Config) -> str:
    """What the run is projected to take, told before anything is asked."""
    bills = []
    for job in (shortened(job, config) for job in jobs):
        program, seen = job.build(), []

        def see(event: Event, seen: list[Projected] = seen) -> None:
            if isinstance(event, Projected):
                seen.append(event)
                raise Enough

        with contextlib.suppress(Enough), dspy.context(lm=dspy.LM("openai/nobody", api_key="none")):
            descent(job, program, None, config, [see]).compile(program, trainset=job.split.train)
        most, likely = seen[0].projection, seen[0].projection.probable
        held_out = 2 * len(job.split.held_out) * len(program.predictors())
        bills.append(Bill(job.name, (likely.calls - likely.own, likely.own, held_out), most.calls))
    return table(bills, config.base_model, config.opt_model)


@dataclass(frozen=True)
class HeldOut:
    """A program on the held-out examples.

    Args:
        scores: Of the examples that are not missing, 0 or 1 each.
        lenient: The mean score of the same answers without regard to their format, in metric points.
        missing: How many examples the provider left unanswered.
        spent: What that cost.
    """

    scores: list[float]
    lenient: float
    missing: int
    spent: Spent


def evaluate(program: dspy.Module, job: Job, config: Config, title: str) -> HeldOut:
    """Run a program on the held-out examples: a compile of no steps, so that every request is accounted for."""
    count = len(job.split.held_out)
    if not count:
        return HeldOut([], average([]), 0, Spent())
    lenient: dict[Any, float] = {}

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        lenient[example] = job.lenient(example, prediction).score
        return job.metric(example, prediction)

    with tqdm(total=count, desc=title, leave=False) as bar:

        def show(event: Event) -> None:
            bar.update(isinstance(event, ExampleDone))

        optimizer = SemanticGradientDescent(
            metric, steps=0, method=presets.published(), num_threads=config.max_threads, subscribers=[show]
        )
        same: Any = optimizer.compile(program, trainset=job.split.held_out)
    found = same.detailed_results
    scores: dict[int, float] = found.candidates[0].scores
    # An execution in which the program failed has no answer, and scores 0 either way.
    regraded = [lenient.get(job.split.held_out[number], 0.0) for number in scores]
    return HeldOut([scores[number] for number in sorted(scores)], average(regraded), count - len(scores), found.total)
