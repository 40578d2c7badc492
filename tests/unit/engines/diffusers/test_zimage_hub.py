"""A model by its hub id: out of the cache, over a real socket from a hub on this machine, or a sentence why not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tiny_checkpoint import copy_tiny

from zimage_core.engines.diffusers.options import Options
from zimage_core.engines.diffusers.weights import find_model, weights_hash
from zimage_core.errors import ConfigurationError, EngineUnavailable


def cached(tiny: Path, cache: Path, commit: str = "c0ffee" + "0" * 34) -> Path:
    """Lay out the cache as the hub's library leaves it: refs/main names a commit, whose snapshot is the folder."""
    home = cache / "models--acme--z-image"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    return copy_tiny(tiny, home / "snapshots" / commit)


def test_a_hub_id_in_the_cache_is_found_offline(tiny_checkpoint: Path, tmp_path: Path):
    snapshot = cached(tiny_checkpoint, tmp_path)
    found = find_model(Options(model="acme/z-image", offline=True), hub_cache=tmp_path)
    assert (found.name, found.folder) == ("acme/z-image", snapshot)
    local = find_model(Options(model=str(tiny_checkpoint)))
    assert weights_hash(found.all_files, None) == weights_hash(local.all_files, None)


def test_a_revision_chooses_the_snapshot(tiny_checkpoint: Path, tmp_path: Path):
    commit = "beef" + "1" * 36
    snapshot = cached(tiny_checkpoint, tmp_path, commit)
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    assert find_model(Options(model=f"acme/z-image@{commit}", offline=True), hub_cache=tmp_path).folder == snapshot


def test_a_hub_id_that_is_not_in_the_cache_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"acme/z-image is not in the local cache.*hf download acme/z-image"):
        find_model(Options(model="acme/z-image", offline=True), hub_cache=tmp_path)


def test_a_snapshot_with_a_part_missing_names_the_part(tiny_checkpoint: Path, tmp_path: Path):
    snapshot = cached(tiny_checkpoint, tmp_path)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="vae/diffusion_pytorch_model"):
        find_model(Options(model="acme/z-image", offline=True), hub_cache=tmp_path)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[BaseHTTPRequestHandler]], None]]:
    """A function that starts a hub on this machine, and has the hub's library ask it."""
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> None:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{servers[-1].server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
        )

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Refusal(BaseHTTPRequestHandler):
    """A hub that answers everything with one status."""

    status: int

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Shelf(BaseHTTPRequestHandler):
    """A hub with one repository, as far as a download asks it: its commit, its files, their bytes."""

    folder: Path
    commit = "d0" * 20
    given: list[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        listed = [file for file in sorted(self.folder.rglob("*")) if file.is_file()]
        if "/resolve/" in path:
            self.send_file(path.split(f"/resolve/{self.commit}/")[1])
        elif "/tree/" in path:
            names = [(str(file.relative_to(self.folder)), file.stat().st_size) for file in listed]
            self.send_json([{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in names])
        else:
            self.send_json({"id": "acme/z-image", "sha": self.commit, "siblings": []})

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_file(self, name: str) -> None:
        content = (self.folder / name).read_bytes()
        if self.command == "GET":
            self.given.append(name)
        self.send(content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": self.commit})

    def send_json(self, value: object) -> None:
        self.send(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("as_base", [False, True], ids=["model", "base"])
def test_a_hub_id_is_downloaded_once_and_only_what_is_needed(
    serve: Callable[[type[BaseHTTPRequestHandler]], None],
    tiny_checkpoint: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    as_base: bool,
):
    shelf = type("Shelf", (Shelf,), {"folder": tiny_checkpoint, "given": []})
    serve(shelf)
    file = tmp_path / "brand.safetensors"
    file.write_bytes(b"looked at when it is loaded")
    options = Options(model=str(file), base="acme/z-image") if as_base else Options(model="acme/z-image")
    found = find_model(options, hub_cache=tmp_path / "hub")
    assert (found.folder / "vae" / "diffusion_pytorch_model.safetensors").stat().st_size > 100_000
    assert ("transformer/diffusion_pytorch_model.safetensors" in shelf.given) != as_base
    assert not [name for name in shelf.given if name.startswith("controlnet")]
    asked = len(shelf.given)
    assert find_model(options, hub_cache=tmp_path / "hub") == found
    offline = dataclasses.replace(options, offline=True)
    assert find_model(offline, hub_cache=tmp_path / "hub") == found
    assert len(shelf.given) == asked
    written = "".join(capfd.readouterr()).splitlines()  # our own line shows where something set logging up before
    assert [line for line in written if "Looking for model acme/z-image" not in line] == []


TOKEN = "hf_" + "Secret" * 6


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [(401, ConfigurationError, "HTTP 401"), (503, EngineUnavailable, "could not be fetched")],
)
def test_what_the_hub_answers_becomes_a_sentence_without_the_token(
    serve: Callable[[type[BaseHTTPRequestHandler]], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    status: int,
    kind: type[Exception],
    says: str,
):
    serve(type("Refusal", (Refusal,), {"status": status}))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with caplog.at_level(logging.DEBUG), pytest.raises(kind, match=says) as caught:
        find_model(Options(model="acme/z-image"), hub_cache=tmp_path)
    assert TOKEN not in str(caught.value) + repr(caught.value.__cause__)
    assert TOKEN not in caplog.text


def test_a_hub_that_cannot_be_reached_may_be_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EngineUnavailable, match="acme/z-image could not be fetched") as caught:
        find_model(Options(model="acme/z-image"), hub_cache=tmp_path)
    assert caught.value.retryable
