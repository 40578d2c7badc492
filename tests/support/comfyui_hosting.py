"""How the ComfyUI of tests is hosted: quick to stop, and able to break off in the middle of an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.responses import Response


class Quick(uvicorn.Server):
    """Looks a hundred times a second whether to stop, not ten times: that is most of what a short test takes."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: Any = None) -> None:
        """Let go of everybody at once, as a process that dies does."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.01)


class Broken(Response):
    """An answer that breaks off, or comes a byte at a time."""

    def __init__(self, *, drip_s: float | None = None) -> None:
        super().__init__()
        self.drip_s = drip_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"100000"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while self.drip_s is not None:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(self.drip_s)
        raise ConnectionResetError("closed, as it was told to")
