"""`zimage schedule`: dates live in the promotions; prefect.yaml is written from them and held to them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.schedule_block import active_in, with_schedules
from zimage_core.errors import ConfigurationError, ZImageError
from zimage_core.planning.schedule import calendars_of
from zimage_core.prompting import PromptLibrary

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "prefect.yaml"
EARLY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of prompts/ and prefect.yaml, in which the command is run."""
    shutil.copytree(ROOT / "prompts", tmp_path / "prompts")
    shutil.copyfile(COMMITTED, tmp_path / "prefect.yaml")
    monkeypatch.setenv("ZIMAGE_PROMPTS_DIR", str(tmp_path / "prompts"))
    monkeypatch.chdir(tmp_path)
    for promotion in (tmp_path / "prompts" / "promotions").iterdir():  # none of them ends while this test is read
        later(promotion)
    assert ran("schedule", "--write")[0] == 0
    return tmp_path


def later(promotion: Path) -> None:
    content = yaml.safe_load(promotion.read_text("utf-8"))
    for key in ("starts", "ends"):
        content[key] = content[key].replace(year=content[key].year + 40)
    promotion.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")


def ran(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    if isinstance(done.exception, ZImageError):
        raise done.exception
    return done.exit_code, done.output


def edit(promotion: Path, key: str, value: str) -> None:
    lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in promotion.read_text().splitlines()]
    promotion.write_text("\n".join(lines) + "\n", "utf-8")


def test_the_committed_file_says_what_the_promotions_say() -> None:
    """Whether a promotion is over depends on the day, so it must be what would be written on one."""
    calendars = calendars_of(PromptLibrary.load(ROOT / "prompts"))
    text = COMMITTED.read_text("utf-8")
    days = [EARLY, *(calendar.ends_at for calendar in calendars)]
    assert text in [with_schedules(text, calendars, day, COMMITTED) for day in days]
    assert not any(active_in(text, COMMITTED).values()), "nothing runs until somebody switches it on"


def test_every_promotion_is_told_with_its_dates(project: Path) -> None:
    code, said = ran("schedule")
    assert code == 0
    assert "618  618 Mid-Year Sale, Asia/Shanghai" in said
    assert "(2067-05-17 18:00 UTC)" in said
    assert said.count("Production opens in") == 3
    assert "Nothing is made ahead" in said or "It is over" in said


def test_what_is_out_of_date_is_told_and_written_and_then_right(project: Path) -> None:
    before = (project / "prefect.yaml").read_text("utf-8")
    assert ran("schedule", "--check") == (0, "prefect.yaml says what the promotions say.\n")
    edit(project / "prompts" / "promotions" / "618.yaml", "lead_days", "20")
    code, said = ran("schedule", "--check")
    assert code == 1
    assert "prefect.yaml is out of date" in said
    assert (project / "prefect.yaml").read_text("utf-8") == before
    assert ran("schedule", "prefect.yaml", "--write")[0] == 0
    after = (project / "prefect.yaml").read_text("utf-8")
    assert ran("schedule", "--check")[0] == 0
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert [("DTSTART" in a or "description" in a) for a, _ in changed] == [True, True, True]
    assert "DTSTART:20670512T020000" in after


def test_everything_around_the_block_stays_byte_for_byte(project: Path) -> None:
    path = project / "prefect.yaml"
    head, block, tail = parts(path.read_text("utf-8"))
    odd = "# ärgerlich: 双11\r\n"
    path.write_bytes((odd + head + block + tail + "  # and after\n").encode())
    edit(project / "prompts" / "promotions" / "618.yaml", "lead_days", "20")
    assert ran("schedule", "--write")[0] == 0
    new_head, new_block, new_tail = parts(path.read_bytes().decode())
    assert (new_head, new_tail) == (odd + head, tail + "  # and after\n")
    assert new_block != block


def parts(text: str) -> tuple[str, str, str]:
    begins, ends = text.index("# >>> zimage schedule"), text.index("# <<< zimage schedule")
    return text[:begins], text[begins:ends], text[ends:]


def test_what_was_switched_on_stays_on_until_the_promotion_is_over(project: Path) -> None:
    path = project / "prefect.yaml"
    calendars = calendars_of(PromptLibrary.load(project / "prompts"))
    text = path.read_text("utf-8").replace("active: false", "active: true")
    assert with_schedules(text, calendars, EARLY, path) == text
    after = with_schedules(text, calendars, calendars[0].ends_at, path)
    off = {slug for slug, active in active_in(after, path).items() if not active}
    assert off == {f"{name}-{run}" for name in ("618", "black-friday") for run in ("opens", "catches-up")}
    assert "618 Mid-Year Sale: over since Tuesday 21 June 2067" in after
    assert with_schedules(after, calendars, calendars[0].ends_at - timedelta(seconds=1), path) != after


def test_a_new_promotion_gets_a_deployment_and_its_zone_an_expiry(project: Path) -> None:
    folder = project / "prompts" / "promotions"
    shutil.copyfile(folder / "618.yaml", folder / "spring_sale.yaml")
    edit(folder / "spring_sale.yaml", "time_zone", "Europe/Berlin")
    assert ran("schedule", "--write")[0] == 0
    content = yaml.safe_load((project / "prefect.yaml").read_text("utf-8"))
    deployments = {deployment["name"]: deployment for deployment in content["deployments"]}
    spring = deployments["produce-spring-sale"]
    assert spring["parameters"] == {"order": {"catalogue": "catalogue.csv", "promotion": "spring_sale"}}
    assert [s["slug"] for s in spring["schedules"]] == ["spring-sale-opens", "spring-sale-catches-up"]
    assert all(s["timezone"] == "Europe/Berlin" and s["active"] is False for s in spring["schedules"])
    assert "expire-europe-berlin" in [s["slug"] for s in deployments["expire"]["schedules"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments: []\n", "has no place for schedules"),
        ("# <<< zimage schedule\n# >>> zimage schedule\n", "has no place for schedules"),
        ("a: [\n# >>> zimage schedule\n# <<< zimage schedule\n", "is not valid YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_written_into_is_refused(project: Path, text: str | None, said: str) -> None:
    path = project / "other.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        ran("schedule", "other.yaml", "--write")
    assert not path.exists() or path.read_text() == text


def test_looking_and_writing_exclude_each_other(project: Path) -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        ran("schedule", "--write", "--check")
