"""The page's server, asked by hand: nothing is lost or mixed up, and nothing is served but the page."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import requests
from PIL import Image

pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')

import edit
from scripts import page
from scripts.page_parts.gate import Uploads
from scripts.page_parts.limits import Limits
from scripts.page_parts.names import safe_name
from scripts.page_parts.serving import Server
from scripts.page_parts.sessions import Sessions
from scripts.page_parts.workbench import Bench
from tests.page.calls import TIMEOUT, Tab, file_data
from tests.page.conftest import SAMPLES
from tests.photographs import couple, encoded, portrait
from utils.provenance import mark_of

ESTIMATES = 5  # sliders of the avatar editor


def pictures(html: str) -> list[np.ndarray]:
    """The pictures within a piece of the page."""
    found = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def links(html: str) -> dict[str, str]:
    """File name → address."""
    return dict(re.findall(r"download='([^']+)' href='([^']+)'", html))


def position(answer: list) -> list[float]:
    """The sliders as they are set after a photograph was taken."""
    return [float(value["value"] if isinstance(value, dict) else value) for value in answer[-(ESTIMATES + 2) : -1]]


def test_a_face_is_shown_edited_and_saved_as_edit_py_does(server: Server, tmp_path: Path) -> None:
    tab = Tab(server)
    shown = tab.show(SAMPLES[1].read_bytes(), "my face.png")
    sliders = position(shown[1:])
    assert len(sliders) == ESTIMATES + 1 and "my face" not in json.dumps(shown[1:])  # no name is shown back unasked
    sliders[3] = 1.2
    message, viewer, facts, downloads = tab.move(*sliders)
    before, after = pictures(viewer)
    assert message == downloads == "" and np.abs(before.astype(int) - after).max() > 20 and "the edited face" in facts
    message, saved = tab.call("_save", [False])
    assert message == ""
    command = re.findall(r"<pre[^>]*>(.*?)</pre>", saved)[0].replace("&#x27;", "'")
    assert command == "python edit.py 'my face.png' -o OUT --set Smiling=1.2"
    (tmp_path / "my face.png").write_bytes(SAMPLES[1].read_bytes())
    words = [str(tmp_path / "my face.png"), "-o", str(tmp_path / "out"), "--set", "Smiling=1.2"]
    assert edit.main([*words, "--quiet", "--device", "cpu"]) == 0
    name = "my face--Smiling=1.2.png"
    theirs = (tmp_path / "out/faces" / name).read_bytes()
    reply = tab.web.get(tab.url("/" + links(saved)[name]), timeout=TIMEOUT)
    assert reply.content == theirs and (after == np.asarray(Image.open(io.BytesIO(theirs)))).all()
    assert "attachment" in reply.headers["content-disposition"]
    assert "sheet.png" in links(saved) and "64 × 64 pixels" in saved and "64 × 64 pixels" in viewer


def test_a_sweep_becomes_an_animation(server: Server) -> None:
    tab = Tab(server)
    sliders = position(tab.show(SAMPLES[2].read_bytes())[1:])
    message, saved = tab.call("save", [*sliders, "Young", -0.2, 1.2, 4])
    assert message == "" and "--sweep Young=-0.2:1.2:4" in saved
    data = tab.web.get(tab.url("/" + links(saved)["sweep-Young.gif"]), timeout=TIMEOUT).content
    with Image.open(io.BytesIO(data)) as animation:
        assert animation.n_frames == 6 and animation.size == (64, 64)  # type: ignore[attr-defined]
    mark = mark_of(data)
    assert mark is not None and mark["labels"][0] == "Young=-0.2"
    message, saved = tab.call("save", [*sliders, "Young", None, 1.2, 4])
    assert "role='alert'" in message and saved == ""
    for wrong in (["Beard", 0, 1, 3], ["Young", 0, 1, 99], ["Young", 0, 1, 1]):
        with pytest.raises(AssertionError, match="'success': False"):  # gradio knows the controls' limits
            tab.call("save", [*sliders, *wrong])


def test_the_second_face_of_a_photograph(photo_server: Server, tmp_path: Path) -> None:
    data = encoded(couple(), "JPEG", quality=95)
    (tmp_path / "couple.jpg").write_bytes(data)
    tab = Tab(photo_server)
    shown = tab.show(data, "couple.jpg")[1:]
    assert "2 faces found" in shown[2]
    shown = tab.call("_picked", [0], event_data={"index": 1})
    assert re.search(r"data-pick='1' aria-pressed='true'", shown[2])
    sliders = position(shown)
    sliders[3] = 1.5 if sliders[3] < 1 else -0.5
    tab.move(*sliders)
    for everyone, faces in ((False, ["--faces", "only-2"]), (True, [])):
        message, saved = tab.call("_save", [everyone])
        assert message == "" and ("--faces only-2" in saved) is not everyone
        label = f"Smiling={sliders[3]:g}"
        words = [str(tmp_path / "couple.jpg"), "-o", str(tmp_path / str(everyone)), "--set", label, *faces]
        words += list(photo_server.workbench.benches[0].words)
        assert edit.main([*words, "--quiet", "--device", "cpu"]) == 0
        theirs = (tmp_path / str(everyone) / f"photos/couple--{label}.jpg").read_bytes()
        assert tab.web.get(tab.url("/" + links(saved)[f"couple--{label}.jpg"]), timeout=TIMEOUT).content == theirs


def test_many_uploads_at_once_none_lost_or_mixed(server: Server) -> None:
    """100 tabs upload 100 faces; each is shown its own, and nothing is left of the uploads."""
    originals = [np.asarray(Image.open(path).convert("RGB")) for path in SAMPLES]
    files = []
    for number in range(100):
        picture = originals[number % len(originals)].copy()
        picture[:2, :2] = number  # no two are the same
        files.append((picture, encoded(Image.fromarray(picture))))

    def shown(number: int) -> bool:
        answer = Tab(server).show(files[number][1])
        (own,) = pictures(answer[3])
        return bool((own == files[number][0]).all())

    with ThreadPoolExecutor(20) as threads:
        assert all(threads.map(shown, range(100)))
    assert not list(server.uploads.folder.iterdir())


def test_the_same_file_from_many_at_once(server: Server) -> None:
    data = SAMPLES[0].read_bytes()
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: Tab(server).show(data), range(10)))
    assert all(pictures(answer[3]) for answer in answers)


def test_two_users_do_not_see_each_other(server: Server) -> None:
    one, other = Tab(server), Tab(server)
    first, second = one.show(SAMPLES[3].read_bytes()), other.show(SAMPLES[4].read_bytes())
    sliders = position(first[1:])
    sliders[0] = 1.0
    one.move(*sliders)
    _, saved = one.call("_save", [False])
    address = next(iter(links(saved).values()))
    assert other.call("_save", [False])[0]  # nothing to save: the edit is the first user's
    assert "/".join(address.split("/")[:2]) != f"results/{server.sessions.of(other.key).token}"
    token = server.sessions.of(other.key).token
    stolen = f"/results/{token}/{address.split('/')[-1]}"
    assert one.web.get(one.url(stolen), timeout=TIMEOUT).status_code == 404
    assert (pictures(first[3])[0] != pictures(second[3])[0]).any()


def test_a_closed_tab_leaves_nothing(server: Server) -> None:
    tab = Tab(server)
    sliders = position(tab.show(SAMPLES[5].read_bytes())[1:])
    sliders[0] = 1.0
    tab.move(*sliders)
    address = next(iter(links(tab.call("_save", [False])[1]).values()))
    folder = server.sessions.of(tab.key).folder
    assert folder.is_dir() and tab.web.get(tab.url("/" + address), timeout=TIMEOUT).status_code == 200
    server.sessions.close(tab.key)
    assert not folder.exists() and tab.web.get(tab.url("/" + address), timeout=TIMEOUT).status_code == 404


def test_idle_and_surplus_sessions_are_forgotten(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, Limits(sessions=2))
    folder = sessions.of("first---").new_folder()
    sessions.of("second--"), sessions.of("third---")
    assert len(sessions) == 2 and not folder.exists()
    sessions = Sessions(tmp_path, Limits(idle_minutes=1))
    sessions.of("old-----").used -= 61
    sessions.of("new-----")
    assert len(sessions) == 1


def test_wrong_files_are_answered_with_a_sentence(server: Server) -> None:
    tab = Tab(server)
    large = encoded(Image.new("L", (3000, 1500)))
    cases = {
        b"": "empty",
        b"#!/bin/sh\n": "known format",
        SAMPLES[0].read_bytes()[:900]: "damaged",
        encoded(Image.new("RGB", (9, 9))): "too small",
        large: "megapixels",
        b"\0\0\0\x18ftypheic" + bytes(50): "heic",
    }
    for data, words in cases.items():
        answer = tab.show(data)
        assert words in answer[1].lower() and "role='alert'" in answer[1], answer[1]
        assert tab.call("_save", [False])[0]
    for mode in ("L", "RGBA", "CMYK"):
        answer = tab.show(encoded(Image.open(SAMPLES[0]).convert(mode), "TIFF"))
        assert answer[1] == "" and pictures(answer[4])
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    answer = tab.show(encoded(Image.fromarray(noise)))
    assert "This does not look like a face of this domain" in answer[1] and answer[2]["visible"]
    sliders = position(answer[1:])
    sliders[0] = 1.5
    assert "This does not look like" in tab.move(*sliders)[0]
    tab.call("_forced", [0])
    assert tab.move(*sliders)[0] == "" and "--force" in tab.call("_save", [False])[1]


def test_values_that_no_slider_gives(server: Server) -> None:
    tab = Tab(server)
    sliders: list = position(tab.show(SAMPLES[0].read_bytes())[1:])
    for wrong in ("1", None, 1e9, {"path": "x"}, [1]):
        reply = tab.join("follow", [wrong, *sliders[1:]])
        if reply.status_code == 200:
            tab.web.get(tab.url("/gradio_api/queue/data"), params={"session_hash": tab.key}, timeout=TIMEOUT)
    assert tab.move(*sliders)[0] == ""  # the page goes on


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=UPLOADS/../../../../etc/passwd",
        "/gradio_api/file=UPLOADS/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/call/_save",
        "/gradio_api/run/predict",
        "/gradio_api/deep_link",
        "/gradio_api/dev/reload",
        "/gradio_api/vibe-code",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/monitoring",
        "/docs",
        "/openapi.json",
        "/static/../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/results/x/../../etc/passwd",
        "/results//etc/passwd",
        "/custom_component/x/client/component/../../../etc/passwd",
    ],
)
def test_no_file_and_no_other_address_is_served(server: Server, path: str) -> None:
    path = path.replace("UPLOADS", str(server.uploads.folder))
    port = int(server.address.rstrip("/").rsplit(":", 1)[1])
    for method in ("GET", "POST", "HEAD"):
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:  # nothing tidies the path
            request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
            connection.sendall(f"{request}Content-Length: 0\r\n\r\n".encode())
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        status = int(reply.split(b" ", 2)[1])
        assert status in (400, 401, 403, 404, 405) and b"root:" not in reply, (method, reply[:200])


def test_results_are_looked_up_by_name_only(server: Server) -> None:
    tab = Tab(server)
    tab.show(SAMPLES[0].read_bytes())
    token = server.sessions.of(tab.key).token
    for name in ("../1/face.png", quote("../../uploads", safe=""), "", "face.png/"):
        assert tab.web.get(tab.url(f"/results/{token}/{name}"), timeout=TIMEOUT).status_code == 404


@pytest.fixture()
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}", asked
    listening.shutdown()


def test_files_that_are_named_instead_of_uploaded(server: Server, listener: tuple[str, list[str]]) -> None:
    address, asked = listener
    tab = Tab(server)
    (own,) = tab.upload(SAMPLES[0].read_bytes()).json()
    inside = f"{server.uploads.folder}/../../etc/passwd"
    for path in ("/etc/passwd", "../../etc/passwd", str(SAMPLES[0]), inside, f"{own}/../../x", address, "\0", "", 7):
        reply = tab.join("_uploaded", [file_data(path), 0])  # type: ignore[arg-type]
        assert reply.status_code == 403, path
        reply = tab.join("follow", [{"deep": [file_data(path)]}, 0, 0, 0, 0, 1])  # type: ignore[arg-type]
        assert reply.status_code == 403, path
    answer = tab.call("_uploaded", [file_data(own, url=f"{address}/secret"), 0])
    assert pictures(answer[3]) and not asked  # the address was not looked at
    answer = tab.call("_uploaded", [file_data(own), 0])
    assert "did not arrive" in answer[1]  # it can be taken once
    reply = tab.web.get(tab.url(f"/gradio_api/file={own}"), timeout=TIMEOUT)
    assert reply.status_code == 200 and reply.headers["content-type"] == "image/svg+xml"  # nothing of it is left
    reply = tab.web.get(tab.url("/gradio_api/upload_progress"), timeout=TIMEOUT)
    assert reply.status_code == 200 and json.loads(reply.text.removeprefix("data: ")) == {"msg": "done"}


def test_names_are_never_trusted(server: Server, tmp_path: Path) -> None:
    data = SAMPLES[0].read_bytes()
    for name in (
        "../../x.png",
        "a/b\\c.png",
        "line\nbreak.png",
        "-rf.png",
        ".hidden",
        "x.safetensors",
        "e" * 300,
        "∞.png",
    ):
        safe = safe_name(name, data)
        assert re.fullmatch(r"[\w][\w -]*\.\w+", safe) and len(safe) < 70 and not safe.startswith((".", "-")), safe
        assert not safe.endswith(".safetensors")
        tab = Tab(server)
        reply = tab.upload(data, name)
        if reply.status_code == 200:  # the client itself refuses some
            assert Path(reply.json()[0]).parent.parent == server.uploads.folder
            answer = tab.call("_uploaded", [file_data(reply.json()[0], name), 0])
            sliders = position(answer[1:])
            sliders[0] = 1.0
            tab.move(*sliders)
            command = re.findall(r"<pre[^>]*>(.*?)</pre>", tab.call("_save", [False])[1])
            assert len(command) == 1 and "\n" not in command[0] and ".." not in command[0]


def test_uploads_have_a_size_and_a_time(server: Server, tmp_path: Path) -> None:
    tab = Tab(server)
    assert tab.upload(bytes(2_100_000)).status_code == 413

    def endless() -> Iterator[bytes]:
        yield b"--x\r\nContent-Disposition: form-data; name=files; filename=a.png\r\n\r\n"
        for _ in range(100):
            yield bytes(100_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        status = requests.post(
            tab.url("/gradio_api/upload"), data=endless(), headers=headers, timeout=TIMEOUT
        ).status_code
    except requests.ConnectionError:  # cut off while sending
        status = 413
    assert status == 413
    for body in (b"", b"--x--", b"--x\r\n\r\n", b"text"):
        reply = requests.post(tab.url("/gradio_api/upload"), data=body, headers=headers, timeout=TIMEOUT)
        assert reply.status_code == 400
    assert tab.join("follow", ["x" * 300_000]).status_code == 413
    uploads = Uploads(tmp_path)
    old = uploads.add("a.png", b"x")
    os.utime(old.parent, (1, 1))
    uploads.add("b.png", b"y")
    assert not old.exists() and len(list(tmp_path.iterdir())) == 1


def test_other_names_of_this_machine_are_refused(server: Server) -> None:
    """A page elsewhere whose name is made to point to this machine."""
    reply = requests.get(server.address, headers={"Host": "evil.example"}, timeout=TIMEOUT)
    assert reply.status_code == 403


def test_a_full_queue_says_so(avatars: Bench) -> None:
    server = Server([avatars], SAMPLES, Limits(waiting=2, at_once=1))
    try:
        tab = Tab(server)
        sliders = position(tab.show(SAMPLES[0].read_bytes())[1:])
        with server.sessions.of(tab.key).lock:  # the work of this tab has to wait
            replies = [tab.join("follow", sliders) for _ in range(6)]
        refused = [reply for reply in replies if reply.status_code == 503]
        assert refused and "full" in refused[0].text.lower()
    finally:
        server.close()
    assert not server.folder.exists()


def test_a_password_is_asked_for_everywhere(avatars: Bench) -> None:
    server = Server([avatars], SAMPLES, password="swordfish")
    try:
        tab = Tab(server)
        assert tab.upload(SAMPLES[0].read_bytes()).status_code == 401
        assert tab.web.get(tab.url("/results/x/y"), timeout=TIMEOUT).status_code == 401
        assert tab.join("_save", [False]).status_code == 401
        assert tab.web.get(tab.url("/config"), timeout=TIMEOUT).status_code == 401
        wrong = tab.web.post(tab.url("/login"), data={"username": "sdflow", "password": "x"}, timeout=TIMEOUT)
        assert wrong.status_code == 400
        tab.web.post(tab.url("/login"), data={"username": "sdflow", "password": "swordfish"}, timeout=TIMEOUT)
        assert pictures(tab.show(SAMPLES[0].read_bytes())[3])
    finally:
        server.close()


def test_others_reach_the_page_with_a_password_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SDFLOW_PAGE_PASSWORD", raising=False)
    assert page.parse_arguments([]).host == "127.0.0.1"
    with pytest.raises(SystemExit):
        page.parse_arguments(["--host", "0.0.0.0"])
    monkeypatch.setenv("SDFLOW_PAGE_PASSWORD", "x")
    assert page.parse_arguments(["--host", "0.0.0.0"]).password == "x"
    with pytest.raises(SystemExit):
        page.parse_arguments(["--password", ""])
    assert "argument --password: is empty" in capsys.readouterr().err
    assert page.main(["--checkpoint", "nowhere", "--no-browser"]) == 2


def test_the_editor_of_masks_is_offered_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "ROOT", tmp_path)
    assert page.shipped_editors() == [None]
    masks = tmp_path / "pretrained/avatars/s2flow.safetensors"
    masks.parent.mkdir(parents=True)
    masks.touch()
    assert page.shipped_editors() == [None, str(masks)]


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "x" * 70, "999.1.1.1", ""])
def test_an_address_of_another_machine_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        page.parse_arguments(["--host", host, "--password", "x"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and "argument --host: " in said and "port" not in said


def test_a_file_with_a_turned_portrait(photo_server: Server) -> None:
    """A telephone's photograph, stored turned, is shown upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = portrait().transpose(Image.Transpose.ROTATE_90)
    answer = Tab(photo_server).show(encoded(stored, "JPEG", exif=exif))
    assert answer[1] == "" and np.abs(pictures(answer[3])[0].astype(int) - np.asarray(portrait())).mean() < 8
