"""A real Ray cluster of two nodes on this machine, and a real S3 server."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; `nodes` are those that can be killed, the head is not."""
    ray = pytest.importorskip("ray", reason="needs the extra `ray`")
    from ray.cluster_utils import Cluster

    bounds = {"num_cpus": 1, "object_store_memory": 100 << 20}  # they share a machine
    made = Cluster(initialize_head=True, head_node_args={**bounds, "include_dashboard": False})
    try:
        made.nodes = [made.add_node(**bounds)]
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Storage like S3, with one bucket `photographs`, and fsspec configured for it."""
    pytest.importorskip("ray", reason="needs the extra `ray`")
    server_module = pytest.importorskip("moto.server", reason="needs moto")
    import fsspec

    server = server_module.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {"endpoint_url": f"http://{host}:{port}", "key": "a", "secret": "b"}
    monkeypatch.setitem(fsspec.config.conf, "s3", given)
    files = fsspec.filesystem("s3")
    files.mkdir("photographs")
    yield files
    server.stop()
