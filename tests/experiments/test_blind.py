"""The blind author's worlds: the start leaves room, each rule is known by its own words only, a run is a row."""

from __future__ import annotations

import pytest
from blind.announce import Announce
from blind.archive import Archive
from blind.claims import Claims
from blind.world import truth

from tests.experiments.script import run

WORLDS = {world.name: world() for world in (Claims, Archive, Announce)}


@pytest.mark.parametrize(("name", "start", "best"), [("claims", 24, 86), ("archive", 16, 77), ("announce", 35, 93)])
def test_a_world_has_room_between_its_start_and_every_rule_in_place(name, start, best):
    world = WORLDS[name]
    assert round(100 * truth(world, world.start)) == start
    assert round(100 * truth(world, world.perfect())) == best


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_a_statement_of_a_rule_is_none_of_another(world):
    for rules in world.rules.values():
        for rule in rules:
            for state, texts in {"full": rule.full, "narrow": rule.narrow[:1], "broad": rule.broad[:1]}.items():
                known = [{one.name: one.state(text) for one in rules if one.state(text)} for text in texts]
                assert known == [{rule.name: state}] * len(texts)


@pytest.mark.parametrize("world", WORLDS)
def test_a_run_keeps_to_its_requests_and_is_the_same_when_made_again(world, tmp_path):
    few = ("--seeds", "1", "--caps", "40", "--worlds", world, "--optimizers", "semantic", "gepa")
    first, again = (run("blind", *few, folder=tmp_path / folder).record() for folder in ("one", "two"))
    runs = [[dict(zip(one["columns"], row, strict=True)) | {"cpu": 0} for row in one["rows"]] for one in (first, again)]
    assert runs[0] == runs[1] and len(runs[0]) == 2
    assert all(one["calls"] <= 40 for one in runs[0])


def test_a_run_that_is_there_is_not_made_again(tmp_path):
    few = ("--seeds", "1", "--caps", "120", "--worlds", "claims", "--optimizers", "simba")
    first, again = (run("blind", *few, folder=tmp_path).record() for _ in range(2))
    assert first["rows"] == again["rows"] and len(first["rows"]) == 1
    assert len((tmp_path / "blind.jsonl").read_text(encoding="utf-8").splitlines()) == 1
