"""Whatever is sent to the service, it answers as its OpenAPI document says, and never with a 5xx.

The long run is the same with more examples: TREELINE_TEST_EXAMPLES=1000, say.
"""

import os
import subprocess
import sys
from pathlib import Path

from api.http.keyring import SCOPES, new_key
from tests.serving import serving
from tests.tiny_models import IRIS, SURVIVAL, write_model

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("TREELINE_TEST_EXAMPLES", "3")


def test_the_service_answers_as_it_documents(tmp_path: Path) -> None:
    for recipe in (SURVIVAL, IRIS):  # whose features are bounded: no sum of them is infinite
        write_model(tmp_path / "model", recipe)
    key, line = new_key("tester", scopes=frozenset(SCOPES))
    settings = {"API_KEYS": line, "API_JOBS": "true", "WEB_CONCURRENCY": "1"}
    with serving(tmp_path / "model", tmp_path / "log", **settings) as service:
        command = ["--config-file", str(HERE / "schemathesis.toml"), "run", "--no-color"]
        options = ["--max-examples", EXAMPLES, "--warnings", "off", "--workers", "1"]
        told = subprocess.run(
            [
                Path(sys.executable).parent / "schemathesis",
                *(*command, *options),
                f"{service.url}/openapi.json",
            ],
            cwd=tmp_path,
            env={**os.environ, "TREELINE_TEST_KEY": key},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stdout[-20000:] + told.stderr
        assert "Traceback" not in service.log.read_text()
