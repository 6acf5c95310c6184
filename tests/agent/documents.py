"""A server that is a registry with one image, and the files of a branch beside it."""

import json
from dataclasses import dataclass, field

from tests.answering import TensorEndpoint


@dataclass
class Documents:
    """What a server answers: bytes by path; of `stable`, only where it leads."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    digest: str = ""
    token: str = ""  # without it, the server wants one
    broken: bool = False  # whether a body ends before its announced length


class Server(TensorEndpoint):
    """A registry, and the files of a branch beside it."""

    documents: Documents

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, documents = self.path.partition("?")[0], self.documents
        if path == "/token":
            self.reply(200, json.dumps({"token": documents.token}).encode())
        elif documents.token and self.headers.get("Authorization") != f"Bearer {documents.token}":
            self.send_response(401)
            realm = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="r",scope="s"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.endswith("/manifests/stable"):
            self.send_response(200)
            self.send_header("Docker-Content-Digest", documents.digest)
            self.end_headers()
        else:
            body = documents.bodies.get(path)
            if documents.broken:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                return
            self.reply(404 if body is None else 200, body or b"{}")
