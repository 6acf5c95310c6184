"""Test split + predictions → metrics with intervals, leads with intervals, importances."""

from treeline.evaluation.importances import importances
from treeline.evaluation.intervals import LEVEL, evaluate, evaluate_repeats
from treeline.evaluation.repeats import Repeat
from treeline.evaluation.units import Units

__all__ = ["LEVEL", "Repeat", "Units", "evaluate", "evaluate_repeats", "importances"]
