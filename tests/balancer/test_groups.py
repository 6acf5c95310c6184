"""Models that only some replicas hold: the balancer asks the group that the shipped map names."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.balancer.conftest import Replica, recording
from tests.balancing import GROUPS, SHIPPED, Balancer, balancing, request_for

OF_THE_GROUP = (
    "/v1/models/large-churn/predict",
    "/v1/models/large-churn/predict/batch",
    "/v1/models/large-churn/predict?explain=true",
    "/v1/models/large-churn",
    "/v1/models/large-churn/versions/3/predict",
    "/v1/models/%6carge-churn/predict",
    "/v2/models/large-churn/infer",
    "/v2/models/large-churn/versions/3/ready",
)
OF_ALL_OTHERS = (
    "/v1/models/iris/predict",
    "/v1/models/xlarge-churn/predict",
    "/v1/models/large/predict",
    "/v1/models",
    "/v1/predict",
    "/v1/predict?model=large-churn",
    "/v1/predictions/large-churn",
    "/v2/models/iris/infer",
    "/v2/health/ready",
    "/large-churn",
    "/docs/large-churn",
)


@pytest.fixture(scope="module")
def replicas() -> Iterator[tuple[Replica, Replica]]:
    with recording() as usual, recording() as large:
        yield usual, large


@pytest.fixture(scope="module")
def front(
    replicas: tuple[Replica, Replica], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    usual, large = replicas
    folder = tmp_path_factory.mktemp("groups")
    with balancing(folder, usual.port, group=large.port) as balancer:
        yield balancer


@pytest.mark.parametrize("path", OF_THE_GROUP)
def test_a_model_of_a_group_is_asked_there(
    front: Balancer, replicas: tuple[Replica, Replica], path: str
) -> None:
    usual, large = (len(each.arrived) for each in replicas)
    front.ask(request_for(path, method="POST", body="{}"))
    assert [len(each.arrived) for each in replicas] == [usual, large + 1]


@pytest.mark.parametrize("path", OF_ALL_OTHERS)
def test_all_else_is_asked_of_the_usual_replicas(
    front: Balancer, replicas: tuple[Replica, Replica], path: str
) -> None:
    large = len(replicas[1].arrived)
    front.ask(request_for(path))
    assert len(replicas[1].arrived) == large


def test_a_replica_of_a_group_fetches_what_the_map_sends_there() -> None:
    text = SHIPPED.with_name("groups.map").read_text(encoding="utf-8")
    named = text.split("API_MODELS_NAMED=")[1].split()[0]
    assert fnmatchcase("large-churn", named) and not fnmatchcase("iris", named)
    backends = {line.split()[1] for line in GROUPS.read_text().splitlines() if "backend" in line}
    groups = {line.split()[1] for line in text.splitlines() if not line.startswith("#")}
    assert groups <= backends


def test_without_groups_nothing_is_sent_elsewhere(replica: Replica, tmp_path: Path) -> None:
    with balancing(tmp_path, replica.port) as alone:
        alone.ask(request_for(OF_THE_GROUP[0], method="POST", body="{}"))
    assert any(OF_THE_GROUP[0] in text for text in replica.texts)
