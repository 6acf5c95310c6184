"""`make doctor` in real clones: what it finds wrong, and what it only finds missing."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

from tests.checkout import ROOT, Checkout
from tests.warm import PYTHON, programs
from treeline.doctor import settings
from treeline.doctor.checkup import deployment
from treeline.doctor.finding import Finding, State
from treeline.doctor.remotes import BLOCKED, EXAMPLES, PACKAGES, answer, cloud, gdrive, s3

KEY = {"AWS_ACCESS_KEY_ID": "the-key-id", "AWS_SECRET_ACCESS_KEY": "the-secret-key"}
FOLDER = "gdrive://1AbCdEfGhIjKlMnOpQrStUvWxYz"
NOWHERE = "http://127.0.0.1:9"
SERVICE_ACCOUNT = json.dumps({"type": "service_account", "private_key": "the-private-key"})
ACCOUNT = {"client_id": "ours.example", "refresh_token": "the-refresh-token"}
AT_HAND = ("git", "sh")  # what a machine without `gh` and `docker` has
GH = {"GH_TOKEN": "the-token-of-gh"}


@pytest.fixture
def clone(created: Checkout, tmp_path: Path) -> Checkout:
    """Return a clone with the workflows, an origin, and nothing set anywhere."""
    made = created.copy(tmp_path / "clone")
    shutil.copytree(ROOT / ".github" / "workflows", made.root / ".github" / "workflows")
    made.run("git", "remote", "add", "origin", "https://github.com/acme/forest.git")
    return made


def examine(clone: Checkout, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the doctor on a machine that has no `gh` unless PATH is given."""
    home = clone.root.parent / "home"
    tools = home / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name in AT_HAND:
        if not (tools / name).exists():
            (tools / name).symlink_to(str(shutil.which(name)))
    path = os.pathsep.join([str(programs()), str(Path(sys.executable).parent), str(tools)])
    return subprocess.run(
        [str(programs() / PYTHON), "-m", "treeline", "doctor"],
        cwd=clone.root,
        env={"HOME": str(home), "PATH": path, "PYTHONPATH": "src", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def track(clone: Checkout, name: str = "rows.csv") -> None:
    """Give the remote something that it lacks."""
    (clone.root / name).write_text(f"{name}\n")
    clone.run("dvc", "add", "--quiet", name)


def enter(clone: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a clone the working directory, with its tools at hand."""
    monkeypatch.chdir(clone.root)
    monkeypatch.setenv("PATH", clone.environment(warm=True)["PATH"])


def lines(done: subprocess.CompletedProcess[str], state: str) -> dict[str, str]:
    """Return what was found in that state, by its place."""
    told = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    return dict(rest.split(": ", 1) for found, rest in told if found == state)


def wrong(findings: list[Finding]) -> list[str]:
    return [each.to_line() for each in findings if each.state is State.WRONG]


# --- the whole of it -----------------------------------------------------------------------------


def test_a_clone_in_which_nothing_is_set_has_nothing_wrong(clone: Checkout) -> None:
    done = examine(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines(done, "wrong") == {}
    assert "write nothing back and deploy nothing; set DVC_REMOTE_URL" in done.stdout
    assert set(lines(done, "optional")) >= {"remote", "IMAGE", "docker", "gh"}
    for name, purpose in settings.SECRETS.items():
        assert f"secret {name}: {purpose}; gh secret set {name}\n" in done.stdout


def test_a_folder_that_is_no_repository_is_not_looked_at_further(
    created: Checkout, tmp_path: Path
) -> None:
    outside = created.copy(tmp_path / "clone")
    shutil.rmtree(outside.root / ".git")
    done = examine(outside, GIT_CEILING_DIRECTORIES=str(tmp_path))
    assert done.returncode == 1
    assert lines(done, "wrong") == {"repository": "this folder is none; git clone, or git init"}
    assert "DVC remote" not in done.stdout


def test_another_branch_and_a_missing_origin_are_told(clone: Checkout) -> None:
    clone.run("git", "remote", "remove", "origin")
    clone.run("git", "switch", "--quiet", "--create", "other")
    found = lines(examine(clone), "optional")
    assert found["origin"].startswith("not set: there is nowhere to push")
    assert found["branch"] == "other; only main is released and deployed"


def test_private_settings_that_git_would_commit_are_wrong(clone: Checkout) -> None:
    (clone.root / ".dvc" / ".gitignore").write_text("/cache\n/tmp\n")
    done = examine(clone)
    assert done.returncode == 1
    assert "is not ignored by git" in lines(done, "wrong")[".dvc/config.local"]
    (clone.root / ".dvc" / "config.local").write_text("")
    clone.commit("Commit too much")
    assert "is in git; git rm --cached" in lines(examine(clone), "wrong")[".dvc/config.local"]


def test_a_folder_that_others_share_is_asked_what_it_lacks(
    clone: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(clone, monkeypatch)
    assert "nothing here yet" in answer([]).to_line()
    track(clone)
    done = examine(clone, DVC_REMOTE_URL=str(tmp_path / "storage"))
    assert done.returncode == 0, done.stdout
    assert lines(done, "optional")["answer"].startswith("it lacks rows.csv; the next training")
    clone.run("dvc", "push", "--quiet")
    assert answer([]).to_line() == "ok        answer: it has every output of this checkout"


def test_a_source_that_only_somebody_else_has_is_wrong(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(clone, monkeypatch)
    track(clone, "dataset/sources/file/rows.csv")
    [complaint] = wrong([answer([])])
    assert "rows.csv, which nothing makes anew" in complaint


def test_a_remote_inside_the_clone_is_wrong_when_it_was_asked_for(clone: Checkout) -> None:
    done = examine(clone, DVC_REMOTE_URL="s3/bucket")
    assert done.returncode == 1
    assert "a folder inside this clone" in lines(done, "wrong")["remote"]


def test_a_remote_of_no_known_kind_is_wrong_and_not_repeated(clone: Checkout) -> None:
    done = examine(clone, DVC_REMOTE_URL="gibberish://key:word@host")
    assert done.returncode == 1
    assert "Unsupported URL type gibberish://" in lines(done, "wrong")["remote"]
    assert "key:word" not in done.stdout + done.stderr


def test_an_s3_server_that_is_not_there_is_told_and_no_secret_is(clone: Checkout) -> None:
    track(clone)
    hidden = {"DVC_REMOTE_URL": "s3://bucket-of-ours/forest", "KOYEB_TOKEN": "the-koyeb-token"}
    done = examine(clone, AWS_ENDPOINT_URL=NOWHERE, **KEY, **hidden)
    assert done.returncode == 1
    assert "Could not connect to the endpoint URL" in lines(done, "wrong")["answer"]
    for secret in (*KEY.values(), *hidden.values()):
        assert secret not in done.stdout + done.stderr


def test_what_cannot_answer_is_not_asked(clone: Checkout) -> None:
    done = examine(clone, DVC_REMOTE_URL=FOLDER, GDRIVE_CREDENTIALS_DATA="{")
    assert done.returncode == 1
    assert "GDRIVE_CREDENTIALS_DATA" in lines(done, "wrong")
    assert lines(done, "optional")["answer"].startswith("not asked")


def test_google_drive_with_a_client_but_no_token_opens_no_browser(clone: Checkout) -> None:
    track(clone)
    clone.run("dvc", "remote", "modify", "--local", "gdrive", "url", FOLDER)
    for option in ("gdrive_client_id", "gdrive_client_secret"):
        clone.run("dvc", "remote", "modify", "--local", "gdrive", option, "ours.example")
    clone.run("dvc", "remote", "default", "--local", "gdrive")
    done = examine(clone)
    assert done.returncode == 1
    assert "Failed to authenticate GDrive" in lines(done, "wrong")["answer"]


# --- S3 and Google Drive, as set ------------------------------------------------------------------


def test_the_examples_of_the_committed_settings_are_known_as_such() -> None:
    declared = (ROOT / ".dvc" / "config").read_text()
    assert [url for url in EXAMPLES if f"url = {url}\n" not in declared] == []


def test_the_example_bucket_is_no_bucket() -> None:
    [complaint] = wrong(s3({"url": "s3://treeline/dvc"}, KEY))
    assert "is only the example of .dvc/config" in complaint


def test_half_a_key_is_wrong_and_none_at_all_is_left_to_the_machine() -> None:
    bucket = {"url": "s3://ours/dvc"}
    [complaint] = wrong(s3(bucket, {"AWS_ACCESS_KEY_ID": "the-key-id"}))
    assert "AWS_SECRET_ACCESS_KEY not set" in complaint
    assert "the-key-id" not in complaint
    assert [each.state for each in s3(bucket, {})] == [State.OK, State.OPTIONAL]
    assert [each.state for each in s3(bucket, {"AWS_PROFILE": "ours"})] == [State.OK, State.OK]


@pytest.mark.parametrize(
    "url", ["storage.example.org", "https://", "https://a b", "ftp://a", "http://a:x", "http://["]
)
def test_the_address_of_an_s3_server_must_be_a_url(url: str) -> None:
    [complaint] = wrong(s3({"url": "s3://ours/dvc"}, {**KEY, "AWS_ENDPOINT_URL": url}))
    assert f"AWS_ENDPOINT_URL: {url!r} is no URL" in complaint
    [complaint] = wrong(s3({"url": "s3://ours/dvc", "endpointurl": url}, KEY))
    assert "endpointurl" in complaint


def of_drive(credentials: str, url: str = FOLDER, **options: str) -> list[Finding]:
    return gdrive({"url": url, **options}, {"GDRIVE_CREDENTIALS_DATA": credentials})


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("azure://container/dvc", "AZURE_STORAGE_CONNECTION_STRING"),
        ("gs://bucket/dvc", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_azure_and_google_cloud_need_their_packages_and_a_credential_or_a_login(
    url: str, variable: str
) -> None:
    [lacking], [given] = cloud({"url": url}, {}), cloud({"url": url}, {variable: "s3cret"})
    if find_spec(PACKAGES[url.partition(":")[0]]) is None:
        assert "is not installed; make setup DVC_REMOTE_URL=" in lacking.to_line()
        assert lacking == given
    else:
        assert (lacking.state, given.state) == (State.OPTIONAL, State.OK)
        assert f"{variable} not set" in lacking.to_line() and "s3cret" not in given.to_line()


@pytest.mark.parametrize("url", ["gdrive://root/treeline", "gdrive://", "gdrive://My Folder/x"])
def test_an_address_on_google_drive_needs_the_id_of_a_folder(url: str) -> None:
    [complaint] = wrong(of_drive(json.dumps(ACCOUNT), url))
    assert "has no id of a folder" in complaint


def test_a_service_account_is_told_to_use_a_shared_drive() -> None:
    found = of_drive(SERVICE_ACCOUNT, gdrive_use_service_account="true")
    assert wrong(found) == []
    assert "must be on a shared drive" in found[-1].to_line()
    assert "the-private-key" not in found[-1].to_line()


def test_a_service_account_must_be_declared_as_one_and_no_other_may() -> None:
    [complaint] = wrong(of_drive(SERVICE_ACCOUNT))
    assert complaint.endswith("gdrive_use_service_account true")
    [complaint] = wrong(of_drive(json.dumps(ACCOUNT), gdrive_use_service_account="true"))
    assert complaint.endswith("gdrive_use_service_account false")


def test_an_account_is_told_that_its_token_dies_while_testing() -> None:
    found = of_drive(json.dumps(ACCOUNT))
    assert wrong(found) == []
    assert "dies after seven days: publish the screen" in found[-1].to_line()


@pytest.mark.parametrize("more", [{"client_id": BLOCKED}, {"refresh_token": None}])
def test_the_client_built_into_dvc_and_a_missing_token_are_wrong(more: dict[str, Any]) -> None:
    assert len(wrong(of_drive(json.dumps({**ACCOUNT, **more})))) == 1


@pytest.mark.parametrize("credentials", ["{", "[]", "{}", '"text"', "key.json"])
def test_credentials_that_are_no_json_document_of_google_are_wrong(credentials: str) -> None:
    [complaint] = wrong(of_drive(credentials))
    assert "as JSON" in complaint


def test_without_credentials_a_client_or_a_key_file_must_be_named() -> None:
    assert "Google blocks the one built into DVC" in wrong(of_drive(""))[0]
    assert "no key file" in wrong(of_drive("", gdrive_use_service_account="true"))[0]
    key = "gdrive_service_account_json_file_path"
    assert wrong(of_drive("", gdrive_use_service_account="true", **{key: "key.json"})) == []
    assert "no gdrive_client_secret" in wrong(of_drive("", gdrive_client_id="ours.example"))[0]
    assert wrong(of_drive("", gdrive_user_credentials_file="account.json")) == []


# --- deployment ----------------------------------------------------------------------------------


def deployed(*, by_hand: bool = False, **environment: str) -> list[str]:
    return wrong(deployment(environment, by_hand=by_hand))


@pytest.mark.parametrize(
    "name", ["ghcr.io/Acme/forest", "forest", "acme/forest:latest", "acme forest", "acme//forest"]
)
def test_an_image_no_registry_takes_is_wrong(name: str) -> None:
    [complaint] = deployed(IMAGE=name, DOCKERHUB_USERNAME="acme", DOCKERHUB_TOKEN="token")
    assert complaint.startswith("wrong     IMAGE: ")


def test_docker_hub_needs_a_name_and_a_token_and_ghcr_neither() -> None:
    assert deployed(IMAGE="ghcr.io/acme/forest") == []
    assert deployed(IMAGE="acme/forest", DOCKERHUB_USERNAME="acme", DOCKERHUB_TOKEN="token") == []
    assert "DOCKERHUB_USERNAME and DOCKERHUB_TOKEN not set" in deployed(IMAGE="acme/forest")[0]
    assert deployed(by_hand=True, IMAGE="acme/forest") == []
    assert len(deployed(by_hand=True, IMAGE="acme/forest", DOCKERHUB_USERNAME="acme")) == 1


def test_half_a_koyeb_and_one_without_an_image_are_wrong() -> None:
    whole: dict[str, Any] = {"KOYEB_TOKEN": "the-koyeb-token", "KOYEB_SERVICE": "service"}
    assert deployed(IMAGE="ghcr.io/acme/forest", **whole) == []
    assert "a service is set, and no image for it" in deployed(**whole)[0]
    for name in whole:
        [complaint] = deployed(
            IMAGE="ghcr.io/acme/forest", **dict[str, Any]({name: "the-koyeb-token"})
        )
        assert complaint.endswith("not set; set both or neither")
        assert "the-koyeb-token" not in complaint


def test_an_endpoint_must_be_a_url() -> None:
    assert "is no URL" in deployed(ENDPOINT_URL="forest-acme.koyeb.app")[0]
    assert deployed(ENDPOINT_URL="https://forest-acme.koyeb.app") == []


# --- what is set on GitHub -----------------------------------------------------------------------


def test_the_settings_told_of_are_those_the_workflows_read() -> None:
    read = settings.readers(ROOT / settings.WORKFLOWS)
    assert {name for kind, name in read if kind == "secret"} == set(settings.SECRETS)
    assert {name for kind, name in read if kind == "variable"} == set(settings.VARIABLES)


class _Listening(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class _Answers(BaseHTTPRequestHandler):
    """GitHub's API as far as it lists names."""

    lists: dict[str, dict[str, str]]
    documents: dict[str, Any]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        place = self.path.partition("?")[0].removeprefix("/repos/acme/forest/")
        if place in self.documents:
            self.reply(200, self.documents[place])
            return
        kind = place.rpartition("/")[2].removeprefix("organization-")
        rows = [
            {"name": name, **({"value": value} if kind == "variables" else {})}
            for name, value in self.lists.get(place, {}).items()
        ]
        status = 200 if place in self.lists else 404
        self.reply(status, {"total_count": len(rows), kind: rows})

    def reply(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("X-OAuth-Scopes", "repo, read:org")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def documents() -> dict[str, Any]:
    """What GitHub answers besides, by path below the repository."""
    return {}


@pytest.fixture
def on_github(
    tmp_path: Path, documents: dict[str, Any]
) -> Iterator[tuple[dict[str, dict[str, str]], dict[str, str]]]:
    """What is set there, to be changed, and the environment in which the real `gh` asks for it."""
    gh = shutil.which("gh")
    if gh is None:
        pytest.skip("needs gh")
    lists: dict[str, dict[str, str]] = {"actions/secrets": {}, "actions/variables": {}}
    socket = tmp_path / "s"
    given = {"lists": lists, "documents": documents, "address_string": lambda _: "gh"}
    kind = type("Answers", (_Answers,), given)
    (tmp_path / "config.yml").write_text(f"http_unix_socket: {socket}\n")
    with _Listening(str(socket), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        path = os.pathsep.join([str(Path(sys.executable).parent), str(Path(gh).parent)])
        yield lists, {**GH, "GH_CONFIG_DIR": str(tmp_path), "PATH": path}
        server.shutdown()
        thread.join()


Github = tuple[dict[str, dict[str, str]], dict[str, str]]


def test_what_is_set_on_github_is_told_from_what_is_not(clone: Checkout, on_github: Github) -> None:
    lists, environment = on_github
    lists["actions/secrets"] = {"DVC_REMOTE_URL": ""}
    lists["actions/organization-secrets"] = {"KOYEB_TOKEN": ""}
    lists["actions/organization-variables"] = {}
    lists["actions/variables"] = {"IMAGE": "ghcr.io/acme/forest"}
    lists["environments/production/secrets"] = {"DOCKERHUB_TOKEN": ""}
    lists["environments/production/variables"] = {"KOYEB_SERVICE": "service"}
    done = examine(clone, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    there = lines(done, "ok")
    assert there["secret DVC_REMOTE_URL"] == "is set"
    assert there["secret KOYEB_TOKEN"] == "is set"
    assert there["secret DOCKERHUB_TOKEN"] == "is set for production"
    assert there["variable KOYEB_SERVICE"] == "is set for production"
    assert lines(done, "optional")["secret AWS_ACCESS_KEY_ID"].startswith("not set; the key")


def test_what_is_half_set_on_github_is_wrong(clone: Checkout, on_github: Github) -> None:
    lists, environment = on_github
    lists["actions/secrets"] = {"KOYEB_TOKEN": ""}
    lists["actions/variables"] = {"IMAGE": "acme/Forest"}
    done = examine(clone, **environment)
    assert done.returncode == 1
    assert set(lines(done, "wrong")) == {"IMAGE", "KOYEB"}


def test_a_secret_of_production_that_training_needs_is_wrong(
    clone: Checkout, on_github: Github
) -> None:
    lists, environment = on_github
    lists["environments/production/secrets"] = {"DVC_REMOTE_URL": ""}
    lists["environments/production/variables"] = {}
    found = lines(examine(clone, **environment), "wrong")["secret DVC_REMOTE_URL"]
    assert found.startswith("set for production only, which monitor.yml, release.yml, replay.yml, ")


def test_an_image_that_is_set_for_production_only_is_wrong(
    clone: Checkout, on_github: Github
) -> None:
    """What decides whether there is anything to deploy runs outside of that environment."""
    lists, environment = on_github
    lists["environments/production/secrets"] = {}
    lists["environments/production/variables"] = {"IMAGE": "ghcr.io/acme/forest"}
    found = lines(examine(clone, **environment), "wrong")["variable IMAGE"]
    assert "where nothing decides to deploy" in found


def test_what_stops_a_first_run_on_github_is_told_with_the_way_out(
    clone: Checkout, on_github: Github, documents: dict[str, Any]
) -> None:
    lists, environment = on_github
    lists["actions/variables"] = {"IMAGE": "ghcr.io/acme/forest"}
    documents |= {
        "actions/permissions": {"enabled": False},
        "rules/branches/main": [{"type": "pull_request"}],
        "rules/branches/released": [{"type": "update"}],
        "environments/production": {"deployment_branch_policy": None},
        "/users/acme/packages/container/forest": {"visibility": "private"},
        "/user": {"login": "somebody"},
    }
    done = examine(clone, **environment)
    assert done.returncode == 1
    wrong, optional = lines(done, "wrong"), lines(done, "optional")
    assert wrong["Actions"].startswith("are switched off")
    assert "gh variable set TRAIN_BY --body pull-request" in wrong["rules of main"]
    assert "nothing can be entered" in wrong["rules of released"]
    assert optional["environment production"].startswith("any branch may deploy")
    assert optional["package ghcr.io/acme/forest"].startswith("is private")
    assert "gh auth refresh --scopes workflow" in optional["login of gh"]


def test_a_repository_that_lets_the_workflows_do_their_work_is_well(
    clone: Checkout, on_github: Github, documents: dict[str, Any]
) -> None:
    lists, environment = on_github
    lists["actions/variables"] = {"TRAIN_BY": "pull-request"}
    documents |= {
        "actions/permissions": {"enabled": True, "allowed_actions": "all"},
        "actions/permissions/workflow": {"can_approve_pull_request_reviews": True},
        "rules/branches/main": [{"type": "pull_request"}, {"type": "deletion"}],
        "environments/production": {
            "deployment_branch_policy": {"protected_branches": False},
            "protection_rules": [{"type": "required_reviewers"}],
        },
    }
    well = lines(examine(clone, **environment), "ok")
    assert well["Actions"] == "are enabled"
    assert well["rules of main"] == "pull_request; training opens pull requests"
    assert "a person approves" in well["environment production"]
    documents["actions/permissions/workflow"] = {"can_approve_pull_request_reviews": False}
    wrong = lines(examine(clone, **environment), "wrong")
    assert "may not open pull requests" in wrong["rules of main"]


def test_a_model_that_is_declared_no_more_is_told_of(clone: Checkout) -> None:
    assert lines(examine(clone), "ok")["params.yaml"].startswith("declares 2")
    (clone.root / "model/wine").mkdir(parents=True)
    (clone.root / "model/wine/signature.json").write_text("{}")
    assert lines(examine(clone), "optional")["params.yaml"].startswith("wine: declared no more")


def test_a_client_that_is_not_logged_in_is_as_good_as_none(
    clone: Checkout, on_github: Github
) -> None:
    done = examine(clone, **{**on_github[1], "GH_TOKEN": ""})
    assert done.returncode == 0, done.stdout
    optional = lines(done, "optional")
    assert "cannot tell what is set (To get started" in optional["gh"]
    assert optional["secret KOYEB_TOKEN"].endswith("; gh secret set KOYEB_TOKEN")
    assert optional["variable IMAGE"].endswith('; gh variable set IMAGE --body "…"')


@pytest.mark.parametrize("text", ["", "{", '{"a": '])
def test_what_a_killed_run_left_half_written_is_told(clone: Checkout, text: str) -> None:
    path = clone.root / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = lines(examine(clone), "wrong")[".dvc/tmp/rwlock"]
    assert found.endswith("end every dvc, then rm .dvc/tmp/rwlock")
    path.write_text("{}")
    assert ".dvc/tmp/rwlock" not in lines(examine(clone), "wrong")


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD\nstages: {\n"])
def test_a_record_that_dvc_cannot_read_is_told(clone: Checkout, text: str) -> None:
    (clone.root / "dvc.lock").write_text(text)
    assert "git checkout dvc.lock" in lines(examine(clone), "wrong")["dvc.lock"]
