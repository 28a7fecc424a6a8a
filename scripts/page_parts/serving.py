"""Serving the page: to this machine unless told otherwise, and to nobody else's servers."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr
from huggingface_hub import constants
from starlette.middleware import Middleware

from scripts.page_parts.gate import Gate, Uploads
from scripts.page_parts.layout import Page
from scripts.page_parts.limits import Limits
from scripts.page_parts.sessions import Sessions
from scripts.page_parts.style import CSS
from scripts.page_parts.workbench import Bench, Workbench

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
USER = "sdflow"


@cache
def _gradio_folder() -> Path:
    """Where gradio takes uploads from, in this process; readable by this user alone."""
    folder = Path(tempfile.mkdtemp(prefix="sdflow-uploads-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


class Server:
    """A page that is being served.

    Args:
        host, port: where; port 0 takes a free one.
        password: asked for with the user name `sdflow`; None: nobody is asked.
    Attributes:
        address: of the page.
        folder: of the results; removed, as are the uploads, by `close`.
    """

    def __init__(
        self,
        benches: Sequence[Bench],
        samples: Sequence[Path] = (),
        limits: Limits | None = None,
        host: str = LOOPBACK[0],
        port: int = 0,
        password: str | None = None,
        open_browser: bool = False,
    ) -> None:
        constants.HF_HUB_OFFLINE = True  # editors are here by now; gradio, which knows the hub, has nothing to fetch
        self.limits = limits if limits is not None else Limits()
        self.folder = Path(tempfile.mkdtemp(prefix="sdflow-page-"))  # readable by this user alone
        self.uploads = Uploads(Path(tempfile.mkdtemp(dir=_gradio_folder())))
        self.sessions = Sessions(self.folder, self.limits)
        self.workbench = Workbench(benches, self.limits)
        self.blocks = Page(self.workbench, self.sessions, self.uploads, samples).build()
        hosts = LOOPBACK if host in LOOPBACK else ()
        gate = Middleware(
            Gate,
            uploads=self.uploads,
            sessions=self.sessions,
            limits=self.limits,
            hosts=hosts,
        )
        fonts = ["system-ui", "sans-serif"]
        _, self.address, _ = self.blocks.launch(
            server_name=host,
            server_port=port or None,
            auth=(USER, password) if password else None,
            share=False,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            strict_cors=True,
            allowed_paths=[],
            max_file_size=f"{self.limits.megabytes}mb",
            app_kwargs={"middleware": [gate], "docs_url": None, "redoc_url": None, "openapi_url": None},
            theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
        )

    def wait(self) -> None:
        """Serve until interrupted."""
        self.blocks.block_thread()

    def close(self) -> None:
        """End serving and delete everything that was written."""
        self.blocks.close(verbose=False)
        for folder in (self.folder, self.uploads.folder):
            shutil.rmtree(folder, ignore_errors=True)
