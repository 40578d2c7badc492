"""What operators start beside productions: publish and expire, with their forms, and what their runs say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from prefect.client.schemas.objects import State
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError
from workshop import MUG, Workshop

from flows.operate import ExpireRequest, PublishRequest, expire_promotions, publish_accepted
from flows.produce import produce
from tasks.order import ProductionOrder
from zimage_core import clock

AFTER = datetime(2027, 6, 21, 0, 10, tzinfo=UTC)
"""When 618 of prompts/promotions is over in Shanghai."""


def order(shop: Workshop, **more: object) -> ProductionOrder:
    given = {
        "catalogue": str(shop.catalogue),
        "promotion": "618",
        "scenes": ("studio",),
        "channels": ("taobao_main",),
    }
    return ProductionOrder.model_validate(given | more)


def published(**asked: object) -> State[object]:
    return publish_accepted(PublishRequest.model_validate(asked), return_state=True)


def expired(**asked: object) -> State[object]:
    return expire_promotions(ExpireRequest.model_validate(asked), return_state=True)


def release_id(shop: Workshop, promotion: str = "618") -> str:
    return str(json.loads((shop.cdn / "current" / f"{promotion}.json").read_text())["release_id"])


def test_publish_and_expire_say_in_their_state_what_came_of_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.write(MUG)
    run_id = produce(order(workshop, publish=False))
    produce(order(workshop, promotion="everyday"))

    held = published(promotion="618", hold=True)
    assert held.is_completed()
    assert held.message.startswith("Release ")
    assert held.message.endswith("of 618 is prepared and held until somebody makes it live.")
    assert not (workshop.cdn / "current" / "618.json").exists()
    live = published(promotion="618")
    assert live.message == f"618 points at release {release_id(workshop)}: 1 files."
    assert published(run_id=run_id).message == live.message
    none = published(promotion="double11")
    assert none.is_failed()
    assert "There is no run of double11 yet; produce it first." in none.message

    early = expired(promotion="618")
    assert early.is_failed()
    assert "618 runs until the end of 2027-06-20" in early.message
    assert expired().message == "No live promotion is over, or all that are show no prices."
    monkeypatch.setattr(clock, "now", lambda: AFTER)
    over = expired(who="李倩")
    assert over.is_completed()
    assert over.message == (f"618 shows no badge and no price any more: release {release_id(workshop)}, 1 files.")
    assert expired().message == "No live promotion is over, or all that are show no prices."


def test_a_run_that_nobody_knows_is_answered_with_those_there_are(workshop: Workshop) -> None:
    none = published()
    assert none.is_failed()
    assert "There is no run yet" in none.message
    workshop.write(MUG)
    run_id = produce(order(workshop, publish=False))
    unknown = published(run_id="618-nothing")
    assert unknown.is_failed()
    assert f"There is no run 618-nothing; the latest are {run_id}" in unknown.message


@pytest.mark.parametrize("field", ["run_id", "promotion", "work_dir", "out_dir"])
def test_an_emptied_field_is_one_that_was_not_filled_in(field: str) -> None:
    assert getattr(PublishRequest.model_validate({field: ""}), field) is None


@pytest.mark.parametrize(("field", "value"), [("go_live_at", "2027-06-01T00:00"), ("hold", "perhaps"), ("nonsense", 1)])
def test_what_cannot_be_asked_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        PublishRequest.model_validate({field: value})


@pytest.mark.parametrize("flow", [publish_accepted, expire_promotions])
def test_forms_can_be_left_empty(flow: object) -> None:
    assert parameter_schema(flow).required is None or parameter_schema(flow).required == []  # type: ignore[arg-type]
