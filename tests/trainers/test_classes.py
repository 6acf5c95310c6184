"""Options that name classes name those of the data, however these are coded for an estimator."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from treeline.config.models import ModelSpec
from treeline.contract.features import Label
from treeline.errors import TrainingError
from treeline.trainers.contest import contest, record, training_set

ROWS = 400
PLACE = "models.m.candidates.one"
LOGISTIC = "sklearn.linear_model.LogisticRegression"
DISCRIMINANT = "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"


def trained(classes: list[Label], estimator: str, *, positive: Any = None, **declared: Any) -> Any:
    """Return the champion on rows of which every fourth is of the last class, and its record."""
    rng = np.random.default_rng(5)
    last = np.arange(ROWS) % 4 == 0
    rows = pd.DataFrame({"x": rng.normal(size=ROWS) + last, "t": np.where(last, 1, 0)})
    rows["t"] = rows["t"].map(dict(enumerate(classes))).astype("object")
    spec = ModelSpec.model_validate(
        {
            "source": {"kind": "library", "dataset": "iris"},
            "target": {"name": "t", "task": "binary", "positive": positive},
            "features": {"x": {"type": "number"}},
            "split": {},
            "candidates": {"one": {"estimator": estimator, **declared}},
            "search": {"folds": 3},
            "champion": {"metric": "roc_auc"},
            "gate": {},
        }
    )
    held = contest(
        training_set(rows, spec, list(classes)), spec, place="models.m", report=lambda *_: None
    )
    return held.fitted["one"].estimator, record(held)["candidates"]["one"], rows


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        ([1, 0], {0: 20, 1: 1}),
        ([0, 1], {0: 1, 1: 20}),
        (["no", "yes"], {"no": 1, "yes": 20}),
        (["0", "1"], {0: 1, 1: 20}),
        ([False, True], {False: 1, True: 20}),
        ([0.5, 1.5], {0.5: 1, 1.5: 20}),
    ],
    ids=["turned", "numbers", "texts", "digits", "truths", "decimals"],
)
@pytest.mark.parametrize("searched", [False, True], ids=["declared", "searched"])
def test_weights_are_those_of_the_classes_that_they_name(
    classes: list[Label], named: dict[Any, float], searched: bool
) -> None:
    given: dict[str, Any] = {"options": {"class_weight": named}}
    if searched:
        given = {"search": {"class_weight": [named]}}
    fitted, found, rows = trained(classes, LOGISTIC, positive=classes[1], **given)
    expected = LogisticRegression(class_weight={0: 1, 1: 20}, random_state=0)
    codes = (rows["t"] == classes[1]).to_numpy().astype(int)
    expected.fit(rows[["x"]].to_numpy(np.float32), codes)
    frame = rows[["x"]].astype("float32")
    np.testing.assert_allclose(
        fitted.predict_proba(frame), expected.predict_proba(frame.to_numpy()), rtol=1e-4
    )
    assert {str(key).lower() for key in found["hyperparameters"]["class_weight"]} == {
        str(key).lower() for key in named
    }


def test_priors_are_given_by_class_and_come_in_the_order_of_codes() -> None:
    priors = {"yes": 0.9, "no": 0.1}
    fitted, found, rows = trained(
        ["no", "yes"], DISCRIMINANT, positive="yes", search={"priors": [priors, None]}
    )
    assert found["trials"][0]["hyperparameters"]["priors"] == priors
    assert found["trials"][1]["hyperparameters"]["priors"] is None
    if found["hyperparameters"]["priors"] is not None:
        assert list(fitted[-1].priors) == [0.1, 0.9]
    alone, _, _ = trained(["no", "yes"], DISCRIMINANT, positive="yes", options={"priors": priors})
    codes = (rows["t"] == "yes").to_numpy().astype(int)
    expected = LinearDiscriminantAnalysis(priors=[0.1, 0.9])
    expected.fit(rows[["x"]].to_numpy(np.float32), codes)
    frame = rows[["x"]].astype("float32")
    np.testing.assert_allclose(
        alone.predict_proba(frame), expected.predict_proba(frame.to_numpy()), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weight": {"maybe": 2}}, f"{PLACE}.class_weight names the class 'maybe'"),
        ({"class_weight": {0: 2}}, "the classes are no, yes"),
        ({"priors": [0.5, 0.5]}, f"{PLACE}.priors is [0.5, 0.5], which depends on the order"),
        ({"priors": {"no": 0.5}}, f"{PLACE}.priors has nothing for the class 'yes'; add it"),
    ],
)
def test_an_unknown_class_is_refused_with_those_there_are(
    options: dict[str, Any], message: str
) -> None:
    estimator = DISCRIMINANT if "priors" in options else LOGISTIC
    with pytest.raises(TrainingError) as error:
        trained(["no", "yes"], estimator, positive="yes", options=options)
    assert message in str(error.value)


def test_a_word_for_all_classes_stays_as_it_is() -> None:
    _, found, _ = trained(
        ["no", "yes"], LOGISTIC, positive="yes", options={"class_weight": "balanced"}
    )
    assert found["hyperparameters"]["class_weight"] == "balanced"
