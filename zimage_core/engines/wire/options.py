"""Options of engines behind HTTP: text in, checked values out, each mistake named with what would be right.

Secrets are no options: options are printed, hashed and stored with a run. The key of an engine is the setting
ZIMAGE_ENGINE_API_KEY, read by `api_key`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from zimage_core.errors import ConfigurationError
from zimage_core.settings import load_settings

Reader = Callable[[str], Any]
"""Takes the text of one option and returns its value; raises ValueError with what would be right."""


def read_options(given: Mapping[str, str], readers: Mapping[str, Reader], engine: str) -> dict[str, Any]:
    """Return the values of the options that are given, by name.

    Raises ConfigurationError: an option nobody knows (the known ones are listed) or a value that does not fit.
    """
    unknown = sorted(set(given) - set(readers))
    if unknown:
        raise ConfigurationError(
            f"Engine '{engine}' has no option {', '.join(unknown)}; its options are {', '.join(sorted(readers))}."
        )
    read = {}
    for name, text in given.items():
        try:
            read[name] = readers[name](text.strip())
        except ValueError as error:
            raise ConfigurationError(f"Option {name} of engine '{engine}' is {error}.") from None
    return read


def text(value: str) -> str:
    """Read any text but none."""
    if not value:
        raise ValueError("a text, not nothing")
    return value


def path(value: str) -> Path:
    """Read the path of a file or folder."""
    return Path(text(value))


def yes_no(value: str) -> bool:
    """Read yes or no."""
    if value.lower() in ("yes", "true", "on", "1"):
        return True
    if value.lower() in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"yes or no, not '{value}'")


def one_of(*choices: str) -> Reader:
    """Read one of these words."""

    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}, not '{value}'")
        return value

    return read


def whole(least: int, most: int) -> Reader:
    """Read a whole number between two."""

    def read(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise ValueError(f"a whole number from {least} to {most}, not '{value}'")
        return int(value)

    return read


def number(least: float, most: float) -> Reader:
    """Read a number between two."""

    def read(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise ValueError(f"a number from {least:g} to {most:g}, not '{value}'")
        return found

    return read


def urls(value: str) -> tuple[str, ...]:
    """Read addresses separated by commas: http or https, a host, perhaps a path; without a trailing slash.

    One with a password or a query in it is refused and not repeated: a secret would be stored with the run.
    """
    found: list[str] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            address = httpx.URL(part)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if "@" in part or "?" in part or "#" in part:
            raise ValueError(
                "an address without user, password, query or fragment; a key belongs in ZIMAGE_ENGINE_API_KEY"
            )
        if address.scheme not in ("http", "https") or not address.host:
            raise ValueError(f"one or more http or https addresses separated by commas, not '{part}'")
        found.append(part.rstrip("/"))
    if not found:
        raise ValueError("at least one http or https address")
    return tuple(dict.fromkeys(found))


def api_key() -> SecretStr | None:
    """Return the key that engines send along, from the setting ZIMAGE_ENGINE_API_KEY; None where none is set."""
    key = load_settings().engine_api_key
    return key if key is not None and key.get_secret_value().strip() else None


def signing_secret() -> SecretStr | None:
    """Return what requests to our own server are signed with, from ZIMAGE_ENGINE_SIGNING_SECRET; None = unsigned."""
    secret = load_settings().engine_signing_secret
    return secret if secret is not None and secret.get_secret_value().strip() else None


def bearer(key: SecretStr | None) -> dict[str, SecretStr | str]:
    """Return the header that sends a key as a bearer token (RFC 6750); none without a key."""
    return {} if key is None else {"Authorization": SecretStr(f"Bearer {key.get_secret_value()}")}
