"""On a cluster of the user's, Dask's or Ray's, a run comes to what it comes to here, and keys stay here."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dspy_semantic_backprop import SetupError, TooManyFailures
from tests.optimizer.test_resume import outcome, slowly_careful
from tests.optimizer.test_where import compiled
from tests.scripted import careful, served


@pytest.fixture(scope="module")
def in_threads() -> Any:
    with served(slowly_careful):
        return compiled(None)


class Watched:
    """A client of Dask's that remembers what left the process."""

    def __init__(self, client: Any):
        self.__dict__.update(client=client, sent=[])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def submit(self, function: Any, errand: bytes, **how: Any) -> Any:
        self.sent.append(errand)
        return self.client.submit(function, errand, **how)


Watched.__module__ = "distributed.client"


@pytest.fixture(scope="module")
def client() -> Any:
    distributed = pytest.importorskip("distributed", reason="NOT TESTED: Dask is an extra that is not installed")
    # Its workers are threads of this process: what is sent to them is packed as for any other.
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None)
    with cluster, distributed.Client(cluster) as found:
        yield Watched(found)


KEY = "sk-7a91c0d2e4f85b36"


def test_dask_comes_to_what_threads_come_to_and_is_never_sent_a_key(in_threads, client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(slowly_careful, api_key=KEY) as server:
        result = compiled(client)
        assert len(server.log) == result.total.calls == in_threads.total.calls
    assert outcome(result)["steps"] == outcome(in_threads)["steps"]
    assert result.warnings == in_threads.warnings
    assert client.sent and not any(KEY.encode() in one for one in client.sent)


def test_a_cluster_without_workers_is_waited_for_aloud(in_threads, caplog):
    distributed = pytest.importorskip("distributed", reason="NOT TESTED: Dask is an extra that is not installed")
    cluster = distributed.LocalCluster(n_workers=0, threads_per_worker=2, processes=False, dashboard_address=None)
    with cluster, distributed.Client(cluster) as empty, served(slowly_careful):
        later = threading.Timer(4.5, cluster.scale, (1,))
        later.start()
        result = compiled(empty)
        later.join()
    assert outcome(result)["steps"] == outcome(in_threads)["steps"]
    assert "the Dask cluster has no worker: one is waited for" in caplog.text


class Lost(Watched):
    """A client whose scheduler is gone once it has been given a few."""

    def submit(self, function: Any, errand: bytes, **how: Any) -> Any:
        if len(self.sent) > 3:
            self.__dict__["status"] = "closed"
            raise ConnectionError("the scheduler is gone")
        return super().submit(function, errand, **how)


Lost.__module__ = "distributed.client"


def test_a_cluster_that_is_gone_ends_the_run_which_goes_on_elsewhere(in_threads, client, tmp_path):
    with served(slowly_careful) as server:
        with pytest.raises(TooManyFailures, match="the cluster is gone"):
            compiled(Lost(client.client), tmp_path)
        assert 0 < len(server.log) < in_threads.total.calls
        result = compiled(None, tmp_path)
        assert len(server.log) == result.total.calls
        closed = Watched(client.client)
        closed.__dict__["status"] = "closed"
        with pytest.raises(SetupError, match="that is connected"):
            compiled(closed)
    assert outcome(result)["steps"] == outcome(in_threads)["steps"]


@pytest.mark.parametrize("lm", [{"api_key": KEY}, {"extra_headers": {"X-Team-Token": KEY}}])
def test_a_key_that_a_cluster_would_have_to_be_sent_is_refused_before_anything_is_spent(lm, client):
    with served(careful, **lm) as server:
        with pytest.raises(SetupError, match="would have to be sent") as refused:
            compiled(client)
        assert not server.log and KEY not in str(refused.value)


def test_ray_comes_to_what_threads_come_to(in_threads):
    ray = pytest.importorskip("ray", reason="NOT TESTED: Ray is an extra that is not installed")
    with served(slowly_careful), pytest.raises(SetupError, match=r"ray\.init"):
        compiled("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with served(slowly_careful):
            result = compiled("ray")
    finally:
        ray.shutdown()
    assert result.total.calls == in_threads.total.calls
    assert outcome(result)["steps"] == outcome(in_threads)["steps"]
    assert result.warnings == in_threads.warnings
