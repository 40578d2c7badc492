"""A Prefect server with the deployments of a copied project folder, asked over its API as the UI asks it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from started_prefect import environment_of, ran, started, started_server

ROOT = Path(__file__).resolve().parents[2]
RUN_S = 240
BUSY_S = 30
CATALOGUE = """sku,name,name_en,category,price,image
MUG-1,白瓷马克杯,White mug,家居,59.00,products/mug.jpg
LIP-1,正红唇膏,Red lipstick,美妆,139.00,products/lipstick.jpg
"""
CLOCKS = {
    # 02:00 does not exist in New York on 14 March 2027, and is there twice in Berlin on 31 October 2027
    "spring_clocks": {"time_zone": "America/New_York", "starts": "2027-03-18", "ends": "2027-03-20"},
    "autumn_clocks": {"time_zone": "Europe/Berlin", "starts": "2027-11-04", "ends": "2027-11-06"},
}
"""Promotions whose nights of production cross a change of clocks."""


@dataclass(frozen=True)
class Deployed:
    """A server, and a project folder whose prefect.yaml is deployed to it. `said` is what each command printed."""

    url: str
    folder: Path
    environment: dict[str, str]

    @property
    def ui(self) -> str:
        return self.url.removesuffix("/api")

    def zimage(self, *arguments: str) -> str:
        return self._checked(["flows", *arguments])

    def deploy(self) -> str:
        return self._checked(["prefect", "deploy", "--all", "--no-prompt"])

    def _checked(self, command: list[str]) -> str:
        done = ran(command, self.environment, self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, json: object = None, method: str = "POST") -> Any:
        answer = self._answered(method, path, json)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def _answered(self, method: str, path: str, json: object) -> httpx.Response:
        """Ask again, as Prefect's clients do, while its database on one file is busy."""
        deadline = time.monotonic() + BUSY_S
        while True:
            answer = httpx.request(method, f"{self.url}{path}", json=json, timeout=60)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return answer
            time.sleep(0.5)

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.ask("/deployments/filter", {})}

    def runs_of(self, name: str) -> list[dict[str, Any]]:
        chosen = {"deployments": {"name": {"any_": [name]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.ask("/flow_runs/filter", chosen))

    def order(self, name: str, parameters: object) -> httpx.Response:
        """Ask for a run as the form does, to start at once."""
        deployment = self.deployments()[name]["id"]
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self._answered("POST", f"/deployments/{deployment}/create_flow_run", asked)

    def ended(self, name: str, parameters: object) -> dict[str, Any]:
        """Start a run and return it when it has ended."""
        answer = self.order(name, parameters)
        assert answer.status_code == 201, answer.text
        deadline = time.monotonic() + RUN_S
        while True:
            run: dict[str, Any] = self.ask(f"/flow_runs/{answer.json()['id']}", method="GET")
            if run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return run
            assert time.monotonic() < deadline, (run["state"], (self.folder / "worker.log").read_text())
            time.sleep(0.3)

    @contextmanager
    def worker(self, pool: str, home: Path) -> Iterator[None]:
        """Keep a process worker of the pool running that stands in `home`."""
        command = ["worker", "start", "--pool", pool, "--type", "process", "--limit", "1"]
        environment = self.environment | {"ZIMAGE_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "1"}
        with started(command, environment, self.folder / "worker.log", cwd=self.folder.parent):
            yield


@contextmanager
def deployed_project(folder: Path) -> Iterator[Deployed]:
    """Start a server with its UI and deploy a project folder of its own to it, as docs/operations.md says."""
    project = folder / "project"
    shutil.copytree(ROOT / "prompts", project / "prompts")
    shutil.copyfile(ROOT / "prefect.yaml", project / "prefect.yaml")
    (project / "products").mkdir()
    for name in ("mug.jpg", "lipstick.jpg"):
        shutil.copyfile(ROOT / "examples" / "products" / name, project / "products" / name)
    (project / "catalogue.csv").write_text(CATALOGUE, "utf-8")
    for slug, dates in CLOCKS.items():
        content = yaml.safe_load((ROOT / "prompts" / "promotions" / "618.yaml").read_text("utf-8"))
        path = project / "prompts" / "promotions" / f"{slug}.yaml"
        path.write_text(yaml.safe_dump(content | dates | {"lead_days": 6}, allow_unicode=True), "utf-8")
    with started_server(folder / "server", ui=True) as url:
        environment = environment_of(folder / "client", url) | {
            "PYTHONPATH": str(ROOT),
            "ZIMAGE_PROMPTS_DIR": str(project / "prompts"),
            "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
        }
        yield Deployed(url, project, environment)


def utc(text: str) -> datetime:
    """Return a moment as the server writes it."""
    return datetime.fromisoformat(text)
