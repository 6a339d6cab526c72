"""The labelling page over a real socket: what it answers, and whom it refuses."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers import Frame, Scan
from drivers.errors import ConfigError
from drivers.formats import write_gsf, write_sxm
from policies.labelling.desk import Desk
from policies.labelling.server import LabelServer

JSON = {"Content-Type": "application/json"}
FRAME = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=12e-9)


class Browser:
    """As much of a browser as the page needs."""

    def __init__(self, server: LabelServer) -> None:
        self.port = int(server.server_address[1])
        self.token = server.token

    def ask(
        self, method: str, path: str, body: object = None, headers=(), token: str | None = None
    ):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            address = f"/{self.token if token is None else token}/{path}"
            connection.request(
                method, address, content if method == "POST" else None, dict(headers)
            )
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def state(self) -> dict:
        return json.loads(self.ask("GET", "state")[2])

    def press(self, key: str, seen: int | None = None) -> tuple[int, dict]:
        body = {"key": key, "seen": self.state()["revision"] if seen is None else seen}
        status, _, content = self.ask("POST", "key", body, JSON)
        return status, json.loads(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    z = np.random.default_rng(0).normal(0, 20e-12, (16, 32)).astype(np.float32)
    scan = Scan(forward=z, backward=z, frame=FRAME, bias_v=0.1, setpoint_a=1e-10)
    for name in ("a.sxm", "b.sxm"):
        write_sxm(tmp_path / name, scan)
    write_gsf(tmp_path / "c.gsf", Scan(forward=z, scale_known=False))
    Image.new("L", (7, 5), 90).save(tmp_path / "d.webp")
    return tmp_path


@pytest.fixture
def desk(folder: Path) -> Iterator[Desk]:
    with Desk(folder) as desk:
        yield desk


@pytest.fixture
def browser(desk: Desk) -> Iterator[Browser]:
    with LabelServer(desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Browser(server)
        server.shutdown()
        thread.join()


def test_keys_label_and_the_state_follows(browser: Browser, folder: Path) -> None:
    state = browser.state()
    assert (state["position"], state["total"], state["labelled"]) == (0, 4, 0)
    assert state["scan"]["name"] == "a.sxm"
    assert state["scan"]["facts"] == ["24 × 12 nm", "0.1 V", "100 pA", "32 × 16 points"]  # noqa: RUF001
    assert state["scan"]["aspect"] == pytest.approx(2)
    assert state["scan"]["ways"] == ["forward", "backward"]
    _, state = browser.press("2")
    assert [one["name"] for one in state["classes"] if one["on"]] == ["double"]
    assert state["scan"]["changed"] is True
    status, state = browser.press("save")
    assert (status, state["position"], state["labelled"], state["trouble"]) == (200, 1, 1, None)
    assert {one["name"]: one["count"] for one in state["classes"]}["double"] == 1
    assert "a.sxm,1,0,1,0" in (folder / "labels.csv").read_text()
    _, state = browser.press("undo")
    assert (state["position"], state["labelled"]) == (0, 0)
    for _ in range(4):
        _, state = browser.press("skip")
    assert "scan" not in state
    assert "4 skipped" in state["summary"]


def test_the_page_may_run_its_own_script_and_nothing_else(browser: Browser) -> None:
    status, headers, content = browser.ask("GET", "")
    assert status == 200
    page, policy = content.decode(), headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    assert f"script-src 'nonce-{nonce}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not re.findall(r"""(?:src|href)=["'](?!data:)|https?://|//[a-z]+\.|url\(""", page)
    assert nonce != re.findall(r'nonce="([^"]+)"', browser.ask("GET", "")[2].decode())[0]


@pytest.mark.parametrize(
    ("place", "way", "size"), [(0, 0, (32, 16)), (1, 1, (32, 16)), (2, 0, (32, 16)), (3, 0, (7, 5))]
)
@pytest.mark.parametrize("view", ["lines", "plane"])
def test_pictures(browser: Browser, place: int, way: int, view: str, size) -> None:
    status, headers, content = browser.ask("GET", f"picture/{place}/{way}/{view}")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    with Image.open(BytesIO(content)) as picture:
        assert picture.size == size


@pytest.mark.parametrize(
    "path",
    [
        "picture/4/0/lines",
        "picture/0/2/lines",
        "picture/2/1/lines",
        "picture/0/0/other",
        "picture/-1/0/lines",
        "picture/a.sxm/0/lines",
        "picture/%2e%2e/0/lines",
        "picture/0/0/lines/../../../../etc/passwd",
        "picture/99999999999999999999/0/lines",
        "picture/%D9%A1/0/lines",
        "../state",
        "labels.csv",
        "a.sxm",
        "key",
        "state/",
        "/state",
    ],
)
def test_nothing_else_is_there(browser: Browser, path: str) -> None:
    assert browser.ask("GET", path)[0] == 404


@pytest.mark.parametrize("token", ["", "x", "state", "%00", "%E9"])
@pytest.mark.parametrize("path", ["", "state", "picture/0/0/lines"])
def test_who_does_not_know_the_token_sees_nothing(browser: Browser, token: str, path: str) -> None:
    status, _, content = browser.ask("GET", path, token=token)
    assert (status, content) == (404, b"nothing here\n")


def test_a_page_from_elsewhere_is_refused_even_with_the_token(browser: Browser) -> None:
    body = {"key": "1", "seen": browser.state()["revision"]}
    own = f"http://127.0.0.1:{browser.port}"
    refused = [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{browser.port}"},
        {"Host": "127.0.0.1"},
        {**JSON, "Origin": "http://evil.example"},
        {**JSON, "Origin": "null"},
        {**JSON, "Origin": f"https://127.0.0.1:{browser.port}"},
        {"Content-Type": "text/plain"},
        {},
    ]
    for headers in refused:
        assert browser.ask("POST", "key", body, headers)[0] == 403, headers
    assert browser.ask("GET", "state", headers={"Host": "evil.example"})[0] == 403
    assert browser.state()["revision"] == body["seen"]
    assert browser.ask("POST", "key", body, {**JSON, "Origin": own})[0] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"key":"1"}', b'{"key":1,"seen":1}', b'{"key":"1","seen":"1"}']
)
def test_what_is_no_key_is_refused(browser: Browser, body: bytes) -> None:
    before = browser.state()
    assert browser.ask("POST", "key", body, JSON)[0] == 400
    assert browser.state() == before


@pytest.mark.parametrize("length", ["1001", "-1", "x", "99999999999999", "1e2"])
def test_no_more_is_read_than_a_key_needs(browser: Browser, length: str) -> None:
    headers = {**JSON, "Content-Length": length}
    assert browser.ask("POST", "key", b"{}", headers)[0] == 413


def test_a_key_that_does_nothing_is_not_kept(browser: Browser) -> None:
    before = browser.state()
    for key in ("9", "0", "back", "undo", "good", "../1", ""):
        status, state = browser.press(key)
        assert (status, state) == (200, before)


def test_a_key_meant_for_another_scan_does_not_count(browser: Browser) -> None:
    seen = browser.state()["revision"]
    browser.press("save", seen)
    status, state = browser.press("save", seen)
    assert status == 409
    assert "another window" in state["trouble"]
    assert state["labelled"] == 1


def test_of_keys_at_the_same_moment_one_counts(browser: Browser) -> None:
    seen = browser.state()["revision"]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(browser.press("save", seen)[0]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [409] * 5
    assert browser.state()["labelled"] == 1


def test_a_full_disk_is_said_and_nothing_is_labelled(browser: Browser, monkeypatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status, state = browser.press("save")
    assert status == 507
    assert "No space left" in state["trouble"]
    assert (state["position"], state["labelled"]) == (0, 0)


def test_a_damaged_scan_says_so_in_place_of_a_picture(browser: Browser, folder: Path) -> None:
    (folder / "b.sxm").write_bytes(b"no scan")
    browser.press("skip")
    state = browser.state()
    assert "b.sxm as a Nanonis .sxm scan" in state["scan"]["trouble"]
    assert state["scan"]["ways"] == []
    assert browser.ask("GET", "picture/1/0/lines")[0] == 404
    assert browser.press("save")[1]["position"] == 1


def test_it_listens_on_the_loopback_address_alone(desk: Desk) -> None:
    with LabelServer(desk) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert len(server.token) >= 32
        with LabelServer(desk) as other:
            assert other.token != server.token


def test_a_port_in_use_is_said(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on port {port} .*in use"):
            LabelServer(desk, port)
