"""The referee's worlds: the start leaves room, perfect instructions do not, and a run is a row of the record."""

from __future__ import annotations

import pytest
from unseen.council import COUNCIL
from unseen.desk import DESK
from unseen.ferry import FERRY
from unseen.world import instructions, truth

from tests.experiments.script import run


@pytest.mark.parametrize("world", [FERRY, COUNCIL, DESK], ids=lambda world: world.name)
def test_a_world_has_room_between_its_start_and_every_rule_in_place(world):
    assert 0.1 <= truth(world, instructions(world.build()), 100) <= 0.6
    assert 0.85 <= truth(world, world.perfect(), 100) <= 1


def test_a_run_keeps_to_its_requests_and_is_not_made_again(tmp_path):
    few = ("--seeds", "1", "--caps", "12", "--worlds", "desk", "--optimizers", "semantic")
    first, again = (run("unseen", *few, folder=tmp_path).record() for _ in range(2))
    assert first["rows"] == again["rows"] and len(first["rows"]) == 1
    assert all(dict(zip(first["columns"], row, strict=True))["calls"] <= 12 for row in first["rows"])
    assert len((tmp_path / "unseen.jsonl").read_text(encoding="utf-8").splitlines()) == 1
