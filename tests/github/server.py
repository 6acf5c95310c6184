"""One port of this machine that is github.com, api.github.com and the registries, for a workflow.

A process with the variables that `serving` gives reaches those hosts here, by their own addresses
and over TLS; any other host is refused, so that nothing leaves the machine unseen.
"""

import base64
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as Forward

from tests.github import registries
from tests.github.git_http import Origin, Request, Response, as_json
from tests.github.rest import Call, Refused, Rest
from tests.github.settings import Token

IDENTITY, STS = "token.actions.githubusercontent.com", "sts.us-east-1.amazonaws.com"
OURS = ("github.com", "api.github.com", IDENTITY, *registries.HOSTS)
CA = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")


@cache
def _certificate() -> tuple[Path, Path]:
    """Make a key and a certificate once, and a bundle that trusts it besides the usual ones."""
    folder = Path(mkdtemp(prefix="github-tls-"))
    pair, bundle = folder / "pair.pem", folder / "bundle.pem"
    names = ",".join(f"DNS:{host}" for host in (*OURS, STS, "app.koyeb.com", "localhost"))
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=fake-github",
            "-addext", f"subjectAltName={names}",
            "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
            "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    certificate = (folder / "certificate.pem").read_text()
    pair.write_text((folder / "key.pem").read_text() + certificate)
    usual = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    bundle.write_text((usual.read_text() if usual.exists() else "") + certificate)
    return pair, bundle


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host = ""  # that a CONNECT led to
    server: "_Server"

    def log_message(self, *_: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        host = self.path.rsplit(":", 1)[0]
        if host not in OURS and host not in self.server.rest.settings.hosts:
            self._note(host, "refused")
            self._reply(Response(403, as_json({"message": f"{host}: not to be reached here"})))
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        kind = type("_Secured", (_Handler,), {"host": host})
        with self.server.tls.wrap_socket(self.connection, server_side=True) as secured:
            kind(secured, self.client_address, self.server)
        self.close_connection = True

    def _serve(self) -> None:
        url = urlsplit(self.path)
        host, body = self.host or url.hostname or "localhost", self._body()
        try:
            response = self._answer(host, url.path, url.query, body)
        except Refused as refused:
            response = Response(refused.status, as_json(refused.document), "application/json")
            if refused.status == 401:
                challenge = (("WWW-Authenticate", 'Basic realm="GitHub"'),)
                response = Response(401, response.body, response.kind, challenge)
        self._note(host, str(response.status))
        self._reply(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _answer(self, host: str, path: str, query: str, body: bytes) -> Response:
        if elsewhere := self.server.rest.settings.hosts.get(host):
            return self._forwarded(elsewhere + self.path, body)
        if host in registries.HOSTS:
            known = bool(self.headers.get("Authorization"))
            pushed = frozenset[str]()
            answer = registries.answer(host, path, authorized=known, pushed=pushed)
            return Response(answer.status, answer.body, "application/json", answer.headers)
        if host == IDENTITY:
            return Response(200, as_json({"value": f"identity-for-{query}"}), "application/json")
        if host == "api.github.com":
            parameters = dict(parse_qsl(query))
            call = Call(self.command, unquote(path), parameters, body, self._token())
            return self.server.rest.answer(call)
        request = Request(self.command, unquote(path), query, dict(self.headers.items()), body)
        token = self._token()
        if token is None and (request.pushes or self.server.rest.settings.private):
            raise Refused(401, "Requires authentication")
        return self.server.origin.answer(request, token)

    def _forwarded(self, url: str, body: bytes) -> Response:
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")
                   if name in self.headers}  # fmt: skip
        asked = Forward(url, body or None, headers, method=self.command)
        try:
            with build_opener(ProxyHandler({})).open(asked) as answer:
                return Response(answer.status, answer.read(), "application/json")
        except HTTPError as error:
            return Response(error.code, error.read(), "application/json")

    def _token(self) -> Token | None:
        how, _, value = self.headers.get("Authorization", "").partition(" ")
        if how.lower() == "basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        if not value:
            return None
        known = {**self.server.rest.settings.tokens, **self.server.rest.store.tokens}
        if value not in known:
            raise Refused(401, "Bad credentials")
        return known[value]

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _note(self, host: str, result: str) -> None:
        row = {"host": host, "method": self.command, "path": self.path, "result": result}
        self.server.rest.store.add("requests", **row)

    def _reply(self, response: Response) -> None:
        self.send_response(response.status)
        headers = [("Content-Type", response.kind), ("Content-Length", str(len(response.body)))]
        for name, value in (*headers, *response.headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

    def __init__(self, rest: Rest, origin: Origin) -> None:
        self.rest, self.origin = rest, origin
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(_certificate()[0])
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if request.recv(1, socket.MSG_PEEK) == b"\x16":  # the hello of TLS, on the same port
            with self.tls.wrap_socket(request, server_side=True) as secured:
                _Handler(secured, client_address, self)
        else:
            _Handler(request, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError, TimeoutError)):
            super().handle_error(request, client_address)


@contextmanager
def serving(rest: Rest, origin: Origin) -> Iterator[dict[str, str]]:
    """Serve, and give the environment variables that lead a process here."""
    with _Server(rest, origin) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        url, bundle = f"http://127.0.0.1:{server.server_address[1]}", str(_certificate()[1])
        try:
            yield {
                **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), url),
                **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
                **dict.fromkeys(CA, bundle),
                "NODE_EXTRA_CA_CERTS": bundle,
            }
        finally:
            server.shutdown()
            thread.join()
