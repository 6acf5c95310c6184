"""tree-survival as declared: simulated or published, the same pipeline and the same two answers."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.checkout import ROOT, Checkout, create

MAPLE = {
    "Species": "Acer saccharum", "Light_ISF": 0.106, "Soil": "Prunus serotina",
    "Sterile": "Non-Sterile", "Conspecific": "Heterospecific", "AMF": 22.0, "EMF": 0.0,
    "Phenolics": -0.56, "Lignin": 13.86, "NSC": 12.15,
}  # fmt: skip
OAK = {
    "Species": "Quercus alba", "Light_ISF": 0.106, "Soil": "Populus grandidentata",
    "Sterile": "Non-Sterile", "Conspecific": "Heterospecific", "AMF": 33.06, "EMF": 43.79,
    "Phenolics": 5.35, "Lignin": 19.53, "NSC": 22.14,
}  # fmt: skip


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a clone with the project's own declaration, in which tree-survival is exported."""
    made = create(
        tmp_path_factory.mktemp("simulated") / "clone", params=(ROOT / "params.yaml").read_text()
    )
    made.run("dvc", "repro", "export@tree-survival")
    return made


@pytest.fixture(scope="module")
def published(
    simulated: Checkout, tmp_path_factory: pytest.TempPathFactory, real_seedlings: Path
) -> Checkout:
    """Return a clone of that in which the published seedlings were adopted."""
    made = simulated.copy(tmp_path_factory.mktemp("published") / "clone")
    made.python("-m", "treeline", "adopt", "tree-survival", str(real_seedlings))
    made.run("dvc", "repro", "export@tree-survival")
    return made


@pytest.mark.parametrize("world", ["simulated", "published"])
def test_the_first_two_requests_are_answered_as_ever(
    world: str, request: pytest.FixtureRequest
) -> None:
    clone: Checkout = request.getfixturevalue(world)
    client = TestClient(create_app(Settings(model_dir=clone.root / "model")))
    answers = [client.post("/v1/predict", json=record).json() for record in (MAPLE, OAK)]
    assert [answer["Event"] for answer in answers] == [1.0, 0.0]
    assert all(answer["model"] == "tree-survival" for answer in answers)


@pytest.mark.parametrize("world", ["simulated", "published"])
def test_harvested_seedlings_are_left_out_and_no_plot_is_split(
    world: str, request: pytest.FixtureRequest
) -> None:
    clone: Checkout = request.getfixturevalue(world)
    summary = json.loads((clone.root / "dataset/tree-survival/summary.json").read_text())
    share = summary["rows"]["left_out_by_where"] / summary["rows"]["collected"]
    assert 0.2 < share < 0.3
    assert summary["groups"]["on_both_sides"] == 0


def test_the_published_table_is_read_as_it_is(published: Checkout) -> None:
    summary = json.loads((published.root / "dataset/tree-survival/summary.json").read_text())
    assert summary["rows"]["collected"] == 2783
    assert summary["rows"]["left_out_by_where"] == 704
    assert summary["rows"]["without_target"] == 1
    assert summary["target"]["counts"] == [491, 1587]


@pytest.mark.parametrize(
    ("world", "wins", "said"),
    [
        ("simulated", False, "`undecided: pass` lets it"),
        ("published", True, "the baseline itself won and ships, as declared"),
    ],
)
def test_the_species_rule_stands_in_the_table_and_beside_the_verdict(
    world: str, wins: bool, said: str, request: pytest.FixtureRequest
) -> None:
    clone: Checkout = request.getfixturevalue(world)
    folder = clone.root / "model/tree-survival"
    assert f"\nbaseline,{wins}" in (folder / "candidates.csv").read_text()
    verdict = json.loads((folder / "verdict.json").read_text())
    (reason,) = [each for each in verdict["reasons"] if "the baseline" in each]
    assert verdict["passed"]
    assert said in reason
