"""The figures of the tree experiment: parsed JSON → checked arrays and the words of each column."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.errors import SourceError

Array = NDArray[np.float64]

# What each figure is counted by; () is a single number, an int a fixed length.
SHAPES: dict[str, tuple[str | int, ...]] = {
    "rows_per_site": (),
    "species_p": ("species",),
    "soil_p": ("soil",),
    "subplot_p": ("subplot_p",),
    "core2016_p": (),
    "light_centre": (),
    "light_scale": (),
    "plot_light_mean": ("plot_light_mean",),
    "light_log_mean": (),
    "light_log_sd_plot": (),
    "light_log_sd_sub": (),
    "light_range": (2,),
    "light_upper": (2,),
    "harvest_b0": ("species", "soil"),
    "harvest_light": ("species",),
    "harvest_censuses": (2,),
    "harvest_week4_p": ("species",),
    "days_per_census": (),
    "censuses": ("censuses",),
    "hazard_base": ("species", "censuses"),
    "hazard_soil": ("species", "soil"),
    "hazard_light": ("species",),
    "plot_hazard_sd": (),
    "trait_mean": ("species", "soil", "trait", 3),
    "trait_wiggle_sd": ("species", "soil", "trait"),
    "trait_min": ("species", "trait"),
    "trait_max": ("species", "trait"),
    "meas_bias": ("species", "soil", "trait"),
    "meas_sd": ("species", "soil", "trait"),
    "meas_skew": ("species", "trait"),
    "meas_corr": ("species", "trait", "trait"),
    "meas_min": ("species", "trait"),
    "meas_max": ("species", "trait"),
    "sterile_hosts": ("sterile_hosts",),
}
WORDS = ("species", "soil", "trait", "species_myco", "soil_myco", "adults", "plant_dates")
LIGHT_STEPS_PER_UNIT = 1000  # Light_ISF is published to three decimals


@dataclass(frozen=True)
class Figures:
    """Checked figures, and what follows from them for every site.

    `numbers` holds each figure of SHAPES as float64, `words` the texts of each category.
    `date_p` is the share of planting dates, shape (n_species, n_dates). `fitted` is the smooth
    trait value at every published light, shape (n_species, n_soils, n_lights, n_traits).
    `plots` are the plots of a site, `adults` the adult trees behind each live soil; `sterile` is
    the place of the sterilised soil among the soils.
    """

    numbers: dict[str, Array]
    words: dict[str, list[str]]
    date_p: Array
    fitted: Array
    plots: int
    adults: int
    sterile: int

    def light_z(self, light: Array) -> Array:
        """Return light as the formulas take it: centred and scaled, same shape, float64."""
        number = self.numbers
        return (light - number["light_centre"]) / number["light_scale"]

    def light_step(self, light: Array) -> NDArray[np.int64]:
        """Return the place of each light on the grid of `fitted`, same shape, int64."""
        lowest = self.numbers["light_range"][0]
        step: NDArray[np.int64] = np.rint((light - lowest) * LIGHT_STEPS_PER_UNIT).astype(np.int64)
        return step


def read_figures(figures: Mapping[str, Any]) -> Figures:
    """Return the checked figures; raises SourceError naming one that is absent or misshapen."""
    for name in (*WORDS, *SHAPES):
        if name not in figures:
            raise SourceError(f"figures.{name}: absent; the simulator needs {[*WORDS, *SHAPES]}")
    numbers = {name: _checked(figures, name) for name in SHAPES}
    adults = list(figures["adults"].values())
    dates = sorted({date for by_species in figures["plant_dates"] for date in by_species}, key=_day)
    counts = np.array([[by.get(date, 0) for date in dates] for by in figures["plant_dates"]], float)
    words = {
        "Subplot": [chr(ord("A") + place) for place in range(len(numbers["subplot_p"]))],
        "Species": list(figures["species"]),
        "Soil": list(figures["soil"]),
        "Myco": list(figures["species_myco"]),
        "SoilMyco": list(figures["soil_myco"]),
        "Adult": [adult for of_soil in adults for adult in of_soil],
        "PlantDate": dates,
        "trait": list(figures["trait"]),
    }
    return Figures(
        numbers=numbers,
        words=words,
        date_p=counts / counts.sum(axis=1, keepdims=True),
        fitted=_fitted(numbers),
        plots=len(numbers["plot_light_mean"]),
        adults=len(adults[0]),
        sterile=words["Soil"].index("Sterile"),
    )


def _checked(figures: Mapping[str, Any], name: str) -> Array:
    wanted = tuple(_size(figures, by) for by in SHAPES[name])
    try:
        value = np.asarray(figures[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SourceError(f"figures.{name}: {error}; give numbers of shape {wanted}") from error
    if value.shape != wanted:
        raise SourceError(f"figures.{name}: shape {value.shape} instead of {wanted}")
    return value


def _size(figures: Mapping[str, Any], by: str | int) -> int:
    return by if isinstance(by, int) else len(figures[by])


def _day(date: str) -> datetime:
    return datetime.strptime(date, "%m/%d/%y")


def _fitted(numbers: Mapping[str, Array]) -> Array:
    low, high = numbers["light_range"]
    light = np.linspace(low, high, num=int(np.rint((high - low) * LIGHT_STEPS_PER_UNIT)) + 1)
    z = (light - numbers["light_centre"]) / numbers["light_scale"]
    powers = np.stack([np.ones_like(z), z, z * z])
    curves: Array = numbers["trait_mean"] @ powers  # species, soil, trait, light
    return curves.swapaxes(-1, -2)
