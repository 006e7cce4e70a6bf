"""What DSPy's own modules write into an instruction behind the task: their tools, and the format they read.

A ReAct predictor whose instruction lost its tools calls none, and an RLM that is not told of `SUBMIT` never ends. A
second module made from the same task shows where the task ends and DSPy's text begins; where an instruction does not
end as that one's does, somebody has rewritten it, and nobody can tell what of it is needed.

Not here: predictors whose instruction says nothing that their fields do not say too, such as ReAct's `extract`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dspy


def protected_texts(program: dspy.Module) -> Iterator[tuple[Any, str]]:
    """Each predictor in whose instruction DSPy wrote, and the text that it wrote: "" if that cannot be told."""
    module: Any
    for _, module in program.named_sub_modules(dspy.Module):
        for kind, predictor_of, twin_of in _WRITERS:
            if kind is not None and isinstance(module, kind):
                predictor = predictor_of(module)
                if predictor is not None:
                    yield predictor, _behind_task(module, predictor_of, twin_of)
                break


def _behind_task(module: Any, predictor_of: Callable[[Any], Any], twin_of: Callable[[Any], Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            written = predictor_of(twin_of(module)).signature.instructions
        except (AttributeError, TypeError, ValueError):
            # A subclass may lack what the second one is made from; then its whole instruction is kept.
            return ""
    if twin_of is _program_of_thought:
        # It is not told the task: what it must do may be said otherwise, how it hands over its output may not.
        task, line, _ = written.partition("SUBMIT")
        return written[max(0, task.rfind("\n")) :] if line else written
    return written.removeprefix(module.signature.instructions)


def _react(module: Any) -> Any:
    return dspy.ReAct(module.signature, [tool for name, tool in module.tools.items() if name != "finish"])


def _react_v2(module: Any) -> Any:
    return dspy.ReActV2(module.signature, [tool for name, tool in module.tools.items() if name != "submit"])


def _code_act(module: Any) -> Any:
    return dspy.CodeAct(module.signature, list(module.tools.values()))


def _rlm(module: Any) -> Any:
    return dspy.RLM(
        module.signature,
        max_llm_calls=module.max_llm_calls,
        tools=list(module._user_tools.values()),
        interpreter_factory=module._interpreter_factory,
    )


def _program_of_thought(module: Any) -> Any:
    return dspy.ProgramOfThought(module.signature)


def _attribute(*path: str) -> Callable[[Any], Any]:
    def get(module: Any) -> Any:
        for name in path:
            module = getattr(module, name, None)
        return module

    return get


# A CodeAct is a ReAct and a ProgramOfThought; a DSPy before 3.4 has no ReActV2.
_WRITERS = (
    (getattr(dspy, "CodeAct", None), _attribute("codeact"), _code_act),
    (dspy.ReAct, _attribute("react"), _react),
    (getattr(dspy, "ReActV2", None), _attribute("react"), _react_v2),
    (getattr(dspy, "RLM", None), _attribute("generate_action"), _rlm),
    (getattr(dspy, "ProgramOfThought", None), _attribute("code_generate", "predict"), _program_of_thought),
)
