"""Serves the labelling page to a browser on this computer, and to nobody else.

It listens on the loopback address only. Every address begins with a random token; the Host header
must name the loopback address, so that no page from elsewhere gets in under a name of its own (DNS
rebinding), and what changes something must be JSON from this very page.
"""

from __future__ import annotations

import os
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from socketserver import ThreadingTCPServer
from typing import Any

from drivers.errors import ConfigError
from policies.labelling.api import NOT_FOUND, Answer, answer
from policies.labelling.desk import Desk

HOST = "127.0.0.1"
#: A key and a number fit in easily.
LARGEST_BODY = 1000
_PLAIN = "text/plain; charset=utf-8"


class LabelServer(ThreadingTCPServer):
    """The page of one desk.

    Attributes:
        desk: what is labelled.
        url: address of the page; who knows it can label.
    """

    daemon_threads = True
    # Elsewhere than on POSIX reuse would let another program take over the port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, desk: Desk, port: int = 0) -> None:
        """Listen on ``port``, or on a free one if 0.

        Raises:
            ConfigError: the port cannot be had.
        """
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on port {port} of {HOST}: {error.strerror or error}; leave out "
                "--port for a free one"
            ) from None
        self.desk = desk
        self.token = secrets.token_urlsafe(24)
        self.hosts = {f"{name}:{self.server_address[1]}" for name in (HOST, "localhost")}
        self.url = f"http://{HOST}:{self.server_address[1]}/{self.token}/"
        self._page = files("policies.labelling").joinpath("page.html").read_text("utf-8")

    def page(self, nonce: str) -> bytes:
        """The page, whose style and script carry ``nonce``."""
        return self._page.replace("{{nonce}}", nonce).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Report what went wrong; a browser that hung up is nothing."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Lets in who may ask, and passes on what is asked."""

    server: LabelServer
    server_version = "tipsmith"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._handle(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        short = length.isascii() and length.isdigit() and len(length) < 6
        if not short or int(length) > LARGEST_BODY:
            self._send(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _PLAIN, b"too large\n"))
            return
        self._handle(self.rfile.read(int(length)))

    def _handle(self, body: bytes) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self._send(Answer(HTTPStatus.FORBIDDEN, _PLAIN, f"{refusal}\n".encode()))
            return
        token, *parts = self.path.removeprefix("/").split("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._send(NOT_FOUND)
        elif self.command == "GET" and parts == [""]:
            nonce = secrets.token_urlsafe(16)
            content = self.server.page(nonce)
            self._send(Answer(HTTPStatus.OK, "text/html; charset=utf-8", content), nonce)
        else:
            self._send(answer(self.server.desk, self.command, parts, body))

    def _refusal(self) -> str | None:
        """Why this request must not be answered; None if it may."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in self.server.hosts:
            return "this page is for a browser on the same computer"
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            return "this page answers to itself alone"
        kind = self.headers.get("Content-Type", "")
        if self.command == "POST" and kind.partition(";")[0].strip() != "application/json":
            return "JSON was expected"
        return None

    def _send(self, found: Answer, nonce: str = "") -> None:
        if found.status >= HTTPStatus.BAD_REQUEST:
            # What is left of a refused request must not be taken for the next one.
            self.close_connection = True
        self.send_response(found.status)
        policy = f"default-src 'none'; img-src 'self' data:; connect-src 'self'; {_allow(nonce)}"
        headers = {
            "Content-Type": found.kind,
            "Content-Length": str(len(found.content)),
            "Cache-Control": "private, max-age=86400" if found.keep else "no-store",
            "Content-Security-Policy": f"{policy}base-uri 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(found.content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal is for the person who labels."""


def _allow(nonce: str) -> str:
    """The part of the content policy that lets the page's own style and script run."""
    return f"style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; " if nonce else ""
