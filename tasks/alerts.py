"""Who is called when a run goes wrong: automations on the Prefect server, made from the files of `automations/`.

A file holds what Prefect calls an automation, without its actions, and `message`, a Jinja text about the event. The
actions come from the settings: a notification block of the server, a webhook, both, or none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import ActionTypes, CallWebhook, DoNothing, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from pydantic import ValidationError

from tasks.events import EVENTS
from zimage_core.errors import ConfigurationError
from zimage_core.settings import SeeingSettings, load_seeing_settings

log = logging.getLogger("zimage_core.tasks")

WEBHOOK_BLOCK: Final = "zimage-alerts"
TAG: Final = "zimage"
SUBJECT: Final = "{{ automation.name }}: {{ event.payload.promotion }}"

NOBODY_CALLED: Final = (
    "They call nobody: set ZIMAGE_ALERT_WEBHOOK_URL, or ZIMAGE_ALERT_BLOCK to a notification block of the Prefect "
    "server (slack-webhook/operations), and run zimage setup again."
)


@dataclass(frozen=True, slots=True)
class Applied:
    """One automation as the server has it now, and whether applying changed anything."""

    name: str
    outcome: Literal["made", "updated", "unchanged"]
    enabled: bool


@dataclass(frozen=True, slots=True)
class AppliedAutomations:
    """What was applied, and whom the automations call: `targets` is empty where nobody is called."""

    automations: tuple[Applied, ...]
    targets: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Return what a person who sets the pipeline up has to know, a sentence a line."""
        said = [
            f"{one.outcome}: automation '{one.name}'" + ("" if one.enabled else " (switched off on the server)")
            for one in self.automations
        ]
        if self.targets:
            return [*said, f"They call {' and '.join(self.targets)}."]
        return [*said, NOBODY_CALLED]


def apply_automations(settings: SeeingSettings | None = None) -> AppliedAutomations:
    """Make the automations of the configured folder on the configured Prefect server, or bring them up to date by name.

    One that somebody switched off on the server stays off. Raises ConfigurationError: no server, one that cannot be
    reached, a file that is wrong (named), a notification block that is not there.
    """
    chosen = load_seeing_settings() if settings is None else settings
    url = get_current_settings().api.url
    if url is None:
        raise ConfigurationError("Automations live on a Prefect server: set PREFECT_API_URL to the one that runs use.")
    drafts = read_automations(chosen.automations_dir)
    try:
        with get_client(sync_client=True) as client:
            targets = _targets(client, chosen)
            applied = tuple(_applied(client, draft, message, targets) for draft, message in drafts)
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        raise ConfigurationError(
            f"The Prefect server at {url} did not take the automations ({type(error).__name__}: {error}); see that it "
            "runs and that it has the version of this client."
        ) from error
    return AppliedAutomations(applied, tuple(name for name, _, _ in targets))


def read_automations(folder: Path) -> list[tuple[AutomationCore, str]]:
    """Return the automations of a folder by file name, without actions, each with its message.

    Raises ConfigurationError naming the file when one cannot be read, or waits for an event that nobody sends.
    """
    files = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    if not files:
        raise ConfigurationError(f"There are no automations under {folder}; see ZIMAGE_AUTOMATIONS_DIR.")
    return [_read(path) for path in files]


def _read(path: Path) -> tuple[AutomationCore, str]:
    try:
        given = yaml.safe_load(path.read_text("utf-8"))
        if not isinstance(given, dict) or not isinstance(message := given.pop("message", None), str):
            raise ConfigurationError(f"{path} is not an automation: it needs name, message and trigger.")
        automation = AutomationCore(**given, actions=[DoNothing()], tags=[TAG])
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError, TypeError) as error:
        raise ConfigurationError(f"{path} is not an automation: {' '.join(str(error).split())}") from error
    named = {name for key in ("after", "expect") for name in getattr(automation.trigger, key, ())}
    if unknown := sorted(name for name in named if name.startswith("zimage.") and name not in EVENTS):
        raise ConfigurationError(f"{path} waits for {', '.join(unknown)}, which is never sent; see docs/monitoring.md.")
    return automation, message


Target = tuple[str, Literal["notify", "call"], Any]
"""How it is named to people, how it is called, and the id of its block on the server."""


def _targets(client: SyncPrefectClient, settings: SeeingSettings) -> list[Target]:
    """Return who is called; a webhook is kept on the server as a block whose URL is a secret."""
    found: list[Target] = []
    if settings.alert_block is not None:
        kind, _, name = settings.alert_block.partition("/")
        try:
            document = client.read_block_document_by_name(name, kind)
        except ObjectNotFound as error:
            raise ConfigurationError(
                f"The Prefect server has no block {settings.alert_block} (ZIMAGE_ALERT_BLOCK); make it in the UI under "
                "Blocks, or correct the name."
            ) from error
        found.append((f"the block {settings.alert_block}", "call" if kind == "webhook" else "notify", document.id))
    if settings.alert_webhook_url is not None:
        block = Webhook(url=settings.alert_webhook_url, headers={"Content-Type": "application/json"})
        block_id = block.save(WEBHOOK_BLOCK, overwrite=True, client=client)  # type: ignore[arg-type]
        found.append((f"the webhook of ZIMAGE_ALERT_WEBHOOK_URL (block webhook/{WEBHOOK_BLOCK})", "call", block_id))
    return found


def _actions(message: str, targets: Sequence[Target]) -> list[ActionTypes]:
    actions: list[ActionTypes] = []
    for _, how, block_id in targets:
        if how == "call":
            actions.append(CallWebhook(block_document_id=block_id, payload=_webhook_body(message)))
        else:
            actions.append(SendNotification(block_document_id=block_id, subject=SUBJECT, body=message))
    return actions or [DoNothing()]


def _webhook_body(message: str) -> str:
    """Return a template of the JSON object a webhook gets; `text` is what Slack and Mattermost show."""
    return (
        f"{{% set text %}}{message}{{% endset %}}"
        '{"automation": {{ automation.name | tojson }}, "text": {{ text | tojson }}, '
        '"event": {{ event.event | tojson }}, "occurred": {{ event.occurred.isoformat() | tojson }}, '
        '"run_id": {{ event.payload.run_id | tojson }}, "promotion": {{ event.payload.promotion | tojson }}, '
        '"payload": {{ event.payload | tojson }}}'
    )


def _applied(client: SyncPrefectClient, draft: AutomationCore, message: str, targets: Sequence[Target]) -> Applied:
    """Make one automation, or bring the server's up to date; two of one name are left to whoever made the second."""
    wanted = draft.model_copy(update={"actions": _actions(message, targets)})
    known = client.read_automations_by_name(draft.name)
    if not known:
        client.create_automation(wanted)
        return Applied(draft.name, "made", wanted.enabled)
    there = known[0]
    wanted = wanted.model_copy(update={"enabled": there.enabled})
    if _same(there, wanted):
        return Applied(draft.name, "unchanged", there.enabled)
    client.update_automation(there.id, wanted)
    return Applied(draft.name, "updated", there.enabled)


def _same(there: Automation, wanted: AutomationCore) -> bool:
    """Tell whether the server's automation says what is wanted; what it adds of its own (ids) does not count."""
    fields = {"name", "description", "enabled", "tags", "trigger", "actions"}
    return there.model_dump(include=fields) == wanted.model_dump(include=fields)
