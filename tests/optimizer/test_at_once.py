"""Many runs at once in one process."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy

from dspy_semantic_backprop import SemanticGradientDescent
from tests.scripted import careful, questions, right, served


def test_sixteen_runs_at_once_are_as_one_alone_and_leave_nothing_replaced():
    before = sys.stdout, dspy.BaseLM.__call__, dspy.LM.acall, dspy.Module.__call__
    with served(careful) as server, ThreadPoolExecutor(16) as pool:
        lm = dspy.settings.lm

        def run(number: int) -> Any:
            with dspy.context(lm=lm):
                optimizer = SemanticGradientDescent(right, steps=1, num_threads=1, probe="never", subscribers=())
                return optimizer.compile(dspy.Predict("question -> answer"), trainset=questions(1)).detailed_results

        results = list(pool.map(run, range(16)))
    assert len({(one.total.calls, one.score_before, str(one.instructions_after)) for one in results}) == 1
    assert sum(one.total.calls for one in results) == server.requests
    assert before == (sys.stdout, dspy.BaseLM.__call__, dspy.LM.acall, dspy.Module.__call__)
