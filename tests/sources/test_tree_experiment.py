"""The simulated tree experiment: same columns, same structure, same lessons as the deposit."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from xgboost import XGBClassifier

from treeline.errors import SourceError
from treeline.sources.simulators.tree_experiment import TreeExperiment, Variant

PROJECT = Path(__file__).resolve().parents[2]
ROWS_PER_SITE = 2_783
TRAITS = ["AMF", "EMF", "Phenolics", "Lignin", "NSC"]
CELL = ["Species", "Soil", "Light_ISF"]
TEXTS = "Subplot Species Light_Cat Soil Adult Sterile Conspecific Myco SoilMyco PlantDate Alive"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    path = PROJECT / "dataset/sources/simulate/tree_experiment.json"
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


@pytest.fixture(scope="module")
def deposited(figures: dict[str, Any]) -> pd.DataFrame:
    """Ten sites as deposited."""
    return seedlings(figures, variant="deposited")


@pytest.fixture(scope="module")
def clean(figures: dict[str, Any]) -> pd.DataFrame:
    """The same ten sites without the deposit's artefact."""
    return seedlings(figures, variant="clean")


@pytest.fixture(scope="module")
def real(real_seedlings: Path) -> pd.DataFrame:
    return pd.read_csv(real_seedlings).dropna(subset=["Event"])


def table(
    figures: dict[str, Any],
    *,
    rows: int,
    seed: int = 1,
    variant: Variant = "deposited",
    chunk_rows: int = 500_000,
) -> pa.Table:
    simulator = TreeExperiment(figures, variant=variant)
    return pa.concat_tables(simulator.simulate(rows, seed=seed, chunk_rows=chunk_rows))


def seedlings(figures: dict[str, Any], *, variant: Variant) -> pd.DataFrame:
    frame = table(figures, rows=10 * ROWS_PER_SITE, variant=variant).to_pandas()
    return frame.astype(dict.fromkeys(TEXTS.split(), "str"))


def numbers(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return pd.get_dummies(frame[columns], columns=["Species", "Soil"], dtype=float)


def fitted(train: pd.DataFrame, *, columns: list[str], target: str) -> XGBClassifier:
    model = XGBClassifier(n_estimators=100, learning_rate=0.08, max_depth=4, n_jobs=1)
    return model.fit(numbers(train, columns), train[target])


def auc(model: XGBClassifier, test: pd.DataFrame, *, columns: list[str], target: str) -> float:
    chance = model.predict_proba(numbers(test, columns))[:, 1]
    return float(roc_auc_score(test[target], chance))


def harvest_auc(frame: pd.DataFrame, *, columns: list[str]) -> float:
    """How well harvest is told from `columns` on plots the model does not know."""
    known = frame["Plot"] % 2 == 0
    model = fitted(frame[known], columns=columns, target="Harvest")
    return auc(model, frame[~known], columns=columns, target="Harvest")


def combinations(frame: pd.DataFrame, columns: Iterable[str]) -> set[tuple[Any, ...]]:
    return set(frame[list(columns)].itertuples(index=False, name=None))


# Columns


def test_columns_stand_in_the_published_order(deposited: pd.DataFrame, real: pd.DataFrame) -> None:
    assert list(deposited.columns) == list(real.columns)


def test_every_word_is_one_the_deposit_uses_and_every_one_is_used(
    deposited: pd.DataFrame, real: pd.DataFrame
) -> None:
    for column in TEXTS.split():
        assert set(deposited[column]) == set(real[column].astype(str)), column


def test_numbers_have_the_type_and_stay_in_the_range_of_the_deposit(
    deposited: pd.DataFrame, real: pd.DataFrame
) -> None:
    real = real.astype({"Event": "int64"})
    for column in real.columns.difference([*TEXTS.split(), "No", "Plot"]):
        assert deposited[column].dtype == real[column].dtype, column
        assert deposited[column].min() >= real[column].min(), column
        assert deposited[column].max() <= real[column].max(), column


def test_sterile_conspecific_and_fungi_follow_from_species_and_soil_as_published(
    deposited: pd.DataFrame, real: pd.DataFrame
) -> None:
    columns = ["Species", "Soil", "Sterile", "Conspecific", "Myco", "SoilMyco"]
    assert combinations(deposited, columns) == combinations(real, columns)


def test_adults_and_planting_dates_occur_only_where_published(
    deposited: pd.DataFrame, real: pd.DataFrame
) -> None:
    for columns in (["Soil", "Adult"], ["Species", "PlantDate"]):
        assert combinations(deposited, columns) <= combinations(real, columns)


def test_light_is_published_to_three_decimals_and_traits_to_two(deposited: pd.DataFrame) -> None:
    assert (deposited["Light_ISF"] == deposited["Light_ISF"].round(3)).all()
    traits = deposited[TRAITS].fillna(0.0)
    pd.testing.assert_frame_equal(traits, traits.round(2), check_exact=True)


def test_light_categories_part_at_the_published_lights(deposited: pd.DataFrame) -> None:
    by_category = deposited.groupby("Light_Cat")["Light_ISF"]
    assert by_category.max()["Low"] <= 0.075 < by_category.min()["Med"]
    assert by_category.max()["Med"] <= 0.120 < by_category.min()["High"]


def test_emf_is_absent_exactly_for_the_species_without_that_fungus(
    deposited: pd.DataFrame,
) -> None:
    assert (deposited["EMF"].isna() == (deposited["Myco"] == "AMF")).all()
    assert deposited["EMF"].isna().mean() == pytest.approx(1_500 / ROWS_PER_SITE, abs=0.01)
    assert deposited.drop(columns="EMF").notna().all(axis=None)


# Sites


def test_every_site_brings_its_own_eighteen_plots(deposited: pd.DataFrame) -> None:
    site = (deposited["No"] - 1) // ROWS_PER_SITE
    assert deposited.groupby(site)["Plot"].nunique().eq(18).all()
    assert deposited["Plot"].nunique() == 10 * 18
    assert deposited["No"].is_unique


def test_a_subplot_has_one_light(deposited: pd.DataFrame) -> None:
    assert deposited.groupby(["Plot", "Subplot"])["Light_ISF"].nunique().eq(1).all()


# Fates


def test_time_is_three_and_a_half_days_per_census(deposited: pd.DataFrame) -> None:
    assert (deposited["Time"] == 3.5 * deposited["Census"]).all()


def test_harvested_seedlings_are_censored_in_week_four_and_stand_as_dead(
    deposited: pd.DataFrame,
) -> None:
    harvested = deposited[deposited["Harvest"] == 1]
    assert set(harvested["Census"]) == {7, 8}
    assert set(harvested["Event"]) == {0}
    assert set(harvested["Alive"]) == {"Dead"}


def test_alive_means_neither_died_nor_harvested_and_seen_at_the_last_census(
    deposited: pd.DataFrame,
) -> None:
    alive = deposited["Alive"] == "Alive"
    assert (alive == ((deposited["Event"] == 0) & (deposited["Harvest"] == 0))).all()
    assert set(deposited.loc[alive, "Census"]) == {33}


def test_rates_are_near_those_of_the_deposit(deposited: pd.DataFrame, real: pd.DataFrame) -> None:
    for column in ("Event", "Harvest"):
        assert deposited[column].mean() == pytest.approx(real[column].mean(), abs=0.02), column
    died = {
        name: frame[frame["Harvest"] == 0].groupby("Species")["Event"].mean().to_numpy()
        for name, frame in {"simulated": deposited, "real": real}.items()
    }
    np.testing.assert_allclose(died["simulated"], died["real"], atol=0.04)


def test_traits_have_the_mean_and_spread_of_the_deposit(
    deposited: pd.DataFrame, real: pd.DataFrame
) -> None:
    simulated, published = deposited[TRAITS], real[TRAITS]
    np.testing.assert_allclose(simulated.mean(), published.mean(), rtol=0.05)
    np.testing.assert_allclose(simulated.std(), published.std(), rtol=0.08)


# Variants


def test_as_deposited_all_but_harvested_seedlings_share_the_traits_of_their_cell(
    deposited: pd.DataFrame,
) -> None:
    site = ((deposited["No"] - 1) // ROWS_PER_SITE).rename("site")
    others = deposited[deposited["Harvest"] == 0]
    assert others.groupby([site, *CELL])[TRAITS].nunique().le(1).all(axis=None)


def test_as_deposited_traits_betray_who_was_harvested(deposited: pd.DataFrame) -> None:
    without = harvest_auc(deposited, columns=CELL)
    assert harvest_auc(deposited, columns=CELL + TRAITS) > without + 0.2


def test_clean_traits_tell_nothing_about_harvest(clean: pd.DataFrame) -> None:
    without = harvest_auc(clean, columns=CELL)
    assert harvest_auc(clean, columns=CELL + TRAITS) == pytest.approx(without, abs=0.02)


def test_the_variants_differ_in_traits_alone(deposited: pd.DataFrame, clean: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(deposited.drop(columns=TRAITS), clean.drop(columns=TRAITS))
    assert not deposited[TRAITS].equals(clean[TRAITS])


# Learning


@pytest.mark.parametrize("kept", [{0, 1}, {0}], ids=["all rows", "rows nobody harvested"])
def test_a_model_of_simulated_seedlings_judges_real_ones_as_a_model_of_real_ones_does(
    deposited: pd.DataFrame, real: pd.DataFrame, kept: set[int]
) -> None:
    simulated, published = (rows[rows["Harvest"].isin(kept)] for rows in (deposited, real))
    of_event: dict[str, Any] = {"columns": CELL + TRAITS, "target": "Event"}
    of_simulated = fitted(simulated, **of_event)
    trained_on_real, trained_on_simulated = [], []
    for fold in range(3):
        held_out = published["Plot"] % 3 == fold
        of_real = fitted(published[~held_out], **of_event)
        trained_on_real.append(auc(of_real, published[held_out], **of_event))
        trained_on_simulated.append(auc(of_simulated, published[held_out], **of_event))
    assert np.mean(trained_on_simulated) > np.mean(trained_on_real) - 0.02


# Streams


def test_the_same_seed_gives_the_same_seedlings_and_another_seed_others(
    figures: dict[str, Any],
) -> None:
    assert table(figures, rows=4_000, seed=7).equals(table(figures, rows=4_000, seed=7))
    assert not table(figures, rows=4_000, seed=7).equals(table(figures, rows=4_000, seed=8))


@pytest.mark.parametrize("chunk_rows", [1_000, ROWS_PER_SITE, 5_000])
def test_the_size_of_the_chunks_does_not_matter(figures: dict[str, Any], chunk_rows: int) -> None:
    chunked = table(figures, rows=7_000, chunk_rows=chunk_rows)
    assert chunked.equals(table(figures, rows=7_000))


def test_every_chunk_but_the_last_is_full_and_all_share_one_schema(
    figures: dict[str, Any],
) -> None:
    simulator = TreeExperiment(figures, variant="deposited")
    chunks = list(simulator.simulate(7_000, seed=1, chunk_rows=3_000))
    assert [chunk.num_rows for chunk in chunks] == [3_000, 3_000, 1_000]
    assert len({chunk.schema.to_string() for chunk in chunks}) == 1


def test_fewer_rows_are_the_beginning_of_more(figures: dict[str, Any]) -> None:
    assert table(figures, rows=3_000).equals(table(figures, rows=6_000).slice(0, 3_000))


# Errors


def test_an_absent_figure_is_named(figures: dict[str, Any]) -> None:
    del (short := dict(figures))["hazard_base"]
    with pytest.raises(SourceError, match=r"figures\.hazard_base: absent"):
        TreeExperiment(short, variant="deposited")


def test_a_figure_of_another_shape_is_named_with_the_shape_it_needs(
    figures: dict[str, Any],
) -> None:
    with pytest.raises(SourceError, match=r"figures\.soil_p: shape \(1,\) instead of \(7,\)"):
        TreeExperiment({**figures, "soil_p": [1.0]}, variant="deposited")


def test_an_unknown_variant_is_refused_with_the_known_ones(figures: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=r"variant: 'tidy'.*deposited.*clean"):
        TreeExperiment(figures, variant="tidy")  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"rows": 0}, {"seed": -1}, {"chunk_rows": 0}], ids=str)
def test_impossible_arguments_are_refused_at_once(
    figures: dict[str, Any], given: dict[str, int]
) -> None:
    arguments = {"rows": 10, "seed": 1, "chunk_rows": 10} | given
    with pytest.raises(SourceError, match=f"{next(iter(given))}: .* is too small"):
        TreeExperiment(figures, variant="deposited").simulate(
            arguments["rows"], seed=arguments["seed"], chunk_rows=arguments["chunk_rows"]
        )
