"""Receivers hear of the live release, with what the catalogue says; and nothing they do is an error of the run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import RUN, attempt, promise
from small_servers import Answer
from typer.testing import CliRunner
from webhook_receiver import SECRET, TAKEN, receiving

from flows.cli_webhooks import app
from tasks.notify import Notified, notify
from tasks.order import ProductionOrder
from tasks.runtime import opened_rooms, rooms
from zimage_core.domain import Rendition, Run
from zimage_core.publishing.manifest import ManifestEntry, build_manifest
from zimage_core.publishing.release import publish_release

ORDER = ProductionOrder(catalogue="-", promotion="618")
BASE = "https://img.example"


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "ZIMAGE_WORK_DIR": str(tmp_path / "work"),
        "ZIMAGE_OUT_DIR": str(tmp_path / "out"),
        "ZIMAGE_PUBLISH_WEBHOOK_SECRET": SECRET,
        "ZIMAGE_PUBLISH_WEBHOOK_PRIVATE": "true",
        "ZIMAGE_PUBLISH_PUBLIC_URL": BASE,
    }.items():
        monkeypatch.setenv(name, value)
    with opened_rooms():
        yield


def publish(*numbers: int, run: Run = RUN) -> None:
    """Release a picture of each of these made-up shots, as a run does."""
    open_rooms = rooms(ORDER)
    entries, found = [], []
    for n in numbers:
        data = f"picture {n}".encode()
        rendition = Rendition(
            rendition_id=f"rendition-{n}",
            shot_id=promise(n).shot.shot_id,
            attempt_id=attempt(n).attempt_id,
            sku=promise(n).product.sku,
            scene="packshot",
            channel="detail",
            object_key=f"img/{n}.jpg",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            width_px=800,
            height_px=800,
            media_type="image/jpeg",
            alt_text=f"Mug {n}",
        )
        open_rooms.cdn.put(rendition.object_key, data, content_type="image/jpeg")
        entries.append(ManifestEntry.of(rendition, "A"))
        found.append(rendition)
    open_rooms.ledger.open_run(run)
    open_rooms.ledger.promise([promise(n) for n in numbers])
    open_rooms.ledger.record_attempts(RUN.run_id, [attempt(n) for n in numbers])
    open_rooms.ledger.record_renditions(RUN.run_id, found)
    released = publish_release(open_rooms.cdn, build_manifest("618", entries))
    open_rooms.ledger.record_release(RUN.run_id, released, "published")


def command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return f"{result.exit_code}: {result.output}"


def test_without_receivers_nobody_is_told() -> None:
    publish(1)
    assert notify.fn(ORDER) is None


def test_a_receiver_hears_of_the_live_release_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as erp:
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", erp.url)
        assert notify.fn(ORDER) == Notified(), "nothing is live yet"
        publish(1, 2)
        assert notify.fn(ORDER) == Notified(events=1, delivered=1)
        assert notify.fn(ORDER) == Notified(), "the same release is not told twice"
    (said,) = erp.taken.values()
    assert said["type"] == "images.published"
    first, second = said["data"]["images"]
    assert (first["productId"], first["imageUrl"]) == (promise(1).product.sku, f"{BASE}/img/1.jpg")
    assert first["passthrough"]["name"] == promise(1).product.name
    assert first["generatedAt"] <= said["timestamp"]
    assert second["alt"] == "Mug 2"


def test_columns_that_we_do_not_use_are_passed_on_where_the_order_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue, sku = tmp_path / "shop.csv", promise(1).product.sku
    catalogue.write_text(f"sku,name,ERP id,Shelf\n {sku} ,Mug, E-77 ,\nOTHER,Lamp,E-78,B2\n")
    columns = {"passthrough.erpId": "ERP id", "passthrough.shelf": "Shelf", "passthrough.name": "name"}
    made_by = ProductionOrder(catalogue=str(catalogue), promotion="618", columns=columns)
    run = dataclasses.replace(RUN, settings=made_by.model_dump_json())
    with receiving() as erp:
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", erp.url)
        publish(1, run=run)
        notify.fn(ORDER)
        catalogue.unlink()
        publish(1, 2, run=run)
        assert notify.fn(ORDER) == Notified(events=1, delivered=1)
    first, second = (said["data"]["images"][0]["passthrough"] for said in erp.taken.values())
    assert (first["erpId"], first["name"], first["recordNo"]) == ("E-77", "Mug", promise(1).product.record_no)
    assert "shelf" not in first
    assert "erpId" not in second
    assert "told without the catalogue's own columns: There is no catalogue file" in caplog.text


def test_what_goes_live_later_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as erp:
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", erp.url)
        publish(1)
        first = rooms(ORDER).ledger.releases("618")[0].release
        notify.fn(ORDER)
        publish(1, 2)
        notify.fn(ORDER)
        rooms(ORDER).ledger.record_release(None, first, "rolled_back")
        notify.fn(ORDER)
    assert [said["type"] for said in erp.taken.values()] == ["images.published"] * 2 + ["images.rolled_back"]
    assert len(erp.told) == 3


@pytest.mark.parametrize("answer", [Answer(404), Answer(drop=True), Answer(410)])
def test_a_receiver_that_fails_is_no_error_of_the_run(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr("tasks.notify.AT_MOST_S", 0.1)
    with receiving(answer) as erp:
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", erp.url)
        publish(1)
        told = notify.fn(ORDER)
        assert told is not None
        assert (told.events, told.delivered) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ZIMAGE_PUBLISH_WEBHOOK_SECRET": "no secret"},
        {"ZIMAGE_PUBLISH_PUBLIC_URL": ""},
        {"ZIMAGE_PUBLISH_WEBHOOK_URLS": "ftp://erp.example"},
    ],
)
def test_a_setting_that_is_wrong_is_said_and_is_no_error_of_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wrong: dict[str, str]
) -> None:
    monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", "https://erp.invalid/hooks")
    for name, value in wrong.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name)
    publish(1)
    assert notify.fn(ORDER) == Notified()
    assert next(iter(wrong)) in caplog.text


def test_dead_letters_are_listed_and_sent_again_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(Answer(410, json.dumps({"error": "moved away"}).encode()), TAKEN) as erp:
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", erp.url)
        publish(1)
        notify.fn(ORDER)
        assert command("list", "--state", "dead") == "0: There are no such webhooks.\n"
        listed = command("list")
        assert "gone · 1 try" in listed
        assert "moved away" in listed
        assert "s3cret-token" not in listed
        assert command("send").startswith("0: 0 delivered")
        assert command("replay", "--dead").startswith("0: 1 webhooks are due again")
        assert command("list").count("waiting") == 1
        assert command("send").startswith("0: 1 delivered, 0 tries failed")
        event_id = erp.told[0]
        assert command("replay", event_id).startswith("0: 1 ")
        release_id = rooms(ORDER).ledger.releases("618")[0].release.release_id
        assert command("replay", "--release", release_id).startswith("0: 1 ")
        assert command("send", "--wait", "0").startswith("0: 1 delivered")
    assert erp.told == [event_id] * 3
