"""How the nodes of a cluster are divided among judges."""

from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

from gdwatch.cluster.pool import Share, shares


def node(name: str = "a", *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("resources", "own_cpus", "expected"),
    [
        ({"CPU": 1.0}, None, [(1, 0)]),
        ({"CPU": 8.0}, None, [(8, 0)]),
        ({"CPU": 16.0}, None, [(8, 0)] * 2),
        ({"CPU": 20.0}, None, [(6, 0)] * 3),
        ({"CPU": 16.0, "GPU": 1.0}, None, [(16, 1)]),
        ({"CPU": 16.0, "GPU": 4.0}, None, [(4, 1)] * 4),
        ({"CPU": 16.0}, 4, [(4, 0)] * 4),
        ({"CPU": 2.0}, 4, [(2, 0)]),
        ({"CPU": 16.0, "GPU": 1.0}, 4, [(4, 1)]),
        ({}, None, []),
    ],
)
def test_a_node_is_divided(resources: dict, own_cpus: int | None, expected: list) -> None:
    found = shares([node(**resources)], own_cpus)
    assert found == [Share("a", cpus, gpus) for cpus, gpus in expected]


def test_a_node_that_is_gone_has_no_judge() -> None:
    assert shares([node("a", alive=False, CPU=4.0), node("b", CPU=4.0)], None) == [Share("b", 4, 0)]
