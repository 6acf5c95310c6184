"""The pipeline as a DVC user knows it: repro, status, metrics, push, pull."""

import json
from pathlib import Path

from tests.checkout import Checkout

FIFTH = """
  bottles:
    source: {kind: library, dataset: wine, labels: cultivar}
    target: {name: cultivar, task: multiclass}
    features:
      alcohol: {type: number}
      flavanoids: {type: number}
      proline: {type: number}
    split: {test: 0.3}
    candidates:
      forest: {estimator: sklearn.ensemble.ExtraTreesClassifier, options: {n_estimators: 20}}
    search: {folds: 3}
    champion: {metric: accuracy}
    gate: {floor: {accuracy: 0.7}}
"""


def test_every_model_ends_with_an_artifact_a_signature_a_card_and_a_report(
    reproduced: Checkout,
) -> None:
    for name in ("flowers", "sugar"):
        folder = reproduced.root / "model" / name
        assert (folder / "artifact" / "model.onnx").is_file()
        signature = json.loads((folder / "signature.json").read_text())
        assert signature["verdict"]["passed"] and signature["runtime"] == "onnx"
        assert (folder / "card.md").read_text().startswith(f"# {name}")
        assert f"# {name} passed the gate" in (folder / "report.md").read_text()


def test_the_version_of_python_is_no_part_of_what_a_model_is(reproduced: Checkout) -> None:
    for signature in reproduced.bytes_of("model/*/signature.json").values():
        libraries = json.loads(signature)["lineage"]["libraries"]
        assert "numpy" in libraries and "python" not in libraries


def test_git_holds_the_contract_and_the_numbers_but_no_data_and_no_model(
    reproduced: Checkout,
) -> None:
    tracked = reproduced.run("git", "ls-files").stdout.split()
    assert {"dvc.lock", "model/flowers/signature.json", "model/flowers/metrics.json"} <= set(
        tracked
    )
    assert not [name for name in tracked if name.endswith((".parquet", ".pkl", ".onnx"))]


def test_a_finished_pipeline_is_up_to_date(reproduced: Checkout) -> None:
    assert "up to date" in reproduced.run("dvc", "status").stdout
    assert "Running stage" not in reproduced.run("dvc", "repro").stdout


def test_reproducing_by_force_gives_the_same_bytes(clone: Checkout) -> None:
    before = _made(clone)
    clone.run("dvc", "repro", "--force", "export@flowers")
    assert _made(clone) == before
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_a_second_clone_pulls_the_same_bytes(clone: Checkout, tmp_path: Path) -> None:
    clone.run("dvc", "push")
    clone.run("git", "clone", "--quiet", ".", str(tmp_path / "second"))
    second = Checkout(tmp_path / "second")
    storage = str(clone.root / ".dvc" / "storage")
    second.run("dvc", "remote", "modify", "--local", "local", "url", storage)
    second.run("dvc", "pull")
    assert "up to date" in second.run("dvc", "status").stdout
    for pattern in ("dataset/*/*", "model/*/artifact/*", "model/*/model.pkl"):
        assert second.bytes_of(pattern) == clone.bytes_of(pattern)


def test_editing_a_description_trains_nothing_again(clone: Checkout) -> None:
    clone.change("  sugar:\n", "  sugar:\n    description: How far will it have gone?\n")
    said = clone.run("dvc", "repro").stdout
    assert {line for line in said.splitlines() if "Running stage" in line} == {
        f"Running stage '{stage}':"
        for stage in ("digest", "evaluate@sugar", "gate@sugar", "export@sugar")
    }


def test_a_new_model_is_one_block_of_params(clone: Checkout) -> None:
    path = clone.root / "params.yaml"
    path.write_text(path.read_text() + FIFTH)
    said = clone.run("dvc", "repro").stdout
    assert {line for line in said.splitlines() if "Running stage" in line} == {
        "Running stage 'digest':",
        *(
            f"Running stage '{stage}@bottles':"
            for stage in ("collect", "prepare", "train", "evaluate", "gate", "export")
        ),
    }
    assert (clone.root / "model/bottles/artifact/model.onnx").is_file()


def test_metrics_and_plots_are_those_of_dvc(clone: Checkout) -> None:
    assert "log_loss" in clone.run("dvc", "metrics", "show").stdout
    clone.change("alpha: 0.1", "alpha: 10")
    clone.run("dvc", "repro", "evaluate@sugar")
    said = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout)
    assert "rmse" in said["model/sugar/metrics.json"]
    clone.run("dvc", "plots", "show")
    assert "roc" in (clone.root / "dvc_plots" / "index.html").read_text()


def _made(clone: Checkout) -> dict[str, bytes]:
    made = (
        clone.bytes_of("dataset/**/*") | clone.bytes_of("model/**/*") | clone.bytes_of("dvc.lock")
    )
    return {name: content for name, content in made.items() if not name.endswith("seconds.json")}
