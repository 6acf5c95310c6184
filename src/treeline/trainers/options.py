"""Options that name classes or features: as declared ↔ as estimators know them."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from treeline.config.models import Candidate, Step
from treeline.contract.features import Feature, Label
from treeline.contract.texts import text_of
from treeline.errors import TrainingError
from treeline.trainers import TrainingSet, Trial

Option = Callable[[str, Any], Any]


def with_options(candidate: Candidate, option: Option) -> Candidate:
    """Return a candidate whose values are what `option` makes of a name and a value.

    Ranges of a search stay: they hold no value of their own.
    """
    return candidate.model_copy(
        update={
            "options": {name: option(name, value) for name, value in candidate.options.items()},
            "search": {
                name: tuple(option(name, value) for value in values)
                if isinstance(values, tuple)
                else values
                for name, values in candidate.search.items()
            },
        }
    )


BY_CLASS = frozenset({"class_weight", "class_weights"})  # a mapping whose keys are classes
IN_ORDER = frozenset({"priors", "class_prior"})  # a number for each class, in order


def coded(candidate: Candidate, classes: Sequence[Label], *, place: str) -> Candidate:
    """Return a candidate whose options and search speak of codes; raises TrainingError."""

    def option(name: str, value: Any) -> Any:
        where = f"{place}.{name}"
        if name in BY_CLASS and isinstance(value, Mapping):
            return {_code(key, classes, where): weight for key, weight in value.items()}
        if name in IN_ORDER and value is not None:
            return ordered(value, classes, place=where)
        return value

    return with_options(candidate, option)


def checkable_classes(candidate: Candidate, *, place: str) -> Candidate:
    """Return a candidate as an estimator may look at it before classes are known.

    Raises TrainingError.
    """

    def option(name: str, value: Any) -> Any:
        if name in IN_ORDER and value is not None:
            return list(_by_class(value, f"{place}.{name}").values())
        return value

    return with_options(candidate, option)


def named(setting: Mapping[str, Any], classes: Sequence[Label]) -> dict[str, Any]:
    """Return the values of a search as they were declared."""

    def declared(name: str, value: Any) -> Any:
        if name in BY_CLASS and isinstance(value, Mapping):
            return {classes[code]: weight for code, weight in value.items()}
        if name in IN_ORDER and value is not None:
            return dict(zip(classes, value, strict=True))
        return value

    return {name: declared(name, value) for name, value in setting.items()}


def ordered(value: Any, classes: Sequence[Label], *, place: str) -> list[Any]:
    """Return a number for each class, in the order of their codes; raises TrainingError."""
    given = {_code(key, classes, place): number for key, number in _by_class(value, place).items()}
    if lost := [label for code, label in enumerate(classes) if code not in given]:
        raise TrainingError(f"{place} has nothing for the class {text_of(lost[0])!r}; add it")
    return [given[code] for code in range(len(classes))]


def _by_class(value: Any, place: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TrainingError(
            f"{place} is {value!r}, which depends on the order of the classes; give a number for "
            "each by its name, such as {no: 0.7, yes: 0.3}"
        )
    return value


def _code(key: Any, classes: Sequence[Label], place: str) -> int:
    texts = [text_of(label) for label in classes]
    if text_of(key) not in texts:
        raise TrainingError(
            f"{place} names the class {text_of(key)!r}; the classes are {', '.join(texts)}"
        )
    return texts.index(text_of(key))


DIRECTIONS = frozenset({"monotonic_cst", "monotone_constraints"})  # by feature: -1, 0 or 1
WEIGHTS = frozenset({"feature_weights"})  # by feature: a number
GROUPS = frozenset({"interaction_cst", "interaction_constraints"})  # lists of features
CHOSEN = frozenset({"categorical_features", "categorical_feature", "cat_features"})  # features
TYPES = frozenset({"feature_types", "feature_names"})
WORDS = {  # what an option may be beside features
    "interaction_cst": ("pairwise", "no_interactions"),
    "categorical_features": ("from_dtype",),
}
NAMED = DIRECTIONS | WEIGHTS | GROUPS | CHOSEN | TYPES
EXAMPLES = {
    **dict.fromkeys(DIRECTIONS, "{{{0}: 1}} (1 rises, -1 falls)"),
    **dict.fromkeys(WEIGHTS, "{{{0}: 2}}"),
    **dict.fromkeys(GROUPS, "[[{0}]]"),
    **dict.fromkeys(CHOSEN, "[{0}]"),
}
Pipe = Callable[[Candidate], Pipeline]


def names_columns(candidate: Candidate) -> bool:
    """Tell whether a candidate has an option, or searches one, that means columns."""
    return bool(NAMED & {*candidate.options, *candidate.search})


def checkable_columns(
    candidate: Candidate, features: Mapping[str, Feature], *, place: str
) -> Candidate:
    """Return a candidate without such options, which are looked at here; raises TrainingError."""
    for name, value in _values(candidate):
        _check(name, value, features, f"{place}.{name}")
    return _without(candidate)


def placed(candidate: Candidate, training: TrainingSet, build: Pipe, *, place: str) -> Candidate:
    """Return a candidate whose options speak of the columns that its estimator is given.

    `build` makes the pipeline of a candidate, whose steps are fitted to see which columns come out.
    Raises TrainingError for a position, an unknown feature, and one that has no column of its own.
    """
    checkable_columns(candidate, training.features, place=place)
    steps = build(_without(candidate))[:-1].fit(training.frame, training.target)
    columns = steps["columns"].sources()

    def option(name: str, value: Any) -> Any:
        return _placed(name, value, columns, f"{place}.{name}") if name in NAMED else value

    return with_options(candidate, option)


def as_declared(trial: Trial, declared: Candidate, placed: Candidate) -> Trial:
    """Return a trial whose settings are those of the declaration."""

    def value(name: str, tried: Any) -> Any:
        if name not in NAMED:
            return tried
        given, listed = declared.search[name], placed.search[name]
        assert isinstance(given, tuple) and isinstance(listed, tuple)  # a range holds no columns
        return given[listed.index(tried)]

    return Trial({name: value(name, each) for name, each in trial.hyperparameters.items()},
                 trial.folds)  # fmt: skip


def check_positions(step: Step, *, place: str) -> None:
    """Raise TrainingError where the steps of a ColumnTransformer name columns by position."""
    for each in step.options.get("transformers", ()):
        chosen = each[2] if isinstance(each, list | tuple) and len(each) == 3 else ()
        listed = chosen if isinstance(chosen, list | tuple) else [chosen]
        if wrong := [column for column in listed if not isinstance(column, str)]:
            raise TrainingError(
                f"{place}: {step.class_path} chooses the column {wrong[0]!r} by its position; give "
                "the names of features"
            )


def _values(candidate: Candidate) -> list[tuple[str, Any]]:
    searched = [
        (name, value)
        for name, values in candidate.search.items()
        for value in (values if isinstance(values, tuple) else [values])
    ]
    return [each for each in [*candidate.options.items(), *searched] if each[0] in NAMED]


def _without(candidate: Candidate) -> Candidate:
    def bare(declared: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in declared.items() if name not in NAMED}

    return candidate.model_copy(
        update={"options": bare(candidate.options), "search": bare(candidate.search)}
    )


def _check(name: str, value: Any, features: Mapping[str, Feature], place: str) -> None:
    """Raise TrainingError for what does not name features."""
    if name in TYPES:
        raise TrainingError(f"{place} is taken from the declared features; leave it out")
    if value is None or value in WORDS.get(name, ()):
        return
    example = EXAMPLES[name].format(next(iter(features)))
    if not _has_form(name, value):
        raise TrainingError(
            f"{place} is {value!r}, which depends on the order of columns; name the features, such "
            f"as {example}"
        )
    for feature in _features(name, value):
        if feature not in features:
            raise TrainingError(
                f"{place} names {feature!r}, which is no feature; there are {', '.join(features)}"
            )
        if name in DIRECTIONS and features[feature].kind.holds == "text" and value[feature]:
            raise TrainingError(
                f"{place}: {feature!r} is a category, which has no order; leave it out"
            )


def _has_form(name: str, value: Any) -> bool:
    if name in DIRECTIONS | WEIGHTS:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if name in CHOSEN:
        return _is_list_of_texts(value)
    return isinstance(value, list | tuple) and all(map(_is_list_of_texts, value))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _features(name: str, value: Any) -> list[str]:
    return [each for group in value for each in group] if name in GROUPS else list(value)


def _placed(name: str, value: Any, columns: Sequence[str], place: str) -> Any:
    """Return the value of an option by the positions of columns."""
    if value is None or isinstance(value, str):
        return value
    if lost := [feature for feature in _features(name, value) if feature not in columns]:
        raise TrainingError(
            f"{place} names {lost[0]!r}, which is no column of its own behind the preprocessors "
            "and `numbers`; take these away, or leave it out"
        )

    def positions(features: Sequence[str]) -> list[int]:
        return [at for at, column in enumerate(columns) if column in features]

    if name in DIRECTIONS | WEIGHTS:
        usual = 0 if name in DIRECTIONS else 1
        signs = [value.get(column, usual) for column in columns]
        return tuple(signs) if name == "monotone_constraints" else signs
    if name in CHOSEN:
        return positions(value)
    groups = [positions(group) for group in value]
    return json.dumps(groups) if name == "interaction_constraints" else groups
