"""The tree experiment: figures → simulated seedlings in the 24 published columns, as arrow tables.

Every site of 2,783 rows draws from its own stream of chance, so rows do not depend on the size of
the chunks, and fewer rows of the same seed are the beginning of more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treeline.errors import SourceError
from treeline.sources.simulators.tree_figures import Figures, read_figures
from treeline.sources.simulators.tree_site import Planting, Site, Variant, draw_site

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
