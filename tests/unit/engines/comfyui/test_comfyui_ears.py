"""The socket: its key is in no log, its certificate is verified like any other, a dead server holds nobody up."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import certificate
from comfyui_server import ComfyUI
from pydantic import SecretStr
from websockets.sync.server import ServerConnection, serve

from zimage_core.engines.comfyui import ears as module
from zimage_core.engines.comfyui.ears import Ears
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.options import read_comfyui_options

KEY = "sk-Very/Secret+0123456789=="


@contextlib.contextmanager
def socket_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """A websocket server behind TLS; yields its address and the authority that vouches for it."""
    certificate_file, key_file = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)

    def listen(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    with serve(listen, "127.0.0.1", 0, ssl=context, close_timeout=0.1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.socket.getsockname()[1]}", certificate_file
        finally:
            server.shutdown()
            thread.join()


def test_the_key_is_in_no_log_of_the_socket(server: ComfyUI, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "zimage_core"):
        caplog.set_level(logging.DEBUG, logger=name)
    ears = Ears(server.url, "client", {"Authorization": SecretStr(f"Bearer {KEY}")})
    ears.follow("prompt")
    assert ears.wait_open(20)
    ears.close()
    assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    assert all(KEY not in record.getMessage() + repr(record.__dict__) for record in caplog.records)


def test_a_private_authority_holds_for_the_socket_too(tmp_path: Path) -> None:
    with socket_server(tmp_path) as (url, ca_file):
        engine = ComfyEngine(read_comfyui_options({"url": url, "ca_file": str(ca_file)}))
        ears = engine.fleet.station(url).ears
        ears.follow("prompt")
        assert ears.wait_open(20)
        engine.close()


def test_a_certificate_that_nobody_vouches_for_opens_no_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="zimage_core.engines")
    with socket_server(tmp_path) as (url, _):
        engine = ComfyEngine(read_comfyui_options({"url": url}))
        ears = engine.fleet.station(url).ears
        ears.follow("prompt")
        assert not ears.wait_open(0.5)
        engine.close()
    assert "SSLCertVerificationError" in caplog.text


def test_closing_does_not_wait_for_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTEN_S", 0.05)
    monkeypatch.setattr(module, "OPEN_S", 30.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it takes the connection and says nothing
        ears = Ears(f"http://127.0.0.1:{mute.getsockname()[1]}", "client", {})
        ears.follow("prompt")
        accepted, _ = mute.accept()
        started_s = time.monotonic()
        ears.close()
        assert time.monotonic() - started_s < 15
        accepted.close()
