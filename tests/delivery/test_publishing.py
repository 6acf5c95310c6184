"""Publishing: data in the remote first, then the commit, then the release; or nothing at all."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.checkout import ROOT
from tests.delivery.forge import Forge, behind_password, declared
from tests.signed import key_pair
from treeline.delivery import notes
from treeline.delivery.notes import Compared, Contest, Failure, Reproduced
from treeline.delivery.publishing import INPUTS, message_of, publish
from treeline.delivery.releasing import OUTPUTS, SHIPPED
from treeline.errors import PublishingError, SigningError, StorageError
from treeline.signing import STATEMENT_FILE, verifying_function

TOKEN = "ghs_7f3cTheTokenOfTheRun"
PROTECTED = """\
#!/bin/sh
while read old new ref; do
    case "$ref" in refs/heads/main)
        echo "error: GH006: Protected branch update failed for refs/heads/main." >&2; exit 1;;
    esac
done
"""


def hook(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def subjects(forge: Forge, branch: str = "main") -> list[str]:
    return forge.ask("log", "--format=%s", branch).splitlines()


def test_what_was_trained_is_stored_committed_and_released(trained: Forge) -> None:
    tested = trained.tip()
    published = publish(reason="for a test")
    assert (published.changed, published.released, published.note) == (True, True, "")
    assert published.commit == trained.tip()
    assert trained.ask("rev-parse", "main^") == tested
    assert trained.stored() == ["flowers 1", "sugar 2"]
    assert trained.released() == {
        "commit": published.commit,
        "models": {"flowers": "flowers-1", "sugar": "sugar-2"},
        "passed": dict.fromkeys(["flowers", "sugar"], published.commit),
    }
    assert trained.clone.run("git", "status", "--porcelain").stdout == ""


def test_a_release_is_signed_with_the_digests_of_its_contracts_artifacts_and_comparisons(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_pair()
    monkeypatch.setenv("SIGNING_KEY", key.private)
    compared = {"flowers": Contest(good=True, version="flowers-1", reason="")}
    notes.write(Compared("abc", accepted=False, models=compared))
    (trained.clone.root / "model/flowers/comparison.json").write_text("{}")
    publish(reason="")
    envelope = trained.ask("show", f"released:{STATEMENT_FILE}").encode()
    verify = verifying_function(place="a test")
    statement = verify(envelope, key.public, place="released", now=datetime.now(UTC))
    assert statement.content == trained.released()
    contract = trained.ask("show", "main:model/sugar/signature.json")
    assert statement.digests["model/sugar/signature.json"] == sha256(contract.encode()).hexdigest()
    assert statement.digests["model/flowers/comparison.json"] == sha256(b"{}").hexdigest()
    artifact = json.loads(contract)["files"]
    assert {f"model/sugar/{file}": digest for file, digest in artifact.items()}.items() <= (
        statement.digests.items()
    )


def test_a_release_is_signed_anew_where_another_key_is_set_up(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody could take the former key away before something else is released."""
    verify = verifying_function(place="a test")
    for key in (key_pair(), key_pair()):
        monkeypatch.setenv("SIGNING_KEY", key.private)
        published = publish(reason="")
        assert (published.changed, published.released) == (False, True)
        forge.clone.run("git", "fetch", "--quiet", "origin")
        envelope = forge.ask("show", f"released:{STATEMENT_FILE}").encode()
        statement = verify(envelope, key.public, place="released", now=datetime.now(UTC))
        assert statement.content == forge.released()
    assert not publish(reason="").released, "once is enough"
    assert len(subjects(forge, "released")) == 2


def test_a_release_that_cannot_be_signed_is_not_published(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trained.tip()
    monkeypatch.setenv("SIGNING_KEY", "no key at all")
    with pytest.raises(SigningError, match="SIGNING_KEY: is neither a private key"):
        publish(reason="")
    assert trained.tip() == before
    assert trained.branches() == ["main"]


def test_a_persons_commit_is_their_own_starts_a_run_and_holds_nothing_but_outputs(
    trained: Forge,
) -> None:
    (trained.clone.root / "README.md").write_text("Half a thought\n")
    (trained.clone.root / "notes.txt").write_text("More of it\n")
    publish(reason="")
    told = trained.ask("log", "-1", "--format=%an, %cn: %B", "main")
    assert told == "A person, A person: Train sugar"
    files = trained.ask("show", "--name-only", "--format=", "main").split()
    assert files == ["dvc.lock", "model/dvc.yaml", "model/sugar/signature.json"]


def test_in_github_actions_the_bot_commits_says_which_models_and_why_and_starts_no_run(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_RUN_ID", "4711")
    publish(reason="the source\nhas new rows\n\n[forged] line")
    assert trained.ask("log", "-1", "--format=%B", "main") == (
        "Train sugar [skip ci]\n\nReason: the source has new rows [forged] line\nRun: 4711"
    )
    bot = "github-actions[bot] github-actions[bot]"
    for branch in ("main", "released"):
        assert trained.ask("log", "-1", "--format=%an %cn", branch) == bot


@pytest.mark.usefixtures("unreachable")
def test_nothing_is_committed_when_the_remote_cannot_be_reached(trained: Forge) -> None:
    before = trained.tip()
    with pytest.raises(StorageError, match=r"`shared` cannot be pushed to: .*127\.0\.0\.1:9"):
        publish(reason="")
    assert trained.tip() == before == trained.clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert trained.branches() == ["main"]


def test_the_data_are_in_the_remote_before_the_commit_is_in_git(trained: Forge) -> None:
    seen = trained.root / "seen"
    hook(
        trained.origin / "hooks/pre-receive",
        f'#!/bin/sh\ncat "{trained.remote}"/*/*/*/* > "{seen}"\n',
    )
    publish(reason="")
    assert "sugar 2" in seen.read_text()


def test_an_output_that_is_nowhere_is_told_and_nothing_is_committed(trained: Forge) -> None:
    before = trained.tip()
    trained.clone.run("rm", "-rf", ".dvc/cache", "model/flowers/artifact")
    with pytest.raises(StorageError, match="lacks model/flowers/artifact"):
        publish(reason="")
    assert trained.tip() == before


def test_without_a_shared_remote_nothing_is_written_back(trained: Forge) -> None:
    (trained.clone.root / ".dvc/config.local").unlink()
    before = trained.tip()
    published = publish(reason="")
    assert published.commit is None and not published.changed and not published.released
    assert "docs/workflows.md" in published.note
    assert trained.tip() == before


def test_models_that_did_not_change_are_released_when_nothing_was(forge: Forge) -> None:
    before = forge.tip()
    published = publish(reason="")
    assert (published.commit, published.changed, published.released) == (before, False, True)
    assert forge.tip() == before == forge.released()["commit"]


def test_what_is_released_already_is_not_released_again(forge: Forge) -> None:
    publish(reason="")
    forge.clone.run("git", "fetch", "--quiet", "origin")
    again = publish(reason="")
    assert not again.changed and not again.released
    assert "nothing to deploy" in again.note
    assert len(subjects(forge, "released")) == 1


def test_a_readme_pushed_meanwhile_stays_and_its_own_run_deploys(trained: Forge) -> None:
    theirs = trained.somebody_pushes("README.md", "A forest, described\n")
    published = publish(reason="")
    assert published.commit == trained.tip()
    assert trained.ask("rev-parse", "main^") == theirs
    assert published.changed and not published.released
    assert "moved on" in published.note
    assert trained.branches() == ["main"]


def test_params_pushed_meanwhile_leave_everything_to_their_own_run(trained: Forge) -> None:
    params = (trained.clone.root / "params.yaml").read_text()
    theirs = trained.somebody_pushes("params.yaml", declared(params, "flowers", 7))
    published = publish(reason="")
    assert published.commit is None and not published.changed and not published.released
    assert theirs[:12] in published.note and "Its own run trains" in published.note
    assert trained.tip() == theirs


def test_the_same_models_pushed_meanwhile_need_no_second_commit(trained: Forge) -> None:
    changed = ("dvc.lock", "model/dvc.yaml", "model/sugar/signature.json")
    for name in changed:
        text = (trained.clone.root / name).read_text()
        theirs = trained.somebody_pushes(name, text)
    published = publish(reason="")
    assert (published.commit, published.changed, published.released) == (theirs, False, True)
    assert trained.tip() == theirs == trained.released()["commit"]


def test_other_models_pushed_meanwhile_are_told_and_no_rebase_is_left_half_done(
    trained: Forge,
) -> None:
    lock = (trained.clone.root / "dvc.lock").read_text()
    theirs = trained.somebody_pushes("dvc.lock", re.sub("md5: [0-9a-f]{8}", "md5: 00000000", lock))
    with pytest.raises(PublishingError, match=f"{theirs[:12]}.*Run the training again"):
        publish(reason="")
    assert trained.tip() == theirs
    state = trained.clone.run("git", "status").stdout
    assert "rebase" not in state and "On branch main" in state


def test_a_protected_main_is_told_with_the_page_that_helps(trained: Forge) -> None:
    before = trained.tip()
    hook(trained.origin / "hooks/pre-receive", PROTECTED)
    with pytest.raises(PublishingError) as told:
        publish(reason="")
    assert "docs/workflows.md, `Protected branches`" in str(told.value)
    assert "GH006" in str(told.value) and "TRAIN_BY=pull-request" in str(told.value)
    assert trained.tip() == before
    assert trained.branches() == ["main"], "the release went without its commit"


def test_a_push_refused_for_another_reason_is_told_at_once(trained: Forge) -> None:
    hook(trained.origin / "hooks/pre-receive", "#!/bin/sh\necho 'the disk is full' >&2; exit 1\n")
    with pytest.raises(PublishingError, match=r"(?s)to main was refused.*the disk is full"):
        publish(reason="")


def racing(forge: Forge, *, times: int) -> None:
    """Let somebody push a README just before each of the next pushes of the clone arrives."""
    hook(
        forge.clone.root / ".git/hooks/pre-push",
        f"""#!/bin/sh
        cd "{forge.other.root}"
        unset $(git rev-parse --local-env-vars)
        git pull --quiet --rebase origin main
        [ "$(wc -l < README.md)" -gt {times} ] && exit 0
        echo 'one line more' >> README.md
        git commit --quiet --all --message 'One line more' && git push --quiet origin main
        """,
    )


def test_four_lost_races_are_made_up_for(trained: Forge) -> None:
    racing(trained, times=4)
    assert publish(reason="").changed
    assert subjects(trained)[:5] == ["Train sugar"] + ["One line more"] * 4


def test_five_lost_races_are_the_end(trained: Forge) -> None:
    racing(trained, times=99)
    with pytest.raises(PublishingError, match="main moved on during each of 5 pushes"):
        publish(reason="")
    assert subjects(trained)[:6] == ["One line more"] * 5 + ["Declare sugar"]
    assert trained.branches() == ["main"]


def test_on_another_branch_the_models_are_committed_and_nothing_is_released(forge: Forge) -> None:
    forge.clone.run("git", "checkout", "--quiet", "-b", "attempt")
    forge.declare("sugar", 3)
    forge.train()
    before = forge.tip()
    published = publish(reason="")
    assert published.changed and not published.released
    assert "Nothing is deployed from attempt" in published.note
    assert published.commit == forge.tip("attempt")
    assert forge.tip() == before
    assert sorted(forge.branches()) == ["attempt", "main"]


def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Put a `git` before the real one that writes its command lines down."""
    folder.mkdir()
    lines = folder / "lines"
    real = shutil.which("git")
    hook(folder / "git", f'#!/bin/sh\necho "git $@" >> "{lines}"\nexec "{real}" "$@"\n')
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return lines.read_text


def test_the_runs_token_pushes_and_stands_on_no_command_line_and_in_no_file(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    commands = recorded(trained.root / "bin", monkeypatch)
    trained.clone.run("git", "remote", "set-url", "origin", "https://nowhere.invalid/")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_REPOSITORY", "origin.git")
    with behind_password(trained.root, f"basic {secret}") as address:
        monkeypatch.setenv("GITHUB_SERVER_URL", address)
        trained.somebody_pushes("README.md", "A forest, described\n")
        assert publish(reason="").commit == trained.tip()
    assert f"{address}/origin.git" in commands()
    files = [path for path in trained.root.rglob("*") if path.is_file()]
    held = b"\n".join(path.read_bytes() for path in files)
    for word in (TOKEN, secret):
        assert word not in commands()
        assert word.encode() not in held


def test_a_token_that_is_refused_is_not_told(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_REPOSITORY", "origin.git")
    with behind_password(trained.root, "basic another") as address:
        monkeypatch.setenv("GITHUB_SERVER_URL", address)
        with pytest.raises(PublishingError) as told:
            publish(reason="")
    assert address in str(told.value)
    assert TOKEN not in str(told.value)
    assert base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode() not in str(told.value)


def within(path: str, covering: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in covering)


def stages() -> list[dict[str, Any]]:
    """Return the stages of dvc.yaml, those of each model as one."""
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].values()
    return [stage.get("do", stage) for stage in declared]


def test_the_inputs_cover_every_dependency_that_is_in_git() -> None:
    """Whoever changes one of them meanwhile has models of their own to train."""
    dependencies = {each for stage in stages() for each in stage["deps"]}
    made = (
        *(f"{folder}/${{key}}/" for folder in ("dataset", "model")),
        "model/code.json",
        "model/inputs/",
    )
    in_git = {each for each in dependencies if not each.startswith(made)}
    assert in_git >= {"src/treeline", "src/own", "requirements/train.txt"}
    assert {each for each in in_git if not within(each, INPUTS)} == set()
    assert {"dvc.yaml", "params.yaml"} <= set(INPUTS)


def test_what_training_writes_is_covered_by_the_outputs() -> None:
    kinds = ("outs", "metrics", "plots")
    written = [each for stage in stages() for kind in kinds for each in stage.get(kind, [])]
    paths = {path for each in written for path in ([each] if isinstance(each, str) else each)}
    assert len(paths) > 15
    assert {path for path in paths if not within(path, OUTPUTS)} == set()
    assert "dvc.lock" in OUTPUTS


def test_shipped_covers_everything_that_the_dockerfile_copies() -> None:
    """A signature holds the digests of its model's artifact, so it stands for the model."""
    stages = re.split(r"^(?=FROM )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    serving = [stage for stage in stages if " AS train\n" not in stage]  # that one is not deployed
    assert len(serving) == len(stages) - 1
    lines = "".join(serving).splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    copied = {path for words in copies if not words[0].startswith("--from") for path in words}
    locks = {f"requirements/{kind}.txt" for kind in ("serve", "pickle")}
    expected = (copied - {"requirements/${RUNTIME}.txt", "src", "model"}) | locks
    assert copied >= {"src", "model", "requirements/${RUNTIME}.txt"}
    assert {path for path in expected if not within(path, SHIPPED)} == set()
    assert {"Dockerfile", ".dockerignore", "src/own", "src/treeline"} <= set(SHIPPED)
    assert ":(glob)model/*/signature.json" in SHIPPED
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert {path for path in let_through if path.startswith("src/")} == {
        "src/own",
        "src/treeline",
    }


@pytest.mark.parametrize(
    ("files", "subject"),
    [
        (["model/sugar/report.md", "dataset/flowers/summary.json"], "Train flowers, sugar"),
        (["model/inputs/sugar/train.json", "model/sugar/report.md", "dvc.lock"], "Train sugar"),
        (["model/code.json", "dvc.lock"], "Train again"),
    ],
)
def test_a_commit_names_the_models_whose_files_it_has(files: list[str], subject: str) -> None:
    assert message_of(files, reason="").splitlines()[0].removesuffix(" [skip ci]") == subject


# --- model by model ------------------------------------------------------------------------------


def refused(model: str, reason: str = "refused: r2 is 0.01") -> None:
    """Leave the note of a training in which the gate refused a model."""
    notes.write(Reproduced([Failure("gate", model, reason, refused=True)]))


@pytest.fixture
def halfway(forge: Forge) -> Forge:
    """Return a forge with a release, after a training of two models of which one did not end."""
    publish(reason="")
    forge.clone.run("git", "fetch", "--quiet", "--tags", "origin")
    forge.declare("flowers", 2)
    forge.declare("sugar", 2)
    forge.clone.run("dvc", "repro", "--quiet", "export@flowers")
    refused("sugar")
    return forge


def test_the_good_are_published_and_one_that_was_refused_stays_as_it_was_released(
    halfway: Forge,
) -> None:
    before = halfway.released()
    (halfway.clone.root / "model/sugar/report.md").write_text("refused")
    published = publish(reason="")
    assert published.changed and published.released
    assert published.held == {"sugar": "refused: r2 is 0.01"} and published.repeated == []
    entry = halfway.released()
    assert entry["models"] == {"flowers": "flowers-2", "sugar": "sugar-1"}
    assert entry["passed"] == {"flowers": published.commit, "sugar": before["commit"]}
    files = halfway.ask("show", "--name-only", "--format=", "main").split()
    assert files == ["dvc.lock", "model/dvc.yaml", "model/flowers/signature.json"]
    assert "sugar 2" not in halfway.stored() and "flowers 2" in halfway.stored()
    assert "export@sugar" in halfway.clone.run("dvc", "status", "--json").stdout


def test_a_refusal_is_on_record_once_and_goes_when_the_model_passes(halfway: Forge) -> None:
    publish(reason="")
    halfway.clone.run("git", "fetch", "--quiet", "origin")
    [record] = json.loads(halfway.ask("show", "refused:refused.json")).values()
    assert (record["by"], record["reason"]) == ("gate", "refused: r2 is 0.01")
    refused("sugar", "refused: r2 is 0.01, again")
    again = publish(reason="")
    assert again.repeated == ["sugar"] and not again.released
    assert len(subjects(halfway, "refused")) == 1
    notes.clear()
    halfway.train()
    assert publish(reason="").held == {}
    assert json.loads(halfway.ask("show", "refused:refused.json")) == {}


def test_a_model_that_lost_its_contest_is_held_back_unless_that_was_accepted(
    trained: Forge,
) -> None:
    compared = {"sugar": Contest(good=False, version="sugar-2", reason="rmse rose")}
    notes.write(Compared("abc", accepted=False, models=compared))
    held = publish(reason="")
    assert held.held == {"sugar": "rmse rose"} and not held.changed
    assert held.released and trained.released()["models"] == {"flowers": "flowers-1"}
    trained.clone.run("git", "fetch", "--quiet", "origin")
    trained.train()
    notes.write(Compared("abc", accepted=True, models=compared))
    assert publish(reason="").changed
    assert trained.released()["models"] == {"flowers": "flowers-1", "sugar": "sugar-2"}


def test_what_dvc_is_not_done_with_is_not_released_whatever_the_notes_say(forge: Forge) -> None:
    forge.declare("sugar", 2)
    published = publish(reason="")
    assert published.held == {"sugar": "export@sugar is out of date"}
    assert forge.released()["models"] == {"flowers": "flowers-1"}


def test_a_model_that_is_declared_no_more_is_removed_from_git_and_from_the_release(
    trained: Forge,
) -> None:
    publish(reason="")
    trained.clone.run("git", "fetch", "--quiet", "origin")
    trained.clone.change("  sugar:\n", "  sweet:\n")
    shutil.copy("src/treeline/sugar.json", "src/treeline/sweet.json")
    trained.clone.commit("Rename a model")
    trained.clone.run("git", "push", "--quiet", "origin", "HEAD")
    trained.train()
    published = publish(reason="")
    assert published.removed == ["sugar"]
    assert subjects(trained)[0] == "Train sweet; Remove sugar"
    assert trained.released()["models"] == {"flowers": "flowers-1", "sweet": "sweet-2"}
    tree = trained.ask("ls-tree", "-r", "--name-only", "main")
    assert "model/sugar" not in tree and "@sugar" not in trained.ask("show", "main:dvc.lock")


def test_where_main_takes_pull_requests_only_the_commit_waits_on_a_branch(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAIN_BY", "pull-request")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    before = trained.tip()
    published = publish(reason="")
    assert re.fullmatch(r"retrain/\d{4}-\d\d-\d\d", published.branch)
    assert published.changed and not published.released
    assert trained.tip(published.branch) == published.commit and trained.tip() == before
    assert "released" not in trained.branches()
    assert "[skip ci]" not in trained.ask("log", "-1", "--format=%B", published.branch)


def test_a_run_of_a_tag_writes_nothing_back(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1")
    before = trained.tip()
    assert "a tag" in publish(reason="").note
    assert (trained.tip(), trained.branches()) == (before, ["main"])


# --- as DVC and GTO see it -----------------------------------------------------------------------


def test_dvc_gets_a_released_model_by_its_name_and_version_and_gto_lists_them(
    trained: Forge, tmp_path: Path
) -> None:
    publish(reason="")
    trained.clone.run("git", "fetch", "--quiet", "--tags", "origin")
    trained.declare("sugar", 3)
    trained.train()
    publish(reason="")
    tags = trained.ask("tag", "--list", "--format=%(refname:strip=2) %(contents:subject)")
    assert tags.splitlines() == [
        "model=flowers@v0.0.1 flowers-1",
        "model=sugar@v0.0.1 sugar-2",
        "model=sugar@v0.0.2 sugar-3",
    ]
    trained.clone.run("git", "fetch", "--quiet", "--tags", "origin")
    for version, text in {"v0.0.1": "sugar 2", "v0.0.2": "sugar 3"}.items():
        got = tmp_path / version
        command = ("dvc", "artifacts", "get", ".", "model:sugar", "--rev", version)
        trained.clone.run(*command, "--out", str(got))
        assert (got / "model.onnx").read_text() == text
    shown = json.loads(trained.clone.run("gto", "show", "model:sugar", "--json").stdout)
    assert [(each["version"], each["message"]) for each in shown] == [
        ("v0.0.2", "sugar-3"),
        ("v0.0.1", "sugar-2"),
    ]
