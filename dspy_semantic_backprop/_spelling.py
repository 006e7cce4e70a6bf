"""What was meant by a name that is none: another spelling, or what another optimizer of DSPy calls it."""

from __future__ import annotations

import difflib
import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from ._errors import SetupError

F = TypeVar("F", bound=Callable[..., Any])

_METHOD = "method=replace(presets.semantic(), {})"
_ELSEWHERE = {
    "gradient_lm=...": "reflection_lm prompt_model meta_prompt_lm optimizer_lm backward_engine teacher_lm eval_lm",
    "steps=...": "max_steps num_steps num_trials n_trials trials depth max_full_evals max_rounds max_iterations "
    "num_iterations iterations n_iters epochs num_epochs rounds",
    "num_threads=...": "max_workers threads num_workers max_threads n_jobs async_max_workers",
    "budget=Budget(metric_calls=...)": "max_metric_calls metric_calls max_evals",
    "budget=Budget(calls=...)": "max_calls max_lm_calls max_requests calls",
    "budget=Budget(usd=...)": "max_cost max_usd usd max_reflection_cost cost_limit",
    "budget=Budget(tokens=...)": "max_total_tokens tokens token_budget",
    "limits=Limits(missing=...)": "max_errors",
    "limits=Limits(example=...)": "timeout timeout_s max_time",
    _METHOD.format("choose_examples=wrong(...)"): "bsize minibatch minibatch_size reflection_minibatch_size batch_size "
    "minibatch_full_eval_steps perfect_score skip_perfect_score",
    _METHOD.format("search=Pooled(proposals=...)"): "breadth num_candidates num_candidate_programs",
    _METHOD.format("search=Gated(choose_parent=...)"): "candidate_selection_strategy",
    _METHOD.format("choose_predictors=..."): "component_selector module_selector",
    _METHOD.format("propose=..."): "instruction_proposer custom_instruction_proposer",
    "subscribers=[wandb_tracker(...)]": "use_wandb wandb_api_key wandb_init_kwargs",
    "subscribers=[mlflow_tracker()]": "use_mlflow",
    "subscribers=...": "verbose callbacks display_progress display_table progress_bar",
    "gradient_cache=...": "cache cache_dir",
    "log_dir=...": "run_dir checkpoint_dir save_dir",
    "trainset=... of compile": "dataset train_data trainset",
    "valset=... of compile": "devset val_data validation_set valset",
}
"""What takes the place of an argument of another optimizer -> the names that it has there."""
_NOT_HERE = {
    "the program keeps its own language models: dspy.configure(lm=...) or program.set_lm(...)": "task_model lm model",
    "no teacher is used, and demonstrations stay as they are": "teacher teacher_settings max_bootstrapped_demos "
    "max_labeled_demos max_demos fewshot_aware_proposer metric_threshold demo_input_field_maxlen",
    "set the temperature of the model itself, gradient_lm=dspy.LM(..., temperature=...)": "init_temperature "
    "temperature temperature_for_sampling temperature_for_candidates",
    "it is always kept, in program.detailed_results": "track_stats track_best_outputs",
    "no permission is asked; preflight says what a run is expected to cost": "requires_permission_to_run",
    "there is nothing of that kind": "use_merge max_merge_invocations gepa_kwargs code_proposer eval_kwargs "
    "add_format_failure_as_feedback warn_on_score_mismatch program_aware_proposer data_aware_proposer "
    "tip_aware_proposer view_data_batch_size provide_traceback",
}
"""Why an argument of another optimizer has no counterpart -> its names."""


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: said for said, names in table.items() for name in names.split()}


_COUNTERPARTS, _WITHOUT = _by_name(_ELSEWHERE), _by_name(_NOT_HERE)


class UnknownName(SetupError, TypeError):
    """An argument is given by a name that is none."""


def close(name: str, known: Iterable[str], all_are: str = "it has") -> str:
    """A question after the known name that is spelled most like another one; the known names where none is."""
    names = list(known)
    found = difflib.get_close_matches(name.lower(), names, 1, 0.7)
    return f"did you mean {found[0]}?" if found else f"{all_are} {', '.join(names)}"


def own_names(module: types.ModuleType) -> list[str]:
    """The public functions that a module defines itself."""
    found = (name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__)
    return [name for name in found if not name.startswith("_")]


class NamingModule(types.ModuleType):
    """A module that names what was meant by a name that it does not have."""

    def __getattr__(self, name: str) -> Any:
        title = self.__name__.rpartition(".")[2]
        raise AttributeError(f"{title} has no {name!r}; {close(name, own_names(self))}")


def spelled(beside: Iterable[str] = (), by: str = "") -> Callable[[F], F]:
    """Let a function name what was meant where it is given an argument by a name that it does not have.

    Arguments `beside` those are given elsewhere, to `by`.
    """

    def decorated(function: F) -> F:
        known = [name for name in inspect.signature(function).parameters if name != "self"]
        elsewhere = {name: f"did you mean {by}(..., {name}=...)?" for name in beside}

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for name in kwargs:
                if name not in known:
                    title = function.__qualname__.removesuffix(".__init__")
                    raise UnknownName(f"{title} takes no {name}: {elsewhere.get(name) or _meant(name, known)}")
            return function(*args, **kwargs)

        return cast(F, checked)

    return decorated


def _meant(name: str, known: Iterable[str]) -> str:
    if name in _COUNTERPARTS:
        return f"did you mean {_COUNTERPARTS[name]}?"
    return _WITHOUT.get(name) or close(name, known, "it takes")
