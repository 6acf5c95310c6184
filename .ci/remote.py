"""Credentials of the DVC remote in the environment of a step → in that of the steps that follow.

A role of AWS, where one is named, is assumed with the identity of the job, so that no key is kept
anywhere. What is not set is unset for what follows too, so that a second call takes away what the
first one gave. Runs before anything is installed.
"""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from xml.etree import ElementTree

SECRET = (
    "DVC_REMOTE_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GDRIVE_CREDENTIALS_DATA",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_CREDENTIALS",
)
PUBLIC = ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
FILED = {"GOOGLE_CREDENTIALS": "GOOGLE_APPLICATION_CREDENTIALS"}  # their library reads a file
AUDIENCE = "sts.amazonaws.com"
VERSION = "2011-06-15"  # of the service that gives keys for roles
SECONDS = 30.0  # that a service may take to answer


def assume(role: str, *, region: str) -> dict[str, str]:
    """Return the keys that AWS gives this job for a role, which hold for an hour.

    Raises URLError where AWS does not accept the identity of the job.
    """
    request = Request(
        f"{os.environ['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={AUDIENCE}",
        headers={"Authorization": f"bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    with urlopen(request, timeout=SECONDS) as answer:
        token = json.load(answer)["value"]
    asked = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": VERSION,
        "RoleArn": role,
        "RoleSessionName": f"treeline-{os.environ.get('GITHUB_RUN_ID', 'run')}",
        "WebIdentityToken": token,
    }
    with urlopen(f"https://sts.{region}.amazonaws.com/", urlencode(asked).encode(), SECONDS) as got:
        space = f"{{https://{AUDIENCE}/doc/{VERSION}/}}"
        keys = ElementTree.fromstring(got.read()).find(f".//{space}Credentials")
    values = {child.tag.removeprefix(space): child.text or "" for child in keys or ()}
    names = {"AccessKeyId", "SecretAccessKey", "SessionToken"}
    if not names <= values.keys():
        raise URLError("the answer has no credentials")
    return {
        "AWS_ACCESS_KEY_ID": values["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": values["SecretAccessKey"],
        "AWS_SESSION_TOKEN": values["SessionToken"],
    }


def hand_on(values: Mapping[str, str]) -> None:
    """Set the values for the steps that follow, hidden in their logs."""
    lines = []
    for name in SECRET + PUBLIC:
        value = values.get(name, "")
        if name in SECRET:
            for line in filter(None, map(str.strip, value.splitlines())):
                print(f"::add-mask::{line}")
        if value and name in FILED:
            value = _filed(name, value)
        mark = secrets.token_hex(16)
        lines.append(f"{FILED.get(name, name)}<<{mark}\n{value}\n{mark}\n")
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
        file.writelines(lines)


def _filed(name: str, value: str) -> str:
    path = Path(os.environ["RUNNER_TEMP"], f"{name.lower()}.json")
    path.touch(mode=0o600)
    path.write_text(value, encoding="utf-8")
    return str(path)


def main() -> None:
    """Hand on what is set; say it where nothing is."""
    values = {name: os.environ.get(name, "") for name in SECRET + PUBLIC}
    role = os.environ.get("AWS_ROLE_TO_ASSUME")
    if role and "ACTIONS_ID_TOKEN_REQUEST_URL" not in os.environ:
        print(f"::notice::{role} is not assumed: this job has no identity (id-token: write).")
    elif role:
        try:
            values |= assume(role, region=values["AWS_DEFAULT_REGION"] or "us-east-1")
        except URLError as error:
            sys.exit(f"{role} cannot be assumed: {error.reason}")
    hand_on(values)


if __name__ == "__main__":
    main()
