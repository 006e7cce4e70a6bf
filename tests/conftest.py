"""What every test gets: prices from the client's own table, no answers from an earlier run's cache, the same
faults, no clock."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
# The matrices are small, and every worker has a core: threads that wait for each other took a third of the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import dspy
import pytest
from dspy.adapters import utils
from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter

from tests.scripted import number_from_the_start

# How long an example takes says more of what else the machine does than of the code. The same examples are tried each
# time, so that a failure is owed to the change; HYPOTHESIS_PROFILE=random looks for new ones, and for more of them.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", untimed, derandomize=True, max_examples=30)
settings.register_profile("random", untimed)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# A model that DSPy's table does not know is looked for in all its entries, twice a request: half of a request's time.
if importlib.util.find_spec("dspy.clients.costs"):  # DSPy before 3.4 has neither the table nor a client of its own
    from dspy._vendor.lm15.transports import _proxy
    from dspy.clients import capabilities, costs

    capabilities.model_info = costs.model_info = functools.cache(costs.model_info)
    # The whole environment is read at each request, for a proxy that no test sets: a tenth of a request's time.
    _proxy.getproxies = functools.cache(_proxy.getproxies)


def adapted(kind: Any) -> TypeAdapter[Any]:
    """Pydantic's adapter of a type; that of a class is made once."""
    return adapted_class(kind) if isinstance(kind, type) else TypeAdapter(kind)


# For each value in a prompt DSPy makes an adapter of its class: a tenth of a request's time.
adapted_class = functools.cache(TypeAdapter)
utils.TypeAdapter = adapted


LONGEST = ("test_notebook.py", "test_soak.py", "test_corpus.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # First: what begins last is waited for by all other workers.
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    # What was imported lasts: to look through it for cycles again and again was an eighth of the tests' time.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def pytest_sessionfinish() -> None:
    # Pytest looks for cycles five times over at the end; what is left then goes with the process.
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_dspy():
    number_from_the_start()
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    dspy.configure(lm=None, callbacks=[], adapter=None)
    yield
    dspy.configure(lm=None, callbacks=[], adapter=None)
