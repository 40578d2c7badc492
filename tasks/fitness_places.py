"""Whether what a run writes to and talks to is there: stores, ledger, Prefect server, and one clock for all of them."""

from __future__ import annotations

import zoneinfo
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import prefect
from prefect.settings import get_current_settings
from sqlalchemy import make_url

from tasks.devices import SHARD_DEPLOYMENT
from tasks.fitness import Advice
from zimage_core import clock
from zimage_core.errors import ConfigurationError, LedgerError, StorageError, ZImageError
from zimage_core.ledger import Ledger
from zimage_core.settings import Settings, load_publish_settings
from zimage_core.storage import BucketStore, LocalStore, Store, open_store

PROBE: Final = b"zimage doctor"
ZONE: Final = "Asia/Shanghai"
ANSWER_S: Final = 10.0

MAX_SKEW_S: Final = 15.0
"""A quarter of the default lease (60 s): a worker whose clock is further ahead might take over a shard that lives."""

DEPLOYMENTS: Final = ("produce/produce", SHARD_DEPLOYMENT)
POOLS: Final = ("cpu", "gpu")

RECORDER_BATCH: Final = 50
"""Task runs the server should write at a time: 65-80 ms each one by one, 6-10 ms in hundreds."""


def check_work_store(settings: Settings) -> Iterator[str]:
    """Write, read and delete a file where attempts are kept. Raises StorageError."""
    store = LocalStore(settings.work_dir / "store")
    _probe(store, f"the work store {settings.work_dir / 'store'}", "ZIMAGE_WORK_DIR")
    yield f"{settings.work_dir / 'store'}: written, read and deleted"


def check_publishing(settings: Settings) -> Iterator[str]:
    """Write, read and delete a file where releases go, and say what they carry.

    Raises ConfigurationError, StorageError.
    """
    from tasks.releases import publishing_lines
    from tasks.runtime import opened_rooms

    publishing = load_publish_settings()
    store = open_store(publishing, settings.out_dir)
    try:
        _probe(store, f"the store {publishing.to or settings.out_dir / 'cdn'}", "ZIMAGE_PUBLISH_*")
    finally:
        if isinstance(store, BucketStore):
            store.close()
    with opened_rooms():
        yield from publishing_lines()


def _probe(store: Store, named: str, setting: str) -> None:
    key = f"doctor/{clock.fresh_id()}.txt"
    try:
        store.put(key, PROBE, content_type="text/plain")
        read = store.get(key)
        store.delete(key)
    except (StorageError, OSError) as error:
        said = error.sentence if isinstance(error, ZImageError) else str(error)
        raise StorageError(
            f"A file cannot be written to {named}, read back and deleted: {said} See that this account may do all "
            f"three, or correct {setting}."
        ) from error
    if read != PROBE:
        raise StorageError(f"The store {named} gave back other bytes than were written: look at its disk.")


def check_ledger(settings: Settings) -> Iterator[str]:
    """Open the ledger, write to it and take that back. Raises LedgerError and ConfigurationError."""
    url = settings.resolved_ledger_url()
    shown = make_url(url).render_as_string()
    try:
        with Ledger.open(url, busy_timeout_s=ANSWER_S) as ledger:
            runs = len(ledger.runs(limit=100))
            if lease := ledger.acquire_lease("doctor", clock.fresh_id(), 1.0):  # None: another doctor has written
                lease.release()
    except LedgerError as error:
        raise LedgerError(
            f"{error.sentence} The ledger is {shown}: see that its server runs and that this account may write to it, "
            "or correct ZIMAGE_LEDGER_URL."
        ) from error
    yield f"{shown}, {runs} runs, written to"
    if settings.runner == "pool" and url.startswith("sqlite"):
        yield Advice("workers on several machines need a ledger in PostgreSQL: set ZIMAGE_LEDGER_URL")


@dataclass(frozen=True, slots=True)
class _Server:
    """The configured Prefect server, and how it is asked."""

    url: str
    headers: dict[str, str]

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Return the answer to a GET. Raises ConfigurationError when there is none, or a refusal."""
        try:
            answer = httpx.get(f"{self.url}{path}", headers=self.headers, params=query, timeout=ANSWER_S)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"The Prefect server at {self.url} cannot be reached ({type(error).__name__}): start it with `prefect "
                "server start`, or correct PREFECT_API_URL."
            ) from error
        if answer.status_code in (401, 403):
            raise ConfigurationError(
                f"The Prefect server at {self.url} does not let us in (HTTP {answer.status_code}): set PREFECT_API_KEY "
                "or PREFECT_API_AUTH_STRING."
            )
        return answer


def _server() -> _Server | None:
    api = get_current_settings().api
    if api.url is None:
        return None
    headers = {}
    if api.key is not None:
        headers["Authorization"] = f"Bearer {api.key.get_secret_value()}"
    elif api.auth_string is not None:
        headers["Authorization"] = f"Basic {b64encode(api.auth_string.get_secret_value().encode()).decode()}"
    return _Server(api.url.rstrip("/"), headers)


def check_prefect(settings: Settings) -> Iterator[str]:
    """Say whether the Prefect server answers and has what the configured runner needs. Raises ConfigurationError."""
    server = _server()
    if server is None:
        if settings.runner == "pool":
            raise ConfigurationError(
                "Shards are to be made by workers (ZIMAGE_RUNNER=pool), and no Prefect server is configured: start one "
                "with `prefect server start` and set PREFECT_API_URL to it."
            )
        yield f"{prefect.__version__}, no server configured: each run starts its own"
        return
    answer = server.get("/admin/version")
    if answer.status_code != httpx.codes.OK:
        raise ConfigurationError(
            f"{server.url} answers HTTP {answer.status_code} where a Prefect server says its version: PREFECT_API_URL "
            "ends in /api."
        )
    version = str(answer.json())
    if version.split(".")[:2] != prefect.__version__.split(".")[:2]:
        raise ConfigurationError(
            f"The Prefect server has version {version} and this client {prefect.__version__}: install the same minor "
            "version on both, the server first."
        )
    yield f"{prefect.__version__}, server {server.url}"
    if version != prefect.__version__:
        yield Advice(f"the server has {version}; the same version on both spares surprises")
    if advice := _recorder_advice(server):
        yield advice
    if settings.runner == "pool":
        yield from _pool_lines(server)


def _recorder_advice(server: _Server) -> Advice | None:
    answer = server.get("/admin/settings")
    if answer.status_code != httpx.codes.OK:
        return None
    recorder = answer.json().get("server", {}).get("services", {}).get("task_run_recorder", {})
    size = recorder.get("batch_size")
    if not isinstance(size, int) or size >= RECORDER_BATCH:
        return None
    return Advice(
        f"it writes task runs {size} at a time and lags behind large runs: start it with "
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE=100 and ..._READ_BATCH_SIZE=100"
    )


def _pool_lines(server: _Server) -> Iterator[str]:
    """Say what workers find on the server. Raises ConfigurationError when a pool or a deployment is missing."""
    missing = [f"work pool {name}" for name in POOLS if server.get(f"/work_pools/{name}").status_code != httpx.codes.OK]
    missing += [
        f"deployment {name}"
        for name in DEPLOYMENTS
        if server.get(f"/deployments/name/{name}").status_code != httpx.codes.OK
    ]
    if missing:
        raise ConfigurationError(
            f"Shards are to be made by workers, and the Prefect server has no {', no '.join(missing)}: run `zimage "
            "setup` and `prefect deploy --all --no-prompt`."
        )
    yield f"pools {' and '.join(POOLS)}, deployments {' and '.join(DEPLOYMENTS)}"
    gpu = server.get("/work_pools/gpu").json()
    if gpu.get("concurrency_limit") is None:
        yield Advice("the pool gpu has no limit: `zimage setup --gpus N` lets in one shard a GPU")
    if gpu.get("status") != "READY":
        yield Advice("no worker of the pool gpu is online: start one with `prefect worker start --pool gpu`")


def check_clock(settings: Settings) -> Iterator[str]:
    """Compare this clock with the server's, and look for time zones. Raises ConfigurationError."""
    try:
        zoneinfo.ZoneInfo(ZONE)
    except (zoneinfo.ZoneInfoNotFoundError, OSError) as error:
        raise ConfigurationError(
            f"This machine does not know the time zone {ZONE}, in which promotions begin and end: install its time "
            "zones (`apt-get install tzdata`, or pip install tzdata)."
        ) from error
    asked = _dated_by(settings)
    if asked is None:
        yield f"{clock.now():%Y-%m-%d %H:%M:%S} UTC, no server to compare it with"
        return
    url, theirs = asked
    skew_s = (clock.now() - theirs).total_seconds()
    if abs(skew_s) > MAX_SKEW_S:
        raise ConfigurationError(
            f"This clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} that of {url}: leases, "
            f"deadlines and signatures need them within {MAX_SKEW_S:.0f} s. Let both machines keep time (`timedatectl "
            "set-ntp true`)."
        )
    yield f"within {max(1.0, abs(skew_s)):.0f} s of {url}"


def _dated_by(settings: Settings) -> tuple[str, datetime] | None:
    """Return who says what time it is, and when: the Prefect server, the bucket, a remote engine; None for none.

    HTTP dates count whole seconds and are cut off, so half a second is added; an answer that is late is not trusted.
    """
    publishing = load_publish_settings()
    engine_url = next((url for url in settings.engine_options.values() if url.startswith("http")), None)
    for url in (get_current_settings().api.url, publishing.endpoint, publishing.public_url, engine_url):
        if url is None:
            continue
        asked_s = clock.elapsed_s()
        try:
            dated = httpx.head(url, timeout=ANSWER_S).headers.get("date")
            theirs = parsedate_to_datetime(dated) if dated else None
        except (httpx.TransportError, httpx.InvalidURL, ValueError):
            continue
        late_s = clock.elapsed_s() - asked_s
        if theirs is not None and theirs.tzinfo is not None and late_s < MAX_SKEW_S / 3:
            return url, theirs + timedelta(seconds=0.5 + late_s / 2)
    return None
