"""What a browser sends to the page, sent by hand."""

from __future__ import annotations

import json
import secrets
from typing import Any

import requests

from scripts.page_parts.serving import Server

TIMEOUT = 60


class Tab:
    """One open page, as the server sees it."""

    def __init__(self, server: Server) -> None:
        self.server, self.key = server, secrets.token_hex(6)
        self.web = requests.Session()

    def url(self, path: str) -> str:
        return self.server.address.rstrip("/") + path

    def upload(self, data: bytes, name: str = "face.png") -> requests.Response:
        return self.web.post(self.url("/gradio_api/upload"), files={"files": (name, data)}, timeout=TIMEOUT)

    def number_of(self, function: str) -> int:
        """The number that gradio gave to the event answered by this method of `Page`."""
        for number, block in self.server.blocks.fns.items():
            if getattr(block.fn, "__name__", "") == function:
                return int(number)
        raise AssertionError(f"no event is answered by {function}")

    def number_of_button(self, text: str) -> int:
        """The number of the event of the button with this text."""
        blocks = self.server.blocks
        for number, block in blocks.fns.items():
            for target, _ in block.targets:
                component = blocks.blocks.get(target)
                if text in (getattr(component, "value", None), getattr(component, "label", None)):
                    return int(number)
        raise AssertionError(f"no button has the text {text}")

    def join(self, function: str, data: list[Any], **more: Any) -> requests.Response:
        """Put an event into the queue."""
        number = more["fn_index"] if "fn_index" in more else self.number_of(function)
        body = {"data": data, "fn_index": number, "session_hash": self.key, **more}
        return self.web.post(self.url("/gradio_api/queue/join"), json=body, timeout=TIMEOUT)

    def call(self, function: str, data: list[Any], **more: Any) -> list[Any]:
        """The answer to an event."""
        joined = self.join(function, data, **more)
        assert joined.status_code == 200, joined.text
        stream = self.web.get(
            self.url("/gradio_api/queue/data"), params={"session_hash": self.key}, stream=True, timeout=TIMEOUT
        )
        for line in stream.iter_lines():
            if not line.startswith(b"data:"):
                continue
            message = json.loads(line[5:])
            if message["msg"] == "process_completed":
                assert message["success"], message
                return list(message["output"]["data"])
        raise AssertionError("the stream ended without an answer")

    def show(self, data: bytes, name: str = "face.png") -> list[Any]:
        """Upload a photograph and have it shown."""
        (path,) = self.upload(data, name).json()
        return self.call("_uploaded", [file_data(path, name), 0])

    def press(self, text: str, data: list[Any]) -> list[Any]:
        """Press the button with this text."""
        return self.call("", data, fn_index=self.number_of_button(text))

    def move(self, *values: float) -> list[Any]:
        """Pull the sliders."""
        return self.call("follow", [*values])


def file_data(path: str, name: str = "face.png", **more: Any) -> dict[str, Any]:
    """A file as gradio's components send it."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}, **more}
