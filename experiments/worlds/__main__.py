"""Print what each world is like.

python -m experiments.worlds
"""

from __future__ import annotations

import argparse

import dspy

from . import KINDS, World, build, examples, language_model, metric_of


def measured(world: World, count: int) -> float:
    """The mean score of the start on so many examples, by the real program."""
    program, metric = build(world), metric_of(world)
    with dspy.context(lm=language_model(world)[0]):
        scores = [metric(one, program(**one.inputs())).score for one in examples(world, count, "shown")]
    return sum(scores) / len(scores)


def main() -> None:
    """One line for each world."""
    parser = argparse.ArgumentParser("worlds", description="What each world is like.")
    parser.add_argument("--seeds", type=int, default=20, help="worlds of each kind")
    parser.add_argument("--examples", type=int, default=20, help="examples that the start is measured on")
    config = parser.parse_args()
    print("world\tpredictors\tstart in truth (least, mean, most)\tstart measured\tbest single piece\tmean piece")
    for name in KINDS:
        worlds = [World(name, seed) for seed in range(config.seeds)]
        starts = [world.score(world.starts) for world in worlds]
        seen = [measured(world, config.examples) for world in worlds[:5]]
        gains = [single_gains(world) for world in worlds]
        mean = sum(starts) / len(starts)
        best, usual = (sum(map(kind, gains)) / len(gains) for kind in (max, lambda one: sum(one) / len(one)))
        told = f"{min(starts):.2f} {mean:.2f} {max(starts):.2f}\t{sum(seen) / len(seen):.2f}"
        print(f"{name}\t{worlds[0].kind.steps}\t{told}\t{best:+.3f}\t{usual:+.4f}")


def single_gains(world: World) -> list[float]:
    """What each piece of advice, and each skill, gains in truth in each step alone."""
    start, base = world.starts, world.score(world.starts)
    gains = []
    for step, told in enumerate(start):
        pieces = [*dict.fromkeys(world.advice), *(f"Where {word} matters" for word in world.words[step])]
        for piece in pieces:
            changed = [*start[:step], f"{told}\n{piece}", *start[step + 1 :]]
            gains.append(world.score(changed) - base)
    return gains


if __name__ == "__main__":
    main()
