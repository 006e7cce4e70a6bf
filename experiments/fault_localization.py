"""How good is the blame? Break one predictor of a program that works, and ask who is at fault.

    python experiments/fault_localization.py            # simulated, all shapes, three levels of noise
    python experiments/fault_localization.py --smoke    # two shapes, a few faults
    python experiments/fault_localization.py --base_model openai/local --api_base http://127.0.0.1:8799/v1

Eleven shapes of program count stock: every predictor is told which counts to state, from which of its inputs
(`faults/shapes.py`). One predictor's instruction is broken: its rule deleted, a wrong number asked for, its
neighbour's instruction given to it, or a number that contradicts what others say. The broken program runs on
examples; every method is shown the same failed executions.

What the simulated reader can see, and why the comparison is fair (`faults/reader.py`, `faults/model.py`):

- It answers backward questions from their text alone: the outputs, what else the step was given, the step's
  instruction and result, and the wanted change. It knows no program, no fault and no label. Predecessors'
  instructions are in no backward question; of the step's own it uses only which input fields it names, never
  the words that broke it.
- It reasons by arithmetic on what is stated, and accuses what contradicts the given counts or the wanted
  result, alone or together with its neighbours. What it asks for is what follows, so that the next question
  has a concrete wish.
- The same reader answers the semantic, the isolated and the shuffled method. Shown one output of several and
  finding it true, it lets that pass and calls the step's instruction a minor cause: it may be one.
- The judge makes the same judgements on the whole trace, each with the whole group in view, before its noise
  flips one judgement for each call; it scores every predictor by the share of its calls that it then holds to be at
  fault. `judge` is asked once, `judges` as often as the tokens of the semantic sweep pay.
- At noise q each judgement, of an output or of the step's own instruction, flips with probability q: a wrong
  one passes as "no change needed", a right one is asked for other numbers.
- All methods see the same failures; the judge's scores and the shares of the blame are averaged over them.
  `unpooled` takes each failure's blame by itself; `judges_pooled` pools the judge's scores as `semantic` pools its own.
  `last` accuses the predictor whose output is returned; `uniform` and ties count by their chance.

A world in which counts can be checked by arithmetic is kinder than text; the noise stands for what is lost.

With a real model, programs in plain words are broken (`faults/words.py`). Each fault is a line beside the record, and a
known one is not run again: several sessions together reach `--faults`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from faults.real import result_of, studied, unbroken
from faults.report import Result, compared, plot, rows, table
from faults.shapes import SHAPES
from faults.study import Settings, simulated
from faults.words import TASKS
from records import append, origin
from tqdm.auto import tqdm

SMOKE = ("pair (BBH, GSM8K)", "router")
HEAVIEST_FIRST = ("map-reduce, 28 calls", "layers 3x3", "tree of 9", "five hints (LIAR)")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("fault_localization", description="How good is the blame?", allow_abbrev=False)
    parser.add_argument("--base_model", help="any LiteLLM string; none: simulated models")
    parser.add_argument("--opt_model", help="the model that reads; none: the program's")
    parser.add_argument("--api_base", help="the address of an OpenAI-compatible server")
    parser.add_argument("--faults", type=int, help="faults of each shape (30); with a real model of all (40)")
    parser.add_argument(
        "--failures",
        type=int,
        help="failed executions that a fault is judged by (15, of large programs fewer; real: 1)",
    )
    parser.add_argument("--minutes", type=float, help="no fault is begun after so many minutes; real models only")
    parser.add_argument("--at_once", type=int, default=1, help="faults at the same time; real models only")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1, 0.3], help="simulated models only")
    parser.add_argument("--shapes", nargs="+", help="names of shapes; none: all")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="simulated models only")
    parser.add_argument("--max_tokens", type=int, default=400, help="the most tokens of one answer; real models only")
    parser.add_argument("--seed", type=int, default=0, help="of the faults, the examples and the flips")
    parser.add_argument("--results_dir", default="./results", help="where the record is written")
    parser.add_argument("--smoke", action="store_true", help="two shapes and a few faults, under a minute")
    return parser.parse_args(argv)


def main() -> None:
    """Break programs, ask every method, print a table, draw, and write the record."""
    config = parse()
    started = time.monotonic()
    known = list(TASKS if config.base_model else SHAPES)
    wanted = config.shapes or list(SMOKE if config.smoke and not config.base_model else known)
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"error: --shapes: no shape is named {unknown[0]!r}; there are {', '.join(known)}")
    path = place(config)
    record = real(config, wanted, path) if config.base_model else across(config, wanted)
    record["seconds"] = round(time.monotonic() - started, 1)
    show(record)
    print(save(config, record, path))


def place(config: argparse.Namespace) -> Path:
    """Where the record is written."""
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"fault_localization-{'real' if config.base_model else 'simulated'}-seed{config.seed}.json"


def across(config: argparse.Namespace, wanted: Sequence[str]) -> dict[str, Any]:
    """The record of the simulated study, shapes in processes of their own."""
    settings = Settings(
        faults=config.faults or (4 if config.smoke else 30),
        failures=config.failures or (3 if config.smoke else 15),
        noises=tuple(config.noise),
        seed=config.seed,
    )
    order = sorted(wanted, key=lambda name: HEAVIEST_FIRST.index(name) if name in HEAVIEST_FIRST else 99)
    if config.processes < 2 or config.smoke:
        found = {name: simulated(name, settings) for name in order}
    else:
        with ProcessPoolExecutor(config.processes) as pool:
            running = {pool.submit(simulated, name, settings): name for name in order}
            ended = tqdm(as_completed(running), total=len(order), unit="shape")
            found = {running[done]: done.result() for done in ended}
    results = [result for name in wanted for result in found[name][0]]
    sound = {"right": sum(one.right for one in results), "of": sum(one.checked for one in results)}
    harmless = {name: found[name][1] for name in wanted}
    return {**recorded(config, results, sound, harmless), "faults": [result.to_dict() for result in results]}


def real(config: argparse.Namespace, wanted: Sequence[str], path: Path) -> dict[str, Any]:
    """The record of the study with a real model: of all lines that there are, old and new."""
    lines = path.with_suffix(".jsonl")
    if path.exists() and not lines.exists():
        append(lines, json.loads(path.read_text(encoding="utf-8"))["faults"])
    faults = studied(config, wanted, lines)
    results = [result_of(line) for line in faults if line["hits"]]
    if not results:
        sys.exit("error: no fault made an answer wrong; there is nothing to judge")
    by_shape = unbroken(faults)
    sound = {name: sum(one[name] for one in by_shape.values()) for name in ("right", "of")}
    harmless = {name: sum(line["shape"] == name and not line["hits"] for line in faults) for name in by_shape}
    record = recorded(config, results, {**sound, "by_shape": by_shape}, harmless)
    return {**record, "commits": sorted({line["commit"] for line in faults}), "faults": faults}


def recorded(
    config: argparse.Namespace, results: Sequence[Result], sound: dict[str, Any], harmless: dict[str, int]
) -> dict[str, Any]:
    """The JSON record but for its faults."""
    shapes = list(dict.fromkeys(result.shape for result in results))
    joint = [result for result in results if result.joint]
    noises = sorted({noise for _, noise in results[0].hits})
    return {
        "study": "fault_localization",
        **origin(),
        "settings": vars(config),
        "seed": config.seed,
        "simulated": not config.base_model,
        "rows": [row for shape in shapes for row in rows([one for one in results if one.shape == shape])],
        "overall": rows(results, "all shapes"),
        "joint": rows(joint, "visible jointly only") if joint else [],
        "alone": rows([one for one in results if not one.joint], "visible alone") if len(joint) < len(results) else [],
        "tests": [
            compared(some, "semantic", other, noise)
            for some in (results, joint)
            for other in ("unpooled", "isolated", "judge", "judges", "judges_pooled")
            for noise in noises
            if some and (other, noise) in some[0].hits
        ],
        "unbroken": sound,
        "harmless_faults_left_out": harmless,
    }


def show(record: dict[str, Any]) -> None:
    """Print the table and the tests."""
    note = "simulated model" if record["simulated"] else record["settings"]["base_model"]
    sound = record["unbroken"]
    print(f"{note}, seed {record['seed']}; the unbroken programs were right on {sound['right']} of {sound['of']} runs")
    print(table([*record["rows"], *record["overall"], *record["joint"], *record["alone"]]))
    for row in record["overall"]:
        if row["calls"]:
            low, high = row["top1_interval"]
            print(
                f"  {row['method']:13} noise {row['noise']:g}: top-1 {row['top1']:.3f} [{low:.3f}, {high:.3f}], "
                f"top-2 {row['top2']:.3f}, {row['calls']:g} calls and {row['tokens']} tokens a fault, n={row['n']}"
            )
    for test in record["tests"]:
        first, second = test["methods"]
        print(
            f"  n={test['n']}, noise {test['noise']:g}: {first} better on {test['only_first']}, "
            f"{second} on {test['only_second']}, p = {test['p']:.2g}"
        )


def save(config: argparse.Namespace, record: dict[str, Any], path: Path) -> Path:
    """Write the plot and the record; returns the record's path."""
    title = f"Whose instruction was broken? ({'simulated model' if record['simulated'] else config.base_model})"
    plot([*record["rows"], *record["overall"], *record["joint"]], path.with_suffix(".png"), title)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
