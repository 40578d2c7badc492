"""A server that speaks ComfyUI's protocol over a real socket, HTTP and websocket on one port, as read in its sources.

It judges graphs, keeps queue, history, cache and files, and draws a picture that follows from the values that arrived
(`comfyui_nodes`). It can be told to fail: `fail("view", "truncated")` for the next call, `chances` for a share of them.

Faults of any HTTP route ("prompt", "history", "queue", "view", "upload", "object_info", "exec_info", "interrupt"):
    429, 503        turned away            html       a page instead          drop        closed before it is looked at
    drop_after      done, then closed      drip       a byte now and then
of "view": truncated, huge (gigapixels in its header); of "prompt": wiped, the input folder is emptied first.
Faults of an execution ("run"):
    oom, error, value_error, wrong_clip, interrupted    it fails that way
    empty       it succeeds and names no file           gone     it succeeds and the file is deleted
    forget      it vanishes, as by a restart            stuck    it runs for ever without a sign
"""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import email.policy
import heapq
import io
import json
import struct
import threading
import time
import uuid
from collections import Counter, deque
from typing import Any, Self

import numpy as np
import uvicorn
from bad_pictures import huge_png
from comfyui_hosting import Broken, Quick
from comfyui_nodes import EXCEPTIONS, FILES, Wanted, failure, node_table, signature, validate, wanted
from PIL import Image, PngImagePlugin
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class ComfyUI:
    """A running server; `with ComfyUI() as server:` starts and stops it. What happened is in its attributes."""

    def __init__(self, *, files: dict[str, list[str]] | None = None, step_s: float = 0.0, seed: int = 0) -> None:
        self.table = node_table({**FILES, **(files or {})})
        self.step_s = step_s
        self.own_ids = self.refuses_known_ids = self.silent = self.deaf = False
        self.chances: dict[str, dict[str, float]] = {}
        self.plans: dict[str, deque[str]] = {}
        self.dice = np.random.default_rng(seed)
        self.faults: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.bodies: list[tuple[str, Any]] = []
        self.drawn: list[tuple[str, Wanted]] = []
        self.runs: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.photos: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.sockets: dict[str, WebSocket] = {}
        self.port = 0
        self.forget()

    def forget(self) -> None:
        """Lose what is in memory, as a restart does: queue, history and cache."""
        self.history: dict[str, Any] = {}
        self.queue: list[tuple[float, str, dict[str, Any], dict[str, Any], list[str]]] = []
        self.running: tuple[Any, ...] | None = None
        self.cache: dict[str, Any] = {}
        self.interrupted = False
        self.number = 0

    def fail(self, route: str, fault: str, times: int = 1) -> None:
        """Let the next calls of a route go wrong in this way."""
        self.plans.setdefault(route, deque()).extend([fault] * times)

    # ------------------------------------------------------------ starting and stopping

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen on a free port, or on the one it had before."""
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=self.port, ws="websockets-sansio", log_config=None,
            log_level="critical", lifespan="off", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._uvicorn = Quick(config)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(20), "the server did not start"

    def stop(self) -> None:
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        self._thread.join()
        self.sockets.clear()

    async def _serve(self) -> None:
        serving = asyncio.create_task(self._uvicorn.serve())
        while not self._uvicorn.started:
            await asyncio.sleep(0.005)
        self.port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        self._more, self.loop = asyncio.Event(), asyncio.get_running_loop()
        working = asyncio.create_task(self._work())
        self._started.set()
        await serving
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    def _app(self) -> Starlette:
        routes = [
            ("prompt", "/prompt", self._post_prompt, "POST"),
            ("exec_info", "/prompt", self._get_prompt, "GET"),
            ("history", "/history/{id}", self._get_history, "GET"),
            ("queue", "/queue", self._get_queue, "GET"),
            ("dequeue", "/queue", self._post_queue, "POST"),
            ("interrupt", "/interrupt", self._interrupt, "POST"),
            ("free", "/free", self._free, "POST"),
            ("object_info", "/object_info/{name}", self._object_info, "GET"),
            ("stats", "/system_stats", self._stats, "GET"),
            ("view", "/view", self._view, "GET"),
            ("upload", "/upload/image", self._upload, "POST"),
        ]
        made = [Route(path, self._guarded(name, act), methods=[method]) for name, path, act, method in routes]
        return Starlette(routes=[*made, WebSocketRoute("/ws", self._socket)])

    # ------------------------------------------------------------ faults

    def fault(self, route: str) -> str | None:
        """What goes wrong now, if anything."""
        if self.plans.get(route):
            found = self.plans[route].popleft()
        else:
            draw, found = self.dice.random(), None
            for name, chance in self.chances.get(route, {}).items():
                if draw < chance:
                    found = name
                    break
                draw -= chance
        if found:
            self.faults[f"{route}:{found}"] += 1
        return found

    def _guarded(self, name: str, act: Any) -> Any:
        async def answer(request: Request) -> Response:
            self.calls[name] += 1
            self.headers.append(dict(request.headers))
            fault = self.fault(name)
            if fault == "drop":
                return Broken()
            if fault == "drip":
                return Broken(drip_s=0.2)
            if fault in ("429", "503"):
                return JSONResponse({"error": "busy"}, int(fault), {"Retry-After": "0"} if fault == "429" else None)
            if fault == "html":
                return HTMLResponse("<!DOCTYPE html><title>Bad Gateway</title>")
            if fault == "wiped":
                self.photos.clear()
            response: Response = await act(request)
            if fault == "drop_after":
                return Broken()
            if fault == "huge":
                return Response(huge_png(), media_type="image/png")
            if fault == "truncated":
                return Response(response.body[: len(response.body) // 2], media_type="image/png")
            return response

        return answer

    # ------------------------------------------------------------ routes

    async def _post_prompt(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(("prompt", body))
        prompt_id = str(uuid.uuid4()) if self.own_ids else body.get("prompt_id", str(uuid.uuid4()))
        try:
            assert str(uuid.UUID(prompt_id)) == prompt_id
        except (ValueError, AssertionError):
            error = {"type": "invalid_prompt_id", "message": "prompt_id must be a valid UUID", "details": ""}
            return JSONResponse({"error": error, "node_errors": {}}, 400)
        waiting = [item[1] for item in (*self.queue, self.running) if item]
        if self.refuses_known_ids and prompt_id in (*waiting, *self.history):
            return JSONResponse({"error": "prompt_id already exists"}, 409)
        judged = validate(body["prompt"], self.table, self.photos)
        if judged["error"]:
            return JSONResponse({"error": judged["error"], "node_errors": judged["node_errors"]}, 400)
        self.number += 1
        extra = {"client_id": body["client_id"]} if "client_id" in body else {}
        heapq.heappush(self.queue, (self.number, prompt_id, body["prompt"], extra, judged["good"]))
        self._more.set()
        return JSONResponse({"prompt_id": prompt_id, "number": self.number, "node_errors": judged["node_errors"]})

    async def _get_prompt(self, _: Request) -> Response:
        return JSONResponse(self._queue_info())

    def _queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": len(self.queue) + (self.running is not None)}}

    async def _get_history(self, request: Request) -> Response:
        wanted_id = request.path_params["id"]
        return JSONResponse({wanted_id: self.history[wanted_id]} if wanted_id in self.history else {})

    async def _get_queue(self, _: Request) -> Response:
        return JSONResponse({"queue_running": [self.running] if self.running else [], "queue_pending": self.queue})

    async def _post_queue(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(("queue", body))
        self.queue = [item for item in self.queue if item[1] not in body.get("delete", [])]
        heapq.heapify(self.queue)
        return Response()

    async def _interrupt(self, request: Request) -> Response:
        raw = await request.body()
        body = json.loads(raw) if raw else {}
        self.bodies.append(("interrupt", body))
        if self.own_ids or not body.get("prompt_id") or (self.running and self.running[1] == body["prompt_id"]):
            self.interrupted = True
        return Response()

    async def _free(self, request: Request) -> Response:
        self.bodies.append(("free", await request.json()))
        return Response()

    async def _object_info(self, request: Request) -> Response:
        name = request.path_params["name"]
        return JSONResponse({name: self.table[name]} if name in self.table else {})

    async def _stats(self, _: Request) -> Response:
        return JSONResponse({"system": {"comfyui_version": "0.18.1"}, "devices": []})

    async def _view(self, request: Request) -> Response:
        query = request.query_params
        body = self.files.get("/".join(filter(None, (query.get("subfolder"), query["filename"]))))
        return Response(status_code=404) if body is None else Response(body, media_type="image/png")

    async def _upload(self, request: Request) -> Response:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + await request.body())
        parts = {part.get_param("name", header="content-disposition"): part for part in parsed.iter_parts()}
        folder = parts["subfolder"].get_content().strip() if "subfolder" in parts else ""
        content, name = parts["image"].get_payload(decode=True), parts["image"].get_filename()
        stem, taken, tried = name.removesuffix(".png"), name, 0
        while self.photos.get(f"{folder}/{taken}", content) != content:  # another file of that name: renamed
            tried += 1
            taken = f"{stem} ({tried}).png"
        self.photos[f"{folder}/{taken}"] = content
        return JSONResponse({"name": taken, "subfolder": folder, "type": "input"})

    # ------------------------------------------------------------ the socket

    async def _socket(self, socket: WebSocket) -> None:
        self.headers.append(dict(socket.headers))
        if self.deaf:
            return  # refused: closed before it is accepted
        client_id = socket.query_params["clientId"]
        await socket.accept()
        self.sockets[client_id] = socket
        await self._say(client_id, "status", {"status": self._queue_info(), "sid": client_id})
        if self.running and self.running[3].get("client_id") == client_id:
            await self._say(client_id, "executing", {"node": "3"})  # after a reconnection, without saying whose
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            if self.sockets.get(client_id) is socket:
                del self.sockets[client_id]

    async def _say(self, client_id: str | None, kind: str, data: dict[str, Any]) -> None:
        await self._send(client_id, json.dumps({"type": kind, "data": data}))

    async def _send(self, client_id: str | None, message: str | bytes) -> None:
        socket = None if self.silent else self.sockets.get(client_id or "")
        if socket is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))

    async def drop_sockets(self) -> None:
        for socket in list(self.sockets.values()):
            with contextlib.suppress(RuntimeError):
                await socket.close(1011)

    # ------------------------------------------------------------ the work

    async def _work(self) -> None:
        while True:
            while not self.queue:
                self._more.clear()
                await self._more.wait()
            self.running = item = heapq.heappop(self.queue)
            entry = await self._run(item)
            _, prompt_id, _, extra, _ = item
            still_ours, self.running = self.running is item, None
            if entry is None or not still_ours:  # forgotten meanwhile
                continue
            self.history[prompt_id] = entry
            await self._say(extra.get("client_id"), "executing", {"node": None, "prompt_id": prompt_id})

    async def _run(self, item: tuple[Any, ...]) -> dict[str, Any] | None:
        number, prompt_id, graph, extra, good = item
        client = extra.get("client_id")
        messages: list[list[Any]] = []

        async def tell(kind: str, data: dict[str, Any]) -> None:
            messages.append([kind, {"prompt_id": prompt_id, **data, "timestamp": int(time.time() * 1000)}])
            await self._say(client, kind, messages[-1][1])

        self.interrupted = False
        self.runs[prompt_id] += 1
        await tell("execution_start", {})
        fault = self.fault("run")
        outputs: dict[str, Any] = {}
        failed = None
        for output in [name for name in good if graph[name]["class_type"] == "SaveImage"]:
            known = self.cache.get(signature(graph, output, self.photos))
            await tell("execution_cached", {"nodes": list(graph) if known else []})
            if known is None:
                failed = await self._sample(graph, output, prompt_id, client, fault)
                if failed == "forget":
                    return None
                if failed:
                    break
                known = self._save(graph, output, fault)
                self.cache[signature(graph, output, self.photos)] = known
            outputs[output] = known
            await self._say(client, "executed", {"node": output, "output": known, "prompt_id": prompt_id})
        if failed:
            await tell(*failure(graph, failed))
        else:
            await tell("execution_success", {})
            await asyncio.sleep(0.005)  # said before the history has it
        return {
            "prompt": [number, prompt_id, graph, extra, good],
            "outputs": {} if failed or fault == "empty" else outputs,
            "meta": {},
            "status": {"status_str": "error" if failed else "success", "completed": not failed, "messages": messages},
        }

    async def _sample(
        self, graph: dict[str, Any], output: str, prompt_id: str, client: str | None, fault: str | None
    ) -> str | None:
        """Take the steps of the sampler, unless its answer is in the cache; return how it fails, if it does."""
        sampler = next(name for name, node in graph.items() if node["class_type"] == "KSampler")
        if fault in ("forget", "interrupted", *EXCEPTIONS):
            return fault
        if signature(graph, sampler, self.photos) in self.cache:
            return None
        asked = wanted(graph, output, self.photos)
        for step in range(1, asked.steps + 1):
            await self._say(client, "executing", {"node": sampler, "prompt_id": prompt_id})
            progress = {"value": step, "max": asked.steps, "prompt_id": prompt_id, "node": sampler}
            await self._say(client, "progress", progress)
            await self._send(client, struct.pack(">II", 1, 1) + b"\xff\xd8\xff preview")
            await asyncio.sleep(self.step_s)
            while fault == "stuck" and not self.interrupted:
                await asyncio.sleep(0.01)
            if self.interrupted:
                return "interrupted"
        self.drawn.append((prompt_id, asked))
        self.cache[signature(graph, sampler, self.photos)] = True
        return None

    def _save(self, graph: dict[str, Any], output: str, fault: str | None) -> dict[str, Any]:
        """Write the picture as SaveImage does: a counter behind the prefix, the graph in text chunks."""
        subfolder, _, prefix = graph[output]["inputs"]["filename_prefix"].rpartition("/")
        counter = 1 + sum(name.startswith(f"{subfolder}/{prefix}_") for name in self.files)
        filename = f"{prefix}_{counter:05}_.png"
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("prompt", json.dumps(graph))
        file = io.BytesIO()
        Image.fromarray(wanted(graph, output, self.photos).picture()).save(
            file, "PNG", pnginfo=chunks, compress_level=1
        )
        if fault != "gone":
            self.files["/".join(filter(None, (subfolder, filename)))] = file.getvalue()
        return {"images": [{"filename": filename, "subfolder": subfolder, "type": "output"}]}
