"""Checks before any money is spent: each raises a `SetupError` that names the culprit and the way out."""

from __future__ import annotations

import functools
import inspect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import dspy

from . import presets
from ._errors import SetupError
from ._evaluate.outcome import brief
from ._graph.record.recorder import runner
from ._method import Method
from ._session.batch.provider import unbatchable
from ._session.batch.shipment import Batch
from ._session.budget import Budget
from ._session.held import models
from ._session.limits import Limits
from ._session.lm.usage import unheld
from ._spelling import close, own_names
from ._values.same import digest

T = TypeVar("T")


def check_program(student: Any) -> None:
    """Check that a program can be run and has something to optimise."""
    if not isinstance(student, dspy.Module):
        raise SetupError(f"student must be a dspy.Module, not {type(student).__name__}; pass your program's instance")
    if not student.predictors():
        hint = "all of its sub-modules are frozen" if list(student.named_sub_modules(dspy.Predict)) else "it has none"
        hint = "a dspy.Flex is made of code, which is not optimised here" if written_as_code(student) else hint
        raise SetupError(
            f"{type(student).__name__} has no predictors to optimise ({hint}); "
            "make predictors attributes of the program, or lists or dicts of them"
        )
    run = runner(student)
    if run is None:
        raise SetupError(f"{type(student).__name__} has no forward, aforward or __call__ and cannot be run")
    if run.__name__ != "aforward" and inspect.iscoroutinefunction(run):
        title = f"{type(student).__name__}.{run.__name__}"
        raise SetupError(f"{title} is a coroutine; DSPy awaits aforward: name it `aforward`")
    if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
        raise SetupError(f"{type(student).__name__}.{run.__name__} yields; a program must return its prediction")


def written_as_code(student: dspy.Module) -> list[str]:
    """The paths of the sub-modules whose code a language model writes: no instruction of theirs can be optimised."""
    flex: Any = dspy.Flex  # its decorator hides from type checkers that it is a class
    return [path.removeprefix("self.") for path, module in student.named_sub_modules() if isinstance(module, flex)]


def frozen(student: dspy.Module) -> list[str]:
    """The outermost sub-modules, by path, that keep their instructions: DSPy counts what was compiled as finished."""
    found: list[str] = []
    for path, module in student.named_sub_modules():
        inside = any(path.startswith((f"{outer}.", f"{outer}[")) for outer in found)
        if module is not student and getattr(module, "_compiled", False) and not inside:
            found.append(path)
    return [path.removeprefix("self.") for path in found]


def check_examples(name: str, examples: Any, student: dspy.Module) -> None:
    """Check that every example of a set, by its name in messages, can be given to the program."""
    if isinstance(examples, (str, bytes)) or not isinstance(examples, Sequence):
        raise SetupError(f"{name} must be a list of dspy.Example, not {type(examples).__name__}")
    if not examples:
        raise SetupError(f"{name} is empty; pass at least one example")
    # Whether an example fits depends on the names of its inputs alone, which are the same for thousands.
    problem_of = functools.cache(functools.partial(_problem, student))
    for position, example in enumerate(examples):
        _check_example(f"{name}[{position}]", example, type(student).__name__, problem_of)


def _check_example(where: str, example: Any, program: str, problem_of: Callable[[tuple[str, ...]], str]) -> None:
    if not isinstance(example, dspy.Example):
        raise SetupError(f"{where} is a {type(example).__name__}; make it dspy.Example(...).with_inputs(...)")
    try:
        inputs = tuple(example.inputs().keys())
    except ValueError:
        inputs = ()
    if not inputs:
        raise SetupError(f"{where} ({brief(example)}) has no inputs; call .with_inputs('name', ...) on it")
    if problem := problem_of(inputs):
        raise SetupError(
            f"{where} with the inputs {', '.join(inputs)} does not fit {program}: {problem}; "
            "name the program's inputs in .with_inputs(...)"
        )


def _problem(student: dspy.Module, inputs: tuple[str, ...]) -> str:
    """Why inputs of these names cannot be given to a program; "" where they can."""
    if isinstance(student, dspy.Predict):
        signature: Any = student.signature
        missing = [name for name, field in signature.input_fields.items() if name not in inputs and field.is_required()]
        return f"it lacks the input {missing[0]!r}" if missing else ""
    run = runner(student)
    own = () if any(run is one for one in vars(student).values()) else (student,)
    try:
        inspect.signature(run).bind(*own, **dict.fromkeys(inputs))
    except TypeError as error:
        return str(error)
    except ValueError:
        # Some callables of C have no signature.
        pass
    return ""


def apart(trainset: Any, valset: Any) -> tuple[Any, list[str]]:
    """The examples to decide on, None where they are none of their own; and in words what speaks against that."""
    if isinstance(valset, (list, tuple)) and not valset:
        # DSPy's own optimizers are given an empty one by BetterTogether where the trainset is small.
        return None, ["valset is empty: proposals are decided on the trainset, where scores flatter"]
    if valset is None or (valset is not trainset and _contents(valset) != _contents(trainset)):
        return valset, []
    said = "the valset is the trainset again: scores on what was learned from flatter; pass other examples"
    return None, [said]


def _contents(examples: Any) -> Counter[str] | None:
    if not isinstance(examples, Sequence) or not all(isinstance(one, dspy.Example) for one in examples):
        return None
    return Counter(digest([sorted(example.inputs().keys()), dict(example)]) for example in examples)


def check_models(student: dspy.Module, gradient_lm: Any) -> None:
    """Check that the program and the optimizer each have a language model."""
    default = dspy.settings.lm
    for name, value in (("gradient_lm", gradient_lm), ("dspy.settings.lm", default)):
        if value is not None and not isinstance(value, dspy.BaseLM):
            raise SetupError(f"{name} is of type {type(value).__name__}, no language model; make it dspy.LM(...)")
    bare = [name for name, predictor in student.named_predictors() if predictor.lm is None]
    if default is None and bare:
        raise SetupError(
            f"no language model is configured for predictor {bare[0]!r}; "
            "call dspy.configure(lm=dspy.LM('openai/...')) first"
        )
    if default is None and gradient_lm is None:
        raise SetupError("no language model for gradients; pass gradient_lm=dspy.LM('openai/...')")


def check_prices(student: dspy.Module, gradient_lm: Any, budget: Budget | None, metric: Any = None) -> None:
    """Check that a budget in tokens or US dollars can be held: that the most a request can cost is known."""
    if budget is None or (budget.tokens is None and budget.usd is None):
        return
    for where, lm in _models(student, gradient_lm, metric).items():
        if why := unheld(lm, budget, where):
            raise SetupError(why)


def _models(student: dspy.Module, gradient_lm: Any, metric: Any) -> dict[str, Any]:
    """Where a language model is found that a run may ask, and the model."""
    named = {"gradient_lm": gradient_lm, "dspy.settings.lm": dspy.settings.lm}
    named |= {
        f"{path}.{attribute}": value
        for path, module in student.named_sub_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, dspy.BaseLM)
    }
    named |= models({"the program": student, "the metric": metric})
    return {where: lm for where, lm in named.items() if lm is not None}


def check_batch(batch: Any, where: Any, limits: Limits) -> None:
    """Check that requests can be sent in batches beside the other settings."""
    if not isinstance(batch, (bool, Batch)):
        raise SetupError(f"batch must be True, False or a Batch(...), not {batch!r}")
    if batch and where not in (None, "threads"):
        raise SetupError("batch gathers the requests of programs that run in this process; leave where out")
    for name in ("example", "metric") if batch else ():
        if getattr(limits, name) is not None:
            raise SetupError(
                f"limits.{name} would end what waits for a batch, which takes up to a day; leave it None with batch, "
                "and bound the run with Budget(seconds=...)"
            )


def check_batchable(student: dspy.Module, gradient_lm: Any, metric: Any) -> None:
    """Check that every language model that can be found is one whose requests can be sent in batches."""
    for where, lm in _models(student, gradient_lm, metric).items():
        if why := unbatchable(lm):
            raise SetupError(f"batch cannot be used with {where}: {why}")


def check_kind(name: str, value: Any, kind: Any) -> None:
    """Check the type of an optional argument."""
    if value is not None and not isinstance(value, kind):
        wanted = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(one.__name__ for one in wanted)
        raise SetupError(f"{name} must be of type {names}, not {value!r}")


def check_method(method: Any) -> None:
    """Check that a method is one, and no preset's name or function."""
    if isinstance(method, Method):
        return
    known = own_names(presets)
    name = method if isinstance(method, str) else getattr(method, "__name__", "")
    name = name.rpartition(".")[2].removesuffix("()")
    meant = f"did you mean method=presets.{name}()?" if name in known else close(name, known, "the presets are")
    raise SetupError(f"method must be a Method, as presets.semantic() is one, not {method!r}; {meant}")


def check_subscribers(subscribers: Any) -> None:
    """Check that subscribers are a list of functions of an event."""
    if isinstance(subscribers, (str, bytes)) or not isinstance(subscribers, Sequence):
        raise SetupError(f"subscribers must be a list of functions of an event, not {subscribers!r}; put it into [...]")
    for one in subscribers:
        if not callable(one) or isinstance(one, type) or inspect.iscoroutinefunction(one):
            raise SetupError(f"subscribers[{subscribers.index(one)}] must be a function of an event, not {one!r}")


def check_number(name: str, value: Any, least: float, whole: bool = True) -> None:
    """Check a numeric argument."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
        kind = "a whole number" if whole else "a number"
        above = f" of at least {least}" if math.isfinite(least) else ""
        raise SetupError(f"{name} must be {kind}{above}, not {value!r}")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check an argument that names one of several ways."""
    if value not in choices:
        raise SetupError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")


def check_list(name: str, values: Any) -> Sequence[Any]:
    """Check an argument that is a list of different values, at least one; it is given back."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
        raise SetupError(f"{name} must be a list with at least one value, not {values!r}")
    if len({repr(value) for value in values}) < len(values):
        raise SetupError(f"{name} must be different values, not {values!r}")
    return values


def opened(name: str, kind: Callable[[Any], T], path: Any) -> T:
    """Open what an argument, by its name in messages, says with `kind`."""
    try:
        return kind(path)
    except (OSError, TypeError, ValueError) as error:
        raise SetupError(f"{name}={path!r} cannot be used: {error}") from error
