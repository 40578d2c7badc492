"""From a fresh Prefect server to deployments with schedules: set up, deployed twice, and due at the right instants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from deployed import CLOCKS, Deployed, utc
from started_prefect import environment_of, ran

from zimage_core.planning.schedule import calendar_of
from zimage_core.prompting import PromptLibrary

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployed")]

ROOT = Path(__file__).resolve().parents[2]
CPU = {"produce", "new-arrivals", "publish", "expire", "produce-618", "produce-double11", "produce-black-friday"}


def test_everything_is_deployed_and_nothing_is_switched_on(deployed: Deployed) -> None:
    found = deployed.deployments()
    assert {name for name, one in found.items() if one["work_pool_name"] == "cpu"} >= CPU
    assert [name for name, one in found.items() if one["work_pool_name"] == "gpu"] == ["produce-shard"]
    schedules = [schedule for one in found.values() for schedule in one["schedules"]]
    assert len(schedules) >= 9
    assert not any(schedule["active"] for schedule in schedules)
    assert len({schedule["slug"] for schedule in schedules}) == len(schedules)
    assert found["new-arrivals"]["parameters"]["order"] == {
        "catalogue": "catalogue.csv",
        "promotion": "everyday",
        "only": "changed",
    }


def test_no_deployment_holds_a_path_of_this_machine(deployed: Deployed) -> None:
    for name, one in deployed.deployments().items():
        assert one["pull_steps"] == [{"flows.workplace.enter": {}}], name
        assert ":" not in one["entrypoint"], "a module, so that no folder comes first on sys.path"
        assert str(deployed.folder) not in str(one | {"parameter_openapi_schema": {}}), name


def test_setting_up_and_deploying_again_change_nothing(deployed: Deployed) -> None:
    before = comparable(deployed)
    said = deployed.zimage("setup", "--gpus", "2")
    assert re.findall(r"^(made|changed|updated):.*", said, re.MULTILINE) == []
    assert said.count("found: work") == 5
    assert "unchanged: automation" in said
    deployed.deploy()
    assert comparable(deployed) == before


def comparable(deployed: Deployed) -> dict[str, Any]:
    own = ("id", "name", "entrypoint", "parameters", "pull_steps", "work_pool_name", "parameter_openapi_schema")
    return {
        name: {key: one[key] for key in own}
        | {"schedules": sorted((s["slug"], s["id"], str(s["schedule"]), s["active"]) for s in one["schedules"])}
        for name, one in deployed.deployments().items()
    }


def test_the_limit_of_the_gpu_pool_follows_the_gpus_and_is_kept(deployed: Deployed) -> None:
    assert "changed: work pool gpu (process), 3 runs at a time; it was 2 runs" in deployed.zimage(
        "setup", "--gpus", "3"
    )
    dry = deployed.zimage("setup", "--gpus", "2", "--dry-run")
    assert "changed: work pool gpu (process), 2 runs at a time; it was 3 runs" in dry
    assert "found: work pool gpu (process), 3 runs at a time" in deployed.zimage("setup")
    said = deployed.zimage("setup", "--gpus", "2")
    assert deployed.ask("/work_pools/gpu", method="GET")["concurrency_limit"] == 2
    lines = [line for line in said.splitlines() if "worker start" in line]
    assert len(lines) == 3
    assert all(f"PREFECT_API_URL={deployed.url} ZIMAGE_HOME={deployed.folder}" in line for line in lines)
    assert [re.search(r"CUDA_VISIBLE_DEVICES=(\d)", line)[1] for line in lines[1:]] == ["0", "1"]
    assert all(line.endswith("--limit 1") for line in lines[1:])
    queues = {
        name: deployed.ask(f"/work_pools/gpu/queues/{name}", method="GET") for name in ("urgent", "default", "low")
    }
    assert [queue["priority"] for queue in queues.values()] == [1, 2, 3]


def test_queues_in_the_wrong_order_are_put_right(deployed: Deployed) -> None:
    low = deployed.ask("/work_pools/gpu/queues/low", method="GET")
    deployed.ask(f"/work_queues/{low['id']}", {"priority": 1}, method="PATCH")
    assert "changed: work queue low of gpu comes third" in deployed.zimage("setup")
    places = [
        deployed.ask(f"/work_pools/gpu/queues/{n}", method="GET")["priority"] for n in ("urgent", "default", "low")
    ]
    assert places == [1, 2, 3]


@pytest.mark.parametrize("slug", ["618", "double11", *CLOCKS])
def test_productions_are_due_at_the_instants_that_zimage_says(deployed: Deployed, slug: str) -> None:
    """Prefect's own answer, in UTC, over a change of clocks too."""
    name = f"produce-{slug.replace('_', '-')}"
    deployment = deployed.deployments()[name]
    for schedule in deployment["schedules"]:
        deployed.ask(f"/deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": True}, method="PATCH")
    calendar = calendar_of(PromptLibrary.load(deployed.folder / "prompts"), slug)
    window = {
        "start_time": (calendar.opens_at - timedelta(days=30)).isoformat(),
        "end_time": (calendar.ends_at + timedelta(days=30)).isoformat(),
        "min_runs": 100,
        "max_runs": 100,
    }
    deployed.ask(f"/deployments/{deployment['id']}/schedule", window)
    due = [utc(run["expected_start_time"]) for run in deployed.runs_of(name)]
    said = [at.astimezone(UTC) for recurrence in calendar.recurrences for at in recurrence.moments()]
    assert due == said
    assert due[0] == calendar.opens_at
    assert due[-1] < calendar.deadline_at
    if slug == "spring_clocks":
        assert [f"{at:%d %H}" for at in due] == ["12 07", "13 07", "14 06", "15 06"]
    if slug == "autumn_clocks":
        assert [f"{at:%d %H}" for at in due] == ["29 00", "30 00", "31 00", "01 01"]
    run = deployed.runs_of(name)[0]
    assert run["parameters"]["order"] == {"catalogue": "catalogue.csv", "promotion": slug}
    for schedule in deployment["schedules"]:
        deployed.ask(f"/deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": False}, method="PATCH")
    assert deployed.runs_of(name) == [], "what was switched off is not due any more"


def test_expiring_is_due_after_midnight_in_every_zone(deployed: Deployed) -> None:
    deployment = deployed.deployments()["expire"]
    for schedule in deployment["schedules"]:
        deployed.ask(f"/deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": True}, method="PATCH")
    day = datetime(2027, 6, 21, tzinfo=UTC)
    window = {"start_time": day.isoformat(), "end_time": (day + timedelta(days=1)).isoformat(), "min_runs": 50}
    deployed.ask(f"/deployments/{deployment['id']}/schedule", window)
    due = {utc(run["expected_start_time"]) for run in deployed.runs_of("expire")}
    of_that_day = sorted(f"{at:%H:%M}" for at in due if at.date() == day.date())
    for schedule in deployment["schedules"]:
        deployed.ask(f"/deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": False}, method="PATCH")
    assert of_that_day == ["04:10", "16:10", "22:10"], "New York, Shanghai, Berlin"


def test_a_schedule_that_is_switched_on_in_the_file_is_on_after_deploying(deployed: Deployed) -> None:
    path = deployed.folder / "prefect.yaml"
    text = path.read_text("utf-8")
    on = re.sub(r"(slug: 618-opens\n(?:.*\n){3} +active: )false", r"\1true", text)
    assert on != text
    path.write_text(on, "utf-8")
    deployed.zimage("schedule", "--check")
    deployed.deploy()
    active = [s["slug"] for one in deployed.deployments().values() for s in one["schedules"] if s["active"]]
    path.write_text(text, "utf-8")
    deployed.deploy()
    assert active == ["618-opens"]
    assert not any(s["active"] for one in deployed.deployments().values() for s in one["schedules"])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "No Prefect server is configured: start one with `prefect server start`"),
        ("http://127.0.0.1:9/api", "The Prefect server at http://127.0.0.1:9/api cannot be reached"),
    ],
)
def test_setting_up_without_a_server_says_what_to_do(tmp_path: Path, url: str | None, said: str) -> None:
    done = ran(["flows", "setup"], environment_of(tmp_path / "home", url) | {"PYTHONPATH": str(ROOT)}, tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_server_that_is_no_prefect_server_is_told(deployed: Deployed, tmp_path: Path) -> None:
    wrong = deployed.url.removesuffix("/api") + "/nothing"
    done = ran(["flows", "setup"], environment_of(tmp_path / "home", wrong) | {"PYTHONPATH": str(ROOT)}, tmp_path)
    assert done.returncode == 2
    assert "see that PREFECT_API_URL ends in /api" in " ".join(done.stderr.split())


def test_a_run_that_the_server_cannot_take_is_refused_and_nothing_is_created(deployed: Deployed) -> None:
    before = len(deployed.runs_of("produce"))
    wrong = {
        "limit": 0,
        "budget_usd": 0,
        "only": "some",
        "scenes": ["poster"],
        "when_short": "later",
        "runner": "there",
        "price_format": "roman",
        "catalogue": "",
        "promotion": "easter",
        "channels": ["amazon_man"],
        "engine": "dall-e",
        "nonsense": 1,
    }
    for key, value in wrong.items():
        answer = deployed.order("produce", {"order": {"catalogue": "catalogue.csv"} | {key: value}})
        assert (answer.status_code, "order" in answer.json()["detail"]) == (409, True), (key, answer.text)
    assert deployed.order("produce", {}).status_code == 409
    with_password = deployed.order("produce", {"order": {"catalogue": "postgresql://shop:secret@db/products"}})
    assert with_password.status_code == 409
    assert len(deployed.runs_of("produce")) == before


@pytest.mark.parametrize("name", ["produce", "publish", "expire"])
def test_every_field_of_a_form_has_a_title_and_a_description(deployed: Deployed, name: str) -> None:
    schema = deployed.deployments()[name]["parameter_openapi_schema"]
    (model,) = schema["definitions"].values()
    assert model["additionalProperties"] is False
    for field, described in model["properties"].items():
        assert described["title"][0].isupper(), field
        assert described["description"].endswith("."), field
        assert len(described["description"]) > 15, field


def test_the_form_of_produce_knows_choices_and_limits(deployed: Deployed) -> None:
    fields = deployed.deployments()["produce"]["parameter_openapi_schema"]["definitions"]["ProductionOrder"]
    of = fields["properties"]
    assert fields["required"] == ["catalogue"]
    assert of["only"]["enum"] == ["all", "new", "changed", "failed", "C"]
    assert of["price_format"]["enum"] == ["auto", "dot", "comma"]
    assert of["promotion"]["enum"] == sorted(path.stem for path in (deployed.folder / "prompts/promotions").glob("*"))
    assert "studio" in of["engine"]["anyOf"][0]["enum"]
    assert "wechat_moments" in of["channels"]["anyOf"][0]["items"]["enum"]
    assert of["limit"]["anyOf"][0] == {"minimum": 1, "type": "integer"}
    assert of["budget_usd"]["anyOf"][0]["exclusiveMinimum"] == 0
    assert "model_wear" in of["scenes"]["anyOf"][0]["items"]["enum"]
    assert of["deadline"]["anyOf"][0]["format"] == "date-time"


def test_the_server_answers_what_prefect_asks_it(deployed: Deployed) -> None:
    """Its own client sends null for what is not given; a web framework that refuses null breaks `prefect deploy`."""
    asked = {"workers": {"status": {"any_": ["ONLINE"]}}, "offset": None, "limit": None}
    answer = httpx.post(f"{deployed.url}/work_pools/cpu/workers/filter", json=asked, timeout=30)
    assert answer.status_code == 200, answer.text
