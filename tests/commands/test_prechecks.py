"""What a valid declaration names and is not there is told before anything runs, with its place."""

from pathlib import Path

import pytest

from tests.checkout import PARAMS, ROOT
from treeline.commands.params import mistakes
from treeline.config import Params, read_params
from treeline.errors import ConfigError

LOGISTIC = "logistic: {estimator: sklearn.linear_model.LogisticRegression}"
RIDGE = "ridge: {estimator: sklearn.linear_model.Ridge, options: {alpha: 0.1}}"
IRIS = "{kind: library, dataset: iris, labels: species}"
DECLARATIONS = [ROOT / "params.yaml", *ROOT.glob("examples/*/params.yaml")]
DROP = "treeline.trainers.preprocessors.DropColumns"
HERE = "models.flowers.candidates.logistic"


def declared(old: str, new: str, folder: Path) -> Params:
    assert old in PARAMS
    path = folder / "params.yaml"
    path.write_text(PARAMS.replace(old, new, 1), encoding="utf-8")
    return read_params(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("LogisticRegression}", "LogisticRegresion}", [f"{HERE}.estimator", "cannot be imported"]),
        (LOGISTIC, "logistic: {estimator: sklern.svm.SVC}", [f"{HERE}.estimator", "'sklern'"]),
        (LOGISTIC, "logistic: {estimator: LogisticRegression}", [f"{HERE}.estimator", "dotted"]),
        (
            LOGISTIC,
            "logistic: {estimator: sklearn.base.clone}",
            [f"{HERE}.estimator", "no", "class"],
        ),
        (
            LOGISTIC,
            "logistic: {estimator: sklearn.naive_bayes.GaussianNB, options: {priors: [1, 0, 0]}}",
            [f"{HERE}.priors is [1, 0, 0], which depends on the order of the classes"],
        ),
        (
            "{alpha: 0.1}",
            "{alfa: 0.1}",
            ["models.sugar.candidates.ridge.estimator", "'alfa'", "it takes alpha"],
        ),
        ("{alpha: 0.1}", "{alpha: -1}", ["models.sugar.candidates.ridge.options", "'alpha'", "-1"]),
        (
            "{alpha: 0.1}",
            "{alpha: much}",
            ["models.sugar.candidates.ridge.options", "'alpha'", "'much'"],
        ),
        (
            "{alpha: 0.1}}",
            "{}, search: {alfa: [1]}}",
            ["models.sugar.candidates.ridge.search.alfa", "takes no 'alfa'"],
        ),
        (
            "{alpha: 0.1}}",
            "{}, search: {alpha: [1, -1]}}",
            ["models.sugar.candidates.ridge.search.alpha", "-1"],
        ),
        (
            LOGISTIC,
            LOGISTIC[:-1] + ", numbers: sklearn.preprocessing.StandartScaler}",
            [f"{HERE}.numbers", "cannot be imported"],
        ),
        (
            LOGISTIC,
            LOGISTIC[:-1] + f", preprocessors: {DROP}}}",
            [f"{HERE}.preprocessors", "'columns'"],
        ),
        (
            LOGISTIC,
            f"{LOGISTIC[:-1]}, preprocessors: {{class: {DROP}, options: {{columns: [ash]}}}}}}",
            [f"{HERE}.preprocessors", "'ash' is no column", "petal width (cm)"],
        ),
        (
            LOGISTIC,
            LOGISTIC[:-1] + ", trainer: scikit}",
            [f"{HERE}.trainer", "'scikit' is not known"],
        ),
        (
            "petal width (cm):",
            "petal widthx (cm):",
            ["models.flowers.source", "no column 'petal widthx (cm)'", "'petal width (cm)'"],
        ),
        ("dataset: iris", "dataset: irises", ["models.flowers.source", "'irises' is not known"]),
        (
            IRIS,
            "{kind: simulate, simulator: birds, rows: 9}",
            ["models.flowers.source", "'birds' is not known"],
        ),
        (
            IRIS,
            "{kind: simulate, simulator: penguins, rows: 9}",
            ["models.flowers.source", "no column 'petal length (cm)'"],
        ),
        (
            IRIS,
            "{kind: file, path: dataset/sources/file/none.csv}",
            ["models.flowers.source", "dataset/sources/file/none.csv"],
        ),
    ],
)
def test_one_mistake_is_told_once_with_its_place(
    old: str, new: str, told: list[str], tmp_path: Path
) -> None:
    [text] = mistakes(declared(old, new, tmp_path))
    assert text.startswith(told[0])
    assert [word for word in told if word not in text] == []


def test_an_estimator_that_spark_does_not_have_is_told_with_or_without_spark(
    tmp_path: Path,
) -> None:
    found = mistakes(declared(LOGISTIC, LOGISTIC[:-1] + ", trainer: spark}", tmp_path))
    assert found[-1].startswith(f"{HERE}.estimator: ")
    assert "no estimator of Spark's" in found[-1]


def test_a_column_that_the_file_lacks_is_told_from_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = Path("dataset/sources/file/flowers.csv")
    table.parent.mkdir(parents=True)
    table.write_text("petal length (cm),species\n1.4,setosa\n", encoding="utf-8")
    params = declared(IRIS, f"{{kind: file, path: {table}}}", tmp_path)
    [text] = mistakes(params)
    assert text.startswith("models.flowers.source: ")
    assert "no column 'petal width (cm)'; it has 'petal length (cm)', 'species'" in text


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = PARAMS.replace("LogisticRegression", "Logistic").replace("alpha", "alfa")
    path.write_text(text.replace("bmi", "bmx"), encoding="utf-8")
    places = [mistake.partition(": ")[0] for mistake in mistakes(read_params(path))]
    assert places == [
        f"{HERE}.estimator", "models.sugar.source", "models.sugar.candidates.ridge.estimator",
    ]  # fmt: skip


@pytest.mark.parametrize("path", DECLARATIONS, ids=lambda path: path.parent.name)
def test_the_declarations_of_the_repository_have_no_mistakes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found = mistakes(read_params(path))
    assert [text for text in found if "make setup" not in text] == []  # an engine may be missing


def test_a_good_declaration_has_no_mistakes(tmp_path: Path) -> None:
    assert mistakes(declared("iris", "iris", tmp_path)) == []


def test_numbers_by_the_names_of_classes_are_no_mistake(tmp_path: Path) -> None:
    priors = "{setosa: 0.2, versicolor: 0.3, virginica: 0.5}"
    named = (
        "logistic: {estimator: sklearn.naive_bayes.GaussianNB, "
        f"options: {{priors: {priors}}}, search: {{priors: [{priors}]}}}}"
    )
    assert mistakes(declared(LOGISTIC, named, tmp_path)) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{petal length (cm): 1}", ""),
        ("[0, 1, 0, 0]", "depends on the order of columns; name the features"),
        ("{petal: 1}", "names 'petal', which is no feature"),
    ],
)
@pytest.mark.parametrize(
    "block", ["options: {{monotonic_cst: {0}}}", "search: {{monotonic_cst: [{0}]}}"]
)
def test_columns_are_named(tmp_path: Path, value: str, told: str, block: str) -> None:
    tree = f"logistic: {{estimator: sklearn.tree.DecisionTreeClassifier, {block.format(value)}}}"
    found = mistakes(declared(LOGISTIC, tree, tmp_path))
    assert len(found) == bool(told) and told in "".join(found)


def test_the_grammar_knows_the_metrics(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no metric of a multiclass target; choose from accuracy"):
        declared("{metric: log_loss}", "{metric: logloss}", tmp_path)
