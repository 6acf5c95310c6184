"""Columns and the name of a target → a model's block as plain data, with reasons. Pure.

The draft is prepared as the pipeline would, and looked through by the same functions for what gives
the answer away (`treeline.preparation`): what they report is left out, and the rest is tried again.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from treeline.config.models import ModelSpec
from treeline.config.sources import USUALLY_MISSING
from treeline.contract.features import Task
from treeline.contract.texts import NUMBER, number_of
from treeline.drafting.candidates import candidates, judged_by
from treeline.drafting.columns import ColumnReading
from treeline.drafting.features import LeftOut, counts_rows, feature_of, groups, named_for_groups
from treeline.drafting.hints import Hints
from treeline.errors import DataError
from treeline.preparation.leaks import leaks, of_frames
from treeline.preparation.whole import Prepared, prepare

SEEDS = 8  # tried in turn, until both sides have rows of every class
FEW_TEST_ROWS = 200
MOST_FOLDS, FEWEST_FOLDS = 5, 2
FEW_WHOLE, MANY_ROWS_EACH = 12, 10  # whole numbers that may be classes: so few, each so often
MOST_CLASSES = 30
TRUE = ("1", "true", "yes", "y", "positive", "pos", "event", "sick", "dead", "bad", "fraud")
LATER = 0.8  # of the rows, in time, that a test by later ones would learn from
LOOKS = 4  # leaks that are left out may have hidden others

Block = dict[str, Any]
Comments = dict[tuple[str, ...], str]


@dataclass(frozen=True)
class Draft:
    """A block of `models`, what it leaves out, and comments by the place that they are about."""

    block: Block
    left_out: tuple[LeftOut, ...]
    comments: Comments = field(default_factory=dict)


@dataclass(frozen=True)
class _Parts:
    """What is settled of a draft while its data are looked at."""

    features: dict[str, Block]
    left_out: list[LeftOut]
    carried: dict[str, str]
    group: str | None
    comments: Comments


def draft(columns: Sequence[ColumnReading], target: str, *, source: Block, hints: Hints) -> Draft:
    """Return the draft of a model that predicts one of the columns; raises DataError.

    `source` says where the rows will be, as the block `source` does; `columns` have one length.
    """
    by_name = {column.name: column for column in columns}
    declared = _target(_named(target, by_name), hints)
    source = _with_missing(source, columns)
    parts = _sorted([column for column in columns if column.name != target], hints)
    if by_name[target].n_missing:
        parts.comments["target",] = f"{by_name[target].n_missing:,} rows without it are left out"
    frame = pd.DataFrame({column.name: column.values for column in columns})
    for _ in range(LOOKS):
        block, prepared = _tried(frame, declared, source, parts)
        remaining = _without_leaks(parts, block, prepared)
        if remaining is None:
            break
        parts = remaining
    return _finished(parts, block, prepared)


def _named(target: str, by_name: Mapping[str, ColumnReading]) -> ColumnReading:
    if target in by_name:
        return by_name[target]
    folded = {name.casefold(): name for name in by_name}
    near = difflib.get_close_matches(target.casefold(), folded, n=1)
    guess = f"; is it {folded[near[0]]!r}?" if near else ""
    headless = next((name for name in by_name if NUMBER.fullmatch(name)), None)
    if headless is not None:
        guess = f"; {headless!r} is one: does the file lack a first line with the names of columns?"
    raise DataError(
        f"--target {target!r}: the table has {', '.join(map(repr, by_name))}, and no such column"
        f"{guess}"
    )


def _target(column: ColumnReading, hints: Hints) -> Block:
    """Return the block `target`; raises DataError for a column that cannot be one."""
    different = len(column.counts)
    if different < 2:
        raise DataError(
            f"--target {column.name!r}: every row is {next(iter(column.counts), 'without it')!r}, "
            "so there is nothing to learn; name another column"
        )
    if column.holds == "time":
        raise DataError(f"--target {column.name!r}: it holds dates or times; name another column")
    if column.holds == "words" and column.note:
        raise DataError(f"--target {column.name!r}: {column.note}, or correct the file")
    declared: Block = {"name": column.name, "task": hints.task or _task(column)}
    if declared["task"] == "regression" and column.holds not in ("integer", "number"):
        raise DataError(f"--task regression: {column.name!r} holds words; name another task")
    if declared["task"] == "binary":
        declared["positive"] = _positive(column, hints)
    if declared["task"] == "regression" and column.unit:
        declared["unit"] = column.unit
    return declared


def _task(column: ColumnReading) -> Task:
    different, rows = len(column.counts), column.counts.total()
    if different == 2:
        return "binary"
    if column.holds == "words":
        if different > MOST_CLASSES:
            raise DataError(
                f"--target {column.name!r}: it holds {different:,} different words in {rows:,} "
                "rows, too many for classes; name another column, or correct the file where some "
                "of them should be numbers"
            )
        return "multiclass"
    if column.holds == "integer" and different <= FEW_WHOLE and rows >= MANY_ROWS_EACH * different:
        low, high = column.numbers().min(), column.numbers().max()
        raise DataError(
            f"--target {column.name!r}: it holds {different} whole numbers, {low:g} to {high:g}: "
            "amounts, or names of classes? --task regression reads amounts; --task multiclass "
            "reads classes"
        )
    return "regression"


def _positive(column: ColumnReading, hints: Hints) -> bool | float | str:
    """Return the class that is looked for: the one that says so, else the rarer one."""
    if len(column.counts) != 2:
        raise DataError(f"--task binary: {column.name!r} has {len(column.counts)} classes, not two")
    word = next((each for each in column.counts if each.lower() in TRUE), None)
    word = word or min(column.counts, key=lambda each: (column.counts[each], each))
    if hints.positive is not None and (word := hints.positive) not in column.counts:
        raise DataError(
            f"--positive {word!r}: no class of {column.name!r}; choose from "
            f"{', '.join(map(repr, sorted(column.counts)))}"
        )
    if column.holds == "boolean":
        return word == "true"
    return word if column.holds == "words" else number_of(word)


def _with_missing(source: Block, columns: Sequence[ColumnReading]) -> Block:
    """Return the source with the words for a missing value, where they are not the usual ones.

    A word that is a value anywhere is none of them: the stored table has empty fields instead.
    """
    if source["kind"] != "file":
        return source
    words = [word for column in columns for word in column.missing_words]
    values = {word for column in columns for word in column.counts}
    missing = [word for word in dict.fromkeys((*USUALLY_MISSING, *words)) if word not in values]
    return source if tuple(missing) == USUALLY_MISSING else {**source, "missing": missing}


def _sorted(columns: Sequence[ColumnReading], hints: Hints) -> _Parts:
    """Return the features, what is left out, and what is carried along to group rows by."""
    parts = _Parts({}, [], {}, None, {})
    seen: dict[bytes, str] = {}
    for column in columns:
        declared = feature_of(column)
        if column.name in hints.leave_out:
            declared = LeftOut(column.name, "by --leave-out", decided=True)
        elif not isinstance(declared, LeftOut):
            twin = seen.setdefault(_pattern(column), column.name)
            if twin != column.name:
                declared = LeftOut(column.name, f"it says the same as {twin!r}", decided=True)
        _placed(column, declared, parts)
    named = [each for each in columns if each.name in parts.carried and named_for_groups(each)]
    coarsest = min(named, key=lambda column: len(column.counts), default=None)
    return replace(parts, group=coarsest.name if coarsest else None)


def _pattern(column: ColumnReading) -> bytes:
    """Return what columns have in common that say the same, in whatever words.

    Where values hardly come again their places tell nothing, and the values themselves count.
    """
    if 2 * len(column.counts) <= len(column.values):
        return pd.factorize(column.values)[0].tobytes()
    return pd.util.hash_pandas_object(column.values, index=False).to_numpy().tobytes()


def _placed(column: ColumnReading, declared: Block | LeftOut, parts: _Parts) -> None:
    """Put a column among the features, those left out, or those that may group rows."""
    out = declared if isinstance(declared, LeftOut) else None
    may_group = groups(column) and not (out and out.decided)
    if may_group and (out or named_for_groups(column)):
        parts.carried[column.name] = "integer" if column.holds == "integer" else "text"
    elif isinstance(declared, LeftOut):
        parts.left_out.append(declared)
        if column.holds == "time" and not column.note and not column.n_missing:
            moments = sorted(column.values)
            later = moments[int(LATER * len(moments))]
            parts.comments["split",] = (
                f'rows have a time: `split: {{after: {{{column.name}: "{later}"}}}}` tests by '
                f"later ones, with `columns: {{{column.name}: text}}` in the source"
            )
    else:
        parts.features[column.name] = declared
        if column.note:
            parts.comments["features", column.name] = column.note


def _tried(
    frame: pd.DataFrame, target: Block, source: Block, parts: _Parts
) -> tuple[Block, Prepared]:
    """Return a block that can be prepared, and the rows that it leaves; raises DataError."""
    if not parts.features:
        reasons = "; ".join(f"{each.name!r}: {each.reason}" for each in parts.left_out)
        raise DataError(f"no column is left to learn from. {reasons}")
    for seed in range(SEEDS):
        block = _block(target, source, parts, seed)
        try:
            return block, prepare(frame, ModelSpec.model_validate(block))
        except DataError as error:
            refusal = error
    raise refusal


def _block(target: Block, source: Block, parts: _Parts, seed: int) -> Block:
    columns = {"columns": parts.carried} if parts.carried else {}
    split: Block = {"test": 0.2, "group": parts.group, "seed": seed}
    return {
        "description": f"Predicts {target['name']}",
        "source": {**source, **columns},
        "target": target,
        "features": parts.features,
        "split": {key: value for key, value in split.items() if value is not None},
        "candidates": candidates(target["task"], parts.features, rows=0),
        "search": {"strategy": "grid", "folds": MOST_FOLDS},
        "champion": {"metric": judged_by(target["task"], 0.5)},
        "gate": {"beats": "baseline"},
    }


def _without_leaks(parts: _Parts, block: Block, prepared: Prepared) -> _Parts | None:
    """Return the parts without what gives the answer away, None where nothing does.

    Of carried columns the one whose rows are most alike becomes the group.
    """
    spec = ModelSpec.model_validate(block)
    record = leaks(of_frames(prepared.train, prepared.test), spec)
    telling = [
        LeftOut(
            each["feature"],
            f"it tells {each['alone']:.0%} of the target by itself: is it known beforehand?",
        )
        for each in record["telling"]
    ]
    ids = []
    for name in record["ids"]:
        if counts_rows(pd.concat([prepared.train[name], prepared.test[name]])):
            ids.append(LeftOut(name, "one whole number per row, in equal steps: it counts rows"))
        elif "unit" not in parts.features[name]:
            parts.comments["features", name] = "every row has another one: is it an id?"
    for clock in record["clocks"]:
        parts.comments["features", clock["feature"]] = (
            "it follows the order of rows, and tells less of later ones"
        )
    alike = sorted(record["groups"], key=lambda each: -each["alike"])
    group = parts.group or (alike[0]["column"] if alike else None)
    if not telling and not ids and group == parts.group:
        return None
    gone = {each.name for each in (*telling, *ids)}
    features = {name: each for name, each in parts.features.items() if name not in gone}
    left_out = [*parts.left_out, *telling, *ids]
    return replace(parts, features=features, left_out=left_out, group=group)


def _finished(parts: _Parts, block: Block, prepared: Prepared) -> Draft:
    """Return the draft, with candidates, folds, metric and gate for the rows there are."""
    comments, left_out = dict(parts.comments), list(parts.left_out)
    carried = {name: kind for name, kind in parts.carried.items() if name == parts.group}
    for name in parts.carried:
        if name not in carried:
            left_out.append(LeftOut(name, "it names what comes again, such as a group of rows"))
    source = {key: value for key, value in block["source"].items() if key != "columns"}
    block = {**block, "source": {**source, **({"columns": carried} if carried else {})}}
    if parts.group is not None:
        comments["split",] = f"no {parts.group!r} has rows on both sides"
    task, target = block["target"]["task"], block["target"]["name"]
    rows, share, folds = len(prepared.train), 0.5, MOST_FOLDS
    if task != "regression":
        counts = prepared.train[target].value_counts()
        folds = max(FEWEST_FOLDS, min(MOST_FOLDS, int(counts.min())))
        share = float(counts.min() / counts.sum())
        if counts.min() < FEWEST_FOLDS:
            raise DataError(
                f"--target {target!r}: the class {counts.idxmin()!r} has {counts.min()} row to "
                "learn from; collect more of it, or take its rows out of the file"
            )
    if task == "binary":
        comments.setdefault(("target",), f"positive: {share:.0%} of rows are of the rarer class")
    block["candidates"] = candidates(task, parts.features, rows=rows)
    block["search"] = {"strategy": "grid", "folds": folds}
    block["champion"] = {"metric": judged_by(task, share)}
    if len(prepared.test) < FEW_TEST_ROWS:
        block["gate"] = {"beats": "baseline", "undecided": "pass"}
        comments["gate", "undecided"] = (
            f"{len(prepared.test)} test rows may not tell; what is shown to be worse is refused"
        )
    return Draft(block, tuple(left_out), comments)
