"""`import treeline`: the stages' own code on frames, and artifacts that predict frames."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import treeline
from tests.conftest import Project
from tests.stages import made
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model
from treeline.artifact.store import ArtifactStore
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError, ConfigError, DataError, ExportError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "library.md"
LIGHT = """
import sys
import treeline
names = sorted(each for each in dir(treeline) if each in treeline.__all__)
print(*names)
print(*{name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))
"""


@pytest.fixture
def declared(project: Project) -> treeline.Declaration:
    return treeline.declared(project.name)


def test_importing_the_package_imports_no_other() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{LIGHT}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names, imported = done.stdout.splitlines()
    assert names.split() == sorted(treeline.__all__)
    assert sorted(imported.split()) == ["__main__", "treeline"]


def test_every_name_is_there_and_none_is_that_of_a_module() -> None:
    """A module of the package would take the place of the name once it is imported."""
    package = Path(treeline.__file__).parent
    modules = {path.stem for path in package.iterdir()}
    for name in treeline.__all__:
        assert getattr(treeline, name).__name__ == name
        assert name not in modules
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = treeline.nothing


def test_the_library_makes_what_the_stages_make(
    project: Project, declared: treeline.Declaration
) -> None:
    by_stages = made(project)
    judged = treeline.evaluate(treeline.train(treeline.prepare(declared)))
    exported = judged.export("build", default=True)
    assert exported.signature == by_stages
    assert judged.report == project.paths.report.read_text()
    ours, theirs = (Path("build") / project.name, project.paths.model)
    for name in ("signature.json", "card.md", "artifact/model.onnx"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_nothing_is_left_behind_or_written_beside(
    project: Project, declared: treeline.Declaration
) -> None:
    before = sorted(project.root.rglob("*"))
    prepared = treeline.prepare(declared)
    trained = treeline.train(prepared)
    folders = [prepared.paths.root, trained.paths.root]
    del prepared
    assert trained.candidates.index.tolist() == ["baseline", "logistic"]
    assert trained.prepared.train.shape[0] > 0
    del trained
    assert [folder.exists() for folder in folders] == [False, False]
    assert sorted(project.root.rglob("*")) == before


def test_a_frame_of_any_index_and_types_is_prepared_as_the_file_that_it_was_read_from(
    project: Project, declared: treeline.Declaration
) -> None:
    frame = pd.read_csv("dataset/sources/file/seedlings.csv")
    frame = frame.astype({"Species": "category"}).set_index(np.arange(len(frame)) + 7)
    of_frame, of_file = treeline.prepare(declared, frame), treeline.prepare(declared)
    pd.testing.assert_frame_equal(of_frame.train, of_file.train)
    pd.testing.assert_frame_equal(of_frame.test, of_file.test)
    assert of_frame.summary == of_file.summary


def test_rows_that_break_the_declaration_are_named(declared: treeline.Declaration) -> None:
    frame = treeline.collect(declared)
    frame.loc[3, "Light"] = "7"
    with pytest.raises(DataError, match="Light"):
        treeline.prepare(declared, frame)
    with pytest.raises(DataError, match=r"the frame cannot be read.*Light"):
        treeline.prepare(declared, frame.astype({"Light": object}).assign(Light=[1, "a"] * 60))


def test_a_step_after_preparing_can_be_changed_and_one_before_cannot(
    declared: treeline.Declaration,
) -> None:
    prepared = treeline.prepare(declared)
    stump = {"estimator": "sklearn.tree.DecisionTreeClassifier", "options": {"max_depth": 1}}
    trained = treeline.train(prepared, candidates={"stump": stump})
    assert trained.champion == "stump"
    assert trained.prepared is prepared
    with pytest.raises(ConfigError, match=r"^split: changes the prepared rows"):
        treeline.train(prepared, split={"test": 0.5})
    with pytest.raises(ConfigError, match=r"models.seedlings.search.*luck"):
        treeline.train(prepared, search={"strategy": "luck"})


def test_what_the_gate_refuses_is_judged_and_not_exported(declared: treeline.Declaration) -> None:
    strict = declared.changed(gate={"ceiling": {"roc_auc": 0.9}, "beats": None})
    judged = treeline.evaluate(treeline.train(treeline.prepare(strict)))
    assert not judged.passed
    assert judged._repr_markdown_().startswith("# seedlings was refused")
    with pytest.raises(ExportError, match="the gate refused this model"):
        judged.export("build")


def test_an_export_takes_no_place_of_what_the_pipeline_made(
    project: Project, declared: treeline.Declaration
) -> None:
    judged = treeline.evaluate(treeline.train(treeline.prepare(declared)))
    project.paths.model.mkdir(parents=True)
    project.paths.estimator.write_bytes(b"")
    with pytest.raises(ExportError, match=r"model.pkl.*give another folder"):
        judged.export("model")
    first, second = judged.export("build"), judged.export("build")
    assert first.version == second.version


def test_two_models_are_compared_on_the_same_test_rows(declared: treeline.Declaration) -> None:
    prepared = treeline.prepare(declared)
    trained = treeline.train(prepared)
    artifact = treeline.evaluate(trained).export("build")
    same = treeline.compare(trained, artifact, prepared)
    assert same.comparison["rows"] == len(prepared.test)
    assert "learnt" not in same.report
    assert treeline.compare(artifact, artifact, prepared).verdict.passed
    others = treeline.prepare(declared.changed(split={"test": 0.4, "group": "Plot", "seed": 5}))
    apart = treeline.compare(treeline.train(others), artifact, prepared)
    assert "what the candidate learnt from is not known" in apart.report
    assert apart.comparison["candidate"].keys() == apart.comparison["incumbent"].keys()


def seedlings() -> pd.DataFrame:
    """Return rows that the survival model admits, some without the values that may be missing."""
    number, species = np.arange(40), SURVIVAL.features["Species"].categories
    return pd.DataFrame(
        {
            "Species": pd.Categorical([species[each % 4] for each in number]),
            "Light_ISF": number / 40,
            "EMF": np.where(number % 3, number, np.nan),
            "Leaves": number,
            "Sterile": number % 2 == 0,
            "Remark": "of no concern",
        },
        index=[f"row-{each}" for each in number],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for recipe in (SURVIVAL, IRIS, DIABETES):
        write_model(tmp_path / "model", recipe)
    return tmp_path / "model"


def test_an_artifact_answers_a_frame_as_it_answers_records(folder: Path) -> None:
    frame = seedlings()
    answers = treeline.Artifact.load(folder / "tree-survival").predict(frame, keep=["Remark"])
    assert answers.columns.tolist() == ["Remark", "prediction", "probability"]
    assert answers.index.tolist() == frame.index.tolist()
    model = ArtifactStore(folder).load("tree-survival")
    records: list[Any] = [
        {name: None if pd.isna(value) else value for name, value in record.items()}
        for record in frame.to_dict("records")
    ]
    expected = model.runtime.predict(model.encoder.matrix(records))
    assert expected.labels is not None and expected.scores is not None
    assert answers["prediction"].tolist() == expected.labels.tolist()
    assert answers["probability"].tolist() == expected.scores[:, 1].tolist()


def test_several_classes_and_values_have_the_columns_of_a_scored_table(folder: Path) -> None:
    flowers = pd.DataFrame([IRIS.example] * 2)
    columns = treeline.Artifact.load(folder / "iris").predict(flowers).columns.tolist()
    assert columns[:2] == ["prediction", "probability"]
    assert columns[2:] == [f"probability_{name}" for name in IRIS.classes]
    people = pd.DataFrame([DIABETES.example])
    assert treeline.Artifact.load(folder / "diabetes").predict(people).dtypes.to_dict() == {
        "prediction": np.dtype("float64")
    }


def test_no_rows_have_no_answers(folder: Path) -> None:
    answers = treeline.Artifact.load(folder / "tree-survival").predict(seedlings().head(0))
    assert answers.columns.tolist() == ["prediction", "probability"]
    assert len(answers) == 0


def test_bad_rows_are_named_by_their_index_or_reported(folder: Path) -> None:
    artifact, frame = treeline.Artifact.load(folder / "tree-survival"), seedlings()
    frame.loc["row-3", "Light_ISF"] = 7
    frame.loc["row-9", "Leaves"] = -1
    with pytest.raises(DataError, match=r"2 of 40 rows are bad\nrow row-3: Light_ISF: 7.0"):
        artifact.predict(frame)
    reported = artifact.predict(frame, bad_rows="report")
    assert reported.index[reported["error"].notna()].tolist() == ["row-3", "row-9"]
    assert reported["prediction"].isna().sum() == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="Light_ISF"), "no column 'Light_ISF'"),
        (lambda frame: frame.assign(Sterile="often"), "Sterile"),
        (lambda frame: frame[["Leaves", *frame.columns]], "Duplicate"),
        (lambda frame: frame.rename(columns={"Leaves": "leaves"}), "no column 'Leaves'.*'leaves'"),
        (lambda frame: frame.to_dict("records"), "a list is no frame of pandas"),
    ],
)
def test_a_frame_that_cannot_be_asked_is_refused_in_words(
    folder: Path, change: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        treeline.Artifact.load(folder / "tree-survival").predict(change(seedlings()))


def test_columns_that_are_no_features_are_let_be(folder: Path) -> None:
    artifact, frame = treeline.Artifact.load(folder / "tree-survival"), seedlings()
    beside = pd.Series([[1], {}, "a", 2.5] * 10, frame.index, name="Notes")
    more = pd.concat([frame, beside, frame["Remark"]], axis=1)
    assert artifact.predict(more).equals(artifact.predict(frame))


@pytest.mark.parametrize("name", ["My model", "../elsewhere", ""])
def test_a_name_that_no_model_can_have_is_declared_nowhere(
    name: str, declared: treeline.Declaration
) -> None:
    with pytest.raises(ConfigError, match="names no model: a name is made of lowercase"):
        treeline.Declaration.of(name, declared.block)


def test_what_runs_code_as_it_opens_must_be_admitted(folder: Path) -> None:
    path = folder / "iris" / "signature.json"
    document = json.loads(path.read_text()) | {"runtime": "pickle"}
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactRejectedError, match=r"admit=\['pickle'\]"):
        treeline.Artifact.load(folder / "iris")


def test_a_draft_is_a_declaration_that_trains(tmp_path: Path) -> None:
    number = np.arange(200)
    frame = pd.DataFrame(
        {
            "id": number,
            "months": (number * 7) % 60,
            "plan": np.where(number % 3, "basic", "plus"),
            "left": np.where((number * 7) % 60 + (number * 13) % 31 > 45, "yes", "no"),
        }
    )
    drafted = treeline.draft(frame, "left", name="churn", leave_out=("id",))
    assert set(drafted.spec.features) == {"months", "plan"}
    small = drafted.changed(
        candidates={"tree": {"estimator": "sklearn.tree.DecisionTreeClassifier"}},
        search={"folds": 2},
    )
    trained = treeline.train(treeline.prepare(small, frame))
    assert trained.candidates["accuracy"]["tree"] > 0.7
    with pytest.raises(DataError, match="'price' holds numbers that are written as texts"):
        treeline.draft(frame.assign(price=[f"{each} €" for each in number]), "left")


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        ({"tsk": "binary"}, "'tsk' is no hint; give some of encoding, delimiter"),
        ({"task": "binry"}, "task: should be 'binary', 'multiclass' or 'regression'"),
        ({"missing": "NA"}, "missing: should be a list"),
        ({"decimal": "."}, "decimal: should be 'point' or 'comma'"),
    ],
)
def test_a_hint_that_is_none_is_named(hints: dict[str, Any], said: str) -> None:
    frame = pd.DataFrame({"a": range(60), "left": [0, 1] * 30})
    with pytest.raises(ConfigError) as error:
        treeline.draft(frame, "left", **hints)
    assert said in str(error.value)


def test_the_positive_class_may_be_a_number() -> None:
    frame = pd.DataFrame({"a": np.arange(60) % 7, "left": [0, 1] * 30})
    assert treeline.draft(frame, "left", positive=0).spec.target.positive == 0


def test_the_examples_of_the_page_run_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) > 5
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert names["judged"].passed
    assert Signature.read(Path("build/models/iris/signature.json")) == names["artifact"].signature
    assert names["reported"]["error"].notna().sum() == 1
    assert names["compared"].comparison["rows"] == len(names["prepared"].test)


def test_the_pages_name_everything_that_the_package_has() -> None:
    pages = [PAGE, PAGE.with_name("clients.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert set(re.findall(r"treeline\.([A-Za-z]\w*)", text)) >= set(treeline.__all__)


def test_reading_a_declaration_gives_every_model_by_name(project: Project) -> None:
    assert list(treeline.read()) == [project.name]
    with pytest.raises(ConfigError, match="declared are seedlings"):
        treeline.declared("nothing")
