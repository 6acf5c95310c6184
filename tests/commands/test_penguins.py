"""A table of simulated penguins, in a database or as statements; they are as was published."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.checkout import ROOT
from tests.commanding import treeline
from tests.databases import Filled, opened
from treeline.config.sources import SimulateSource, SqlSource
from treeline.errors import SourceError
from treeline.sources.simulators import SimulatedTables
from treeline.sources.sql.tables import SqlTables

pytest.importorskip("connectorx", reason="needs connectorx: make setup-dev")

# Means of bill length, bill depth (mm), flipper length (mm) and body mass (g), as published.
PUBLISHED = {
    "Adelie": (38.8, 18.3, 190.0, 3701),
    "Chinstrap": (48.8, 18.4, 195.8, 3733),
    "Gentoo": (47.5, 15.0, 217.2, 5076),
}


@pytest.fixture(params=["postgresql", "mysql", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filled]:
    with opened(request.param, tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def simulated(rows: int, *, seed: int) -> pd.DataFrame:
    spec = SimulateSource(kind="simulate", simulator="penguins", rows=rows, seed=seed)
    return pa.concat_tables(SimulatedTables(spec).tables()).to_pandas()


def test_the_table_is_made_and_made_again(database: Filled) -> None:
    for _ in range(2):
        assert str(treeline("penguins", database.url)).startswith("344 penguins are in the table")
    spec = SqlSource(kind="sql", url=database.url, table="penguins")
    frame = pa.concat_tables(SqlTables(spec).tables()).to_pandas()
    assert frame["species"].value_counts().to_dict() == {
        "Adelie": 152, "Gentoo": 124, "Chinstrap": 68
    }  # fmt: skip
    assert frame.isna().sum()[frame.isna().sum() > 0].to_dict() == {
        "bill_length_mm": 2, "bill_depth_mm": 2, "flipper_length_mm": 2, "body_mass_g": 2, "sex": 11
    }  # fmt: skip


def test_the_statements_for_mysql_are_those_of_the_command() -> None:
    assert (ROOT / "deploy/mysql/penguins.sql").read_text() == f"{treeline('penguins', '--sql')}\n"


def test_a_url_with_a_password_is_refused() -> None:
    with pytest.raises(SourceError, match="set the environment variable"):
        treeline("penguins", "postgresql://a:b@127.0.0.1/c")


def test_the_birds_are_as_published_and_fewer_are_the_beginning_of_more() -> None:
    birds = simulated(20 * 344, seed=1)
    means = birds.groupby("species").mean(numeric_only=True)
    for species, published in PUBLISHED.items():
        assert np.allclose(means.loc[species], published, rtol=0.01)
    assert simulated(500, seed=1).equals(birds.head(500))
