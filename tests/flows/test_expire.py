"""A promotion that is over loses badge and price, and nothing else; what waits goes live; what is unused goes."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image
from workshop import MUG, Workshop

from flows.expire import expire
from flows.produce import produce
from flows.publish import publish
from tasks.expire import (
    expired_promotions,
    live_shots,
    make_plain,
    order_of_live,
    refuse_while_running,
    release_plain,
)
from tasks.layers import attempt_pixels
from tasks.order import ProductionOrder
from tasks.releases import go_live, let_go, prune, roll_back, shelf
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.publishing.held import prepare_release
from zimage_core.publishing.history import read_manifest
from zimage_core.publishing.manifest import ManifestEntry
from zimage_core.storage import LocalStore

SHANGHAI = ZoneInfo("Asia/Shanghai")
AFTER = datetime(2027, 6, 20, 16, 0, tzinfo=UTC)
"""Midnight in Shanghai after the last day of prompts/promotions/618.yaml."""


def order(shop: Workshop) -> ProductionOrder:
    channels = ("taobao_main", "amazon_main")
    return ProductionOrder(
        catalogue=str(shop.catalogue), promotion="618", scenes=("packshot", "studio"), channels=channels
    )


def live(shop: Workshop) -> tuple[str, dict[tuple[str, str, str], ManifestEntry]]:
    pointer = json.loads((shop.cdn / "current" / "618.json").read_text())
    manifest = read_manifest(LocalStore(shop.cdn), pointer["manifest_key"])
    return manifest.release_id, {(e.sku, e.scene, e.channel): e for e in manifest.entries}


def test_an_expired_promotion_shows_the_same_pictures_without_badge_and_price(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    ordered = order(workshop)
    run_id = produce(ordered)
    tagged_id, tagged = live(workshop)
    calls = workshop.calls()
    just_before = AFTER - timedelta(seconds=1)
    assert expired_promotions(just_before, SHANGHAI, None, None) == []
    with pytest.raises(ConfigurationError, match="618 runs until the end of 2027-06-20"):
        refuse_while_running("618", just_before, SHANGHAI, ordered)
    assert expired_promotions(AFTER, SHANGHAI, None, None) == ["618"]

    found, found_run = order_of_live("618", None, None)
    assert (found.catalogue, found_run) == (ordered.catalogue, run_id)
    with pytest.raises(PublishError, match=r"1 files of 618 have no plain one, .*: MUG-1 studio for taobao_main"):
        _expire_without(found, found_run, "MUG-1")
    assert live(workshop)[0] == tagged_id, "an old price is told, not half removed"
    released = expire(found, found_run, "李倩")
    plain_id, plain = live(workshop)
    assert released.release_id == plain_id != tagged_id
    assert plain.keys() == tagged.keys()
    assert workshop.calls() == calls, "no engine was asked"
    studio = ("MUG-1", "studio", "taobao_main")
    assert plain[studio].sha256 != tagged[studio].sha256
    assert bare_difference(workshop, run_id, plain[studio]) < 3 < bare_difference(workshop, run_id, tagged[studio])

    assert expired_promotions(AFTER, SHANGHAI, None, None) == []
    assert expire(found, found_run).release_id == plain_id
    (line,) = shelf("618", None, None).live
    assert (line.kind, line.by, line.lagging) == ("expired", "李倩", ())
    restored, _ = roll_back("618", None, None, None, None)
    assert restored.release_id == tagged_id
    assert [one.state for one in shelf("618", None, None).lines] == ["live", "kept"]

    monkeypatch.setattr(clock, "now", lambda: AFTER)
    assert publish(found, found_run) is not None, "it shows its prices already, so nothing is made worse"
    expire(found, found_run)
    prepare_release(rooms(found).cdn, read_manifest(rooms(found).cdn, f"releases/618/{tagged_id}.json"))
    for again in (
        lambda: publish(found, found_run),
        lambda: go_live("618", None, early=False, who=None, work_dir=None, out_dir=None),
    ):
        with pytest.raises(PublishError, match=r"618 ended on 2027-06-20 \(Asia/Shanghai\) and shows no badge"):
            again()
        assert live(workshop)[0] == plain_id
    let_go("618", None, None, None)
    assert publish(found, found_run, although_over=True) is not None
    assert live(workshop)[0] == tagged_id


def bare_difference(shop: Workshop, run_id: str, entry: ManifestEntry) -> float:
    """Return the greatest mean difference, over 64 blocks, between a file and the attempt it was made of."""
    ledger = rooms(order(shop)).ledger
    outcome = next(
        o
        for o in ledger.outcomes(run_id)
        if (o.promise.product.sku, o.promise.shot.scene.name) == (entry.sku, entry.scene)
    )
    assert outcome.chosen is not None
    with Image.open(io.BytesIO((shop.cdn / entry.key).read_bytes())) as image:
        shown = np.asarray(image.convert("RGB"), np.float32)
    bare = Image.fromarray(attempt_pixels(rooms(order(shop)), outcome.chosen)).resize((shown.shape[1], shown.shape[0]))
    difference = np.abs(shown - np.asarray(bare, np.float32)).mean(axis=2)
    side = difference.shape[0] // 8
    return float(max(difference[y * side :][:side, x * side :][:, :side].mean() for y in range(8) for x in range(8)))


def _expire_without(ordered: ProductionOrder, run_id: str, sku: str) -> None:
    """Expire as if somebody had killed the making of one product's plain pictures."""
    ledger = rooms(ordered).ledger
    ((_, shots),) = live_shots(ordered, run_id)
    products = {promise.shot.shot_id: promise.shot.sku for promise in ledger.iter_promises(run_id)}
    make_plain.fn(ordered, run_id, [shot for shot in shots if products[shot[1]] != sku], "half")
    release_plain.fn(ordered, run_id, None)


def test_a_release_is_held_goes_live_and_is_cleared_away_from_the_command_line(workshop: Workshop):
    produce(order(workshop))
    first, _ = live(workshop)
    workshop.write(MUG)
    produce(order(workshop))
    second, _ = live(workshop)
    cdn = rooms(order(workshop)).cdn
    manifest = read_manifest(cdn, f"releases/618/{first}.json")
    roll_to_none = prepare_release(cdn, manifest, not_before=clock.now() + timedelta(hours=1), by="run 1")
    assert shelf(None, None, None).held == (roll_to_none,)
    with pytest.raises(PublishError, match="may not go live before"):
        go_live("618", None, early=False, who=None, work_dir=None, out_dir=None)
    made, _ = go_live("618", None, early=True, who="李倩", work_dir=None, out_dir=None)
    assert made.release_id == live(workshop)[0] == first != second
    with pytest.raises(PublishError, match="is held"):
        let_go("618", None, None, None)
    found = prune(7.0, dry=True, work_dir=None, out_dir=None)
    assert (found.kept_releases, found.doomed, found.deleted) == (2, (), 0)
