"""The tree experiment: figures → simulated seedlings in the 24 published columns, as arrow tables.

Every site of 2,783 rows draws from its own stream of chance, so rows do not depend on the size of
the chunks, and fewer rows of the same seed are the beginning of more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from treeline.errors import SourceError
from treeline.sources.simulators.tree_figures import (
    LIGHT_STEPS_PER_UNIT,
    Array,
    Figures,
    read_figures,
)

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]
Variant = Literal["deposited", "clean"]


@dataclass(frozen=True)
class Planting:
    """Where and how each seedling grows: arrays of shape (n,).

    Codes are int64 places in the words of the figures; `plot` counts from 0 within the site.
    `light` is Light_ISF, the share of open-sky light, float64 to three decimals.
    """

    plot: Codes
    subplot: Codes
    light: Array
    species: Codes
    soil: Codes
    adult: Codes
    date: Codes
    core: Codes


@dataclass(frozen=True)
class Site:
    """The seedlings of one site: `traits` is float64 (n, n_traits), the rest has shape (n,).

    `census` is the int64 number of the last look at the seedling; `died` is False for a harvested
    one, whose later death nobody saw.
    """

    planting: Planting
    harvested: Flags
    died: Flags
    census: Codes
    traits: Array


def draw_site(figures: Figures, *, site: int, seed: int, variant: Variant) -> Site:
    """Return the seedlings of site number `site`, each site from its own stream of chance."""
    rng = default_rng(SeedSequence(seed, spawn_key=(site,)))
    planting = _plant(figures, rng, first_site=site == 0)
    harvested, harvest_census = _harvest(figures, rng, planting)
    died, last_census = _die(figures, rng, planting)
    own = harvested if variant == "deposited" else np.ones_like(harvested)
    return Site(
        planting=planting,
        harvested=harvested,
        died=died & ~harvested,
        census=np.where(harvested, harvest_census, last_census),
        traits=_traits(figures, rng, planting, own=own),
    )


def _plant(figures: Figures, rng: Generator, *, first_site: bool) -> Planting:
    number = figures.numbers
    n = int(number["rows_per_site"])
    light = _light(figures, rng, first_site=first_site)
    plot = rng.integers(light.shape[0], size=n)
    subplot = rng.choice(light.shape[1], size=n, p=_shares(number["subplot_p"]))
    species = rng.choice(len(number["species_p"]), size=n, p=_shares(number["species_p"]))
    soil = rng.choice(len(number["soil_p"]), size=n, p=_shares(number["soil_p"]))
    hosts = number["sterile_hosts"].astype(np.int64)
    host = np.where(soil == figures.sterile, hosts[rng.integers(len(hosts), size=n)], soil)
    return Planting(
        plot=plot,
        subplot=subplot,
        light=light[plot, subplot],
        species=species,
        soil=soil,
        adult=host * figures.adults + rng.integers(figures.adults, size=n),
        date=(rng.random(n)[:, None] > figures.date_p.cumsum(axis=1)[species, :-1]).sum(axis=1),
        core=np.where(rng.random(n) < number["core2016_p"], 2016, 2017),
    )


def _light(figures: Figures, rng: Generator, *, first_site: bool) -> Array:
    """Return Light_ISF by (plot, subplot); the first site has the plots of the experiment."""
    number = figures.numbers
    n_plots, n_subplots = len(number["plot_light_mean"]), len(number["subplot_p"])
    plots = rng.lognormal(number["light_log_mean"], number["light_log_sd_plot"], n_plots)
    if first_site:
        plots = number["plot_light_mean"]
    scatter = rng.lognormal(0.0, number["light_log_sd_sub"], (n_plots, n_subplots))
    light = np.clip(plots[:, None] * scatter, *number["light_range"])
    return np.rint(light * LIGHT_STEPS_PER_UNIT) / LIGHT_STEPS_PER_UNIT


def _harvest(figures: Figures, rng: Generator, planting: Planting) -> tuple[Flags, Codes]:
    """Return who was cut alive for measuring, and the census at which each would be."""
    number, species = figures.numbers, planting.species
    z = figures.light_z(planting.light)
    logit = number["harvest_b0"][species, planting.soil] + number["harvest_light"][species] * z
    harvested = rng.random(len(z)) < 1 / (1 + np.exp(-logit))
    late = rng.random(len(z)) < number["harvest_week4_p"][species]
    return harvested, number["harvest_censuses"].astype(np.int64)[late.astype(np.int64)]


def _die(figures: Figures, rng: Generator, planting: Planting) -> tuple[Flags, Codes]:
    """Return who dies before the end, and the census of death or the last one.

    Discrete-time survival: at each census a seedling still alive dies with a logistic hazard, so
    it outlives the censuses whose survival exceeds one uniform draw.
    """
    number, species = figures.numbers, planting.species
    censuses = number["censuses"].astype(np.int64)
    plot_effect = rng.normal(0.0, number["plot_hazard_sd"], len(number["plot_light_mean"]))
    risk = (
        number["hazard_soil"][species, planting.soil]
        + number["hazard_light"][species] * figures.light_z(planting.light)
        + plot_effect[planting.plot]
    )
    odds = np.exp(number["hazard_base"])[species] * np.exp(risk)[:, None]
    survival = (1 / (1 + odds)).cumprod(axis=1)
    outlived = (survival > rng.random(len(risk))[:, None]).sum(axis=1)
    died = outlived < len(censuses)
    return died, censuses[np.minimum(outlived, len(censuses) - 1)]


def _traits(figures: Figures, rng: Generator, planting: Planting, *, own: Flags) -> Array:
    """Return traits to two decimals: measured ones where `own`, else the value of the cell.

    Everyone else in a species x soil x light cell shares one value: the smooth curve in light plus
    one wiggle per cell and site, as a model fitted to few measured seedlings would leave it.
    """
    number, species, soil = figures.numbers, planting.species, planting.soil
    wiggle = rng.standard_normal(figures.fitted.shape) * number["trait_wiggle_sd"][:, :, None]
    lowest, highest = number["trait_min"][:, None, None], number["trait_max"][:, None, None]
    fitted = np.clip(figures.fitted + wiggle, lowest, highest)
    traits: Array = fitted[species, soil, figures.light_step(planting.light)]
    kinds, soils = species[own], soil[own]
    noise = _skewed(rng, figures, kinds) * number["meas_sd"][kinds, soils]
    measured = traits[own] + number["meas_bias"][kinds, soils] + noise
    traits[own] = np.clip(measured, number["meas_min"][kinds], number["meas_max"][kinds])
    np.round(traits, 2, out=traits)
    return traits


def _skewed(rng: Generator, figures: Figures, species: Codes) -> Array:
    """Return correlated noise of mean 0 and SD 1, shape (n, n_traits), skewed by species.

    A log-normal exp(s e), e ~ N(0, 1), has mean exp(s²/2) and variance exp(s²)(exp(s²) - 1); less
    its mean and over its SD it is standard, and its sign is that of s. s = 0 is the normal itself.
    """
    roots = np.linalg.cholesky(figures.numbers["meas_corr"])
    shape = figures.numbers["meas_skew"][species]
    plain = np.einsum("nij,nj->ni", roots[species], rng.standard_normal(shape.shape))
    s = np.where(shape == 0, 1.0, shape)
    spread = np.exp(s * s)
    skewed = np.sign(s) * (np.exp(s * plain) - np.sqrt(spread)) / np.sqrt(spread * (spread - 1))
    noise: Array = np.where(shape == 0, plain, skewed)
    return noise


def _shares(rounded: Array) -> Array:
    shares: Array = rounded / rounded.sum()  # rounded figures miss one by a hair; choice refuses
    return shares


WORD = pa.dictionary(pa.int8(), pa.string())
COLUMNS = {
    "No": pa.int64(),
    "Plot": pa.int64(),
    "Subplot": WORD,
    "Species": WORD,
    "Light_ISF": pa.float64(),
    "Light_Cat": WORD,
    "Core": pa.int64(),
    "Soil": WORD,
    "Adult": WORD,
    "Sterile": WORD,
    "Conspecific": WORD,
    "Myco": WORD,
    "SoilMyco": WORD,
    "PlantDate": WORD,
    "AMF": pa.float64(),
    "EMF": pa.float64(),
    "Phenolics": pa.float64(),
    "Lignin": pa.float64(),
    "NSC": pa.float64(),
    "Census": pa.int64(),
    "Time": pa.float64(),
    "Event": pa.int64(),
    "Harvest": pa.int64(),
    "Alive": WORD,
}


class TreeExperiment:
    """Simulates the tree seedling experiment of doi:10.5061/dryad.xd2547dpw.

    `variant="deposited"` gives harvested rows their own measured traits and all others the value
    fitted to their species x soil x light cell, as the deposit does, so that traits betray
    harvest. `variant="clean"` gives every row its own measured traits.
    """

    def __init__(self, figures: Mapping[str, Any], *, variant: Variant) -> None:
        """Check the parsed figures; raises SourceError naming what is wrong in them."""
        if variant not in get_args(Variant):
            raise SourceError(f"variant: {variant!r} is none; choose from {get_args(Variant)}")
        self._figures = read_figures(figures)
        self._variant = variant
        self._schema = pa.schema(COLUMNS)

    def simulate(self, rows: int, *, seed: int, chunk_rows: int = 500_000) -> Iterator[pa.Table]:
        """Return tables of `chunk_rows` seedlings, the last one shorter, with COLUMNS as schema.

        The seedlings depend on `rows`, `seed` and the variant alone; memory grows with
        `chunk_rows`. Raises SourceError where `rows`, `seed` or `chunk_rows` is too small.
        """
        given = {"rows": (rows, 1), "seed": (seed, 0), "chunk_rows": (chunk_rows, 1)}
        for place, (value, least) in given.items():
            if value < least:
                raise SourceError(f"{place}: {value} is too small; give {least} or more")
        return _in_chunks(self._batches(rows, seed=seed), chunk_rows=chunk_rows)

    def _batches(self, rows: int, *, seed: int) -> Iterator[pa.RecordBatch]:
        figures = self._figures
        rows_per_site = int(figures.numbers["rows_per_site"])
        for number, first_row in enumerate(range(0, rows, rows_per_site)):
            site = draw_site(figures, site=number, seed=seed, variant=self._variant)
            columns = {
                "No": first_row + 1 + np.arange(rows_per_site),
                "Plot": number * figures.plots + 1 + site.planting.plot,
                **_planted(figures, site.planting),
                **_measured(figures, site),
                **_outcome(figures, site),
            }
            arrays = [pa.array(columns[name], kind) for name, kind in COLUMNS.items()]
            batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
            yield batch.slice(0, rows - first_row)


def _planted(figures: Figures, planting: Planting) -> dict[str, Any]:
    words, species, soil = figures.words, planting.species, planting.soil
    upper = figures.numbers["light_upper"]
    kin = [_kinship(one, other) for one in words["Species"] for other in words["Soil"]]
    return {
        "Subplot": _words(planting.subplot, words["Subplot"]),
        "Species": _words(species, words["Species"]),
        "Light_ISF": planting.light,
        "Light_Cat": _words(np.searchsorted(upper, planting.light), ["Low", "Med", "High"]),
        "Core": planting.core,
        "Soil": _words(soil, words["Soil"]),
        "Adult": _words(planting.adult, words["Adult"]),
        "Sterile": _words((soil == figures.sterile) * 1, ["Non-Sterile", "Sterile"]),
        "Conspecific": _words(species * len(words["Soil"]) + soil, kin),
        "Myco": _words(species, words["Myco"]),
        "SoilMyco": _words(soil, words["SoilMyco"]),
        "PlantDate": _words(planting.date, words["PlantDate"]),
    }


def _kinship(species: str, soil: str) -> str:
    if soil == "Sterile":
        return "Sterilized"
    return "Conspecific" if soil == species else "Heterospecific"


def _measured(figures: Figures, site: Site) -> dict[str, Any]:
    traits: dict[str, Any] = dict(zip(figures.words["trait"], site.traits.T, strict=True))
    # EMF is the fungus of oaks alone: a structural gap, not a missing value
    without_emf = np.array(figures.words["Myco"])[site.planting.species] != "EMF"
    return traits | {"EMF": pa.array(traits["EMF"], mask=without_emf)}


def _outcome(figures: Figures, site: Site) -> dict[str, Any]:
    # harvested seedlings stand as "Dead" in the deposit although they were cut alive
    alive = ~site.died & ~site.harvested
    return {
        "Census": site.census,
        "Time": site.census * figures.numbers["days_per_census"],
        "Event": site.died.astype(np.int64),
        "Harvest": site.harvested.astype(np.int64),
        "Alive": _words(alive.astype(np.int64), ["Dead", "Alive"]),
    }


def _words(codes: NDArray[np.int64], texts: Sequence[str]) -> pa.DictionaryArray:
    """Return `texts` taken at `codes`, shape (n,), over a dictionary that names each text once."""
    dictionary = list(dict.fromkeys(texts))
    places = np.array([dictionary.index(text) for text in texts], dtype=np.int8)
    return pa.DictionaryArray.from_arrays(places[codes], dictionary)


def _in_chunks(batches: Iterable[pa.RecordBatch], *, chunk_rows: int) -> Iterator[pa.Table]:
    """Return the rows of `batches` in order, cut into tables of `chunk_rows`."""
    gathered: list[pa.RecordBatch] = []
    missing = chunk_rows
    for batch in batches:
        rest = batch
        while rest.num_rows >= missing:
            yield pa.Table.from_batches([*gathered, rest.slice(0, missing)]).combine_chunks()
            rest, gathered, missing = rest.slice(missing), [], chunk_rows
        gathered.append(rest)
        missing -= rest.num_rows
    if missing < chunk_rows:
        yield pa.Table.from_batches(gathered).combine_chunks()
