"""What DSPy's own modules write into an instruction behind the task: their tools, and the format they read.

A ReAct predictor whose instruction lost its tools calls none, and an RLM that is not told of `SUBMIT` never ends. A
second module made from the same task shows where the task ends and DSPy's text begins; where an instruction does not
end as that one's does, somebody has rewritten it, and nobody can tell what of it is needed.

Not here: predictors whose instruction says nothing that their fields do not say too, such as ReAct's `extract`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy

from .._evaluate.candidate import canonical

_A_LINE = 20
"""Shorter lines, in characters, may stand in a task and in a list of tools alike."""


@dataclass(frozen=True)
class Parameters:
    """Which parts of a program's instructions may be rewritten, and how what may not is put back.

    What an instruction must keep is never shown to proposals as theirs to change.

    Args:
        protected: Predictor's name -> the end of its instruction that must survive; only where there is one.
    """

    protected: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, program: dspy.Module) -> Parameters:
        """Find the protected text of a program's predictors."""
        names = {id(predictor): name for name, predictor in program.named_predictors()}
        protected: dict[str, str] = {}
        for predictor, written in protected_texts(program):
            name = names.get(id(predictor))
            now = canonical(predictor.signature.instructions)
            end = canonical(written)
            if name is not None and now:
                task = now.removesuffix(end).rstrip() if end and now.endswith(end) else ""
                protected[name] = now.removeprefix(task)
        return cls(protected)

    def free(self, predictor: str, instruction: str) -> str:
        """The part of an instruction that may be rewritten."""
        end = self.protected.get(predictor, "")
        return instruction.removesuffix(end).removesuffix(end.lstrip()).rstrip()

    def whole(self, predictor: str, text: str) -> str:
        """A rewritten part as the instruction it becomes, protected text put back, as DSPy will store it.

        What of the protected text the rewritten part repeats is left out: a model that was not asked for the tools
        often copies them, and of two lists nobody knows which one counts.
        """
        end = self.protected.get(predictor)
        if not end:
            return canonical(text)
        text = canonical(_without_copies(canonical(text), end))
        glue = "" if end[:1].isspace() or not text else "\n"
        return canonical(f"{text}{glue}{end}")


def _without_copies(text: str, end: str) -> str:
    """A text without what stands in protected text too: all of it, or lines of it."""
    copy = r"\s+".join(map(re.escape, end.split()))
    text = re.sub(rf"\s*{copy}\s*", "\n", text)
    said = {line.strip() for line in end.splitlines() if len(line.strip()) >= _A_LINE}
    return "\n".join(line for line in text.splitlines() if line.strip() not in said)


def protected_texts(program: dspy.Module) -> Iterator[tuple[Any, str]]:
    """Each predictor in whose instruction DSPy wrote, and the text that it wrote: "" if that cannot be told."""
    module: Any
    for _, module in program.named_sub_modules(dspy.Module):
        for kind, predictor_of, twin_of in _WRITERS:
            if isinstance(module, kind):
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


# A CodeAct is a ReAct and a ProgramOfThought.
_WRITERS: tuple[tuple[Any, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (dspy.CodeAct, _attribute("codeact"), _code_act),
    (dspy.ReAct, _attribute("react"), _react),
    (dspy.ReActV2, _attribute("react"), _react_v2),
    (dspy.RLM, _attribute("generate_action"), _rlm),
    (dspy.ProgramOfThought, _attribute("code_generate", "predict"), _program_of_thought),
)
