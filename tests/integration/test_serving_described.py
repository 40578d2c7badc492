"""What the engine server tells of its endpoints: OpenAPI with all of it described, a page for people, a document."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from served_engine import ROOT, GatedEngine, body, detail, served

from zimage_core.serving.meters import Meters
from zimage_core.serving.openapi import WORDS
from zimage_core.settings import ServeSettings

KEY = "a-key-for-tests-0123456789"
DOCUMENT = ROOT / "docs" / "serving.md"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with served(GatedEngine(), tmp_path_factory.mktemp("serve"), api_keys=[KEY]) as here, here.client() as client:
        return {"openapi": client.get("/openapi.json").json(), "page": client.get("/docs")}


def test_every_field_parameter_and_answer_is_described(described: dict[str, Any]) -> None:
    openapi = described["openapi"]
    bare = [
        f"{form}.{field}"
        for form, schema in openapi["components"]["schemas"].items()
        for field, about in schema.get("properties", {}).items()
        if not about.get("description")
    ]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"]
            assert operation["description"]
            bare += [
                f"{path} {given['name']}" for given in operation.get("parameters", ()) if "description" not in given
            ]
            for status, answer in operation["responses"].items():
                if answer["description"] in ("", "Successful Response", "Validation Error"):
                    bare.append(f"{method} {path} {status}")
    assert bare == [], "say what these are: in the form itself, or in zimage_core/serving/openapi.py"
    stale = [
        f"{form}.{field}"
        for form, words in WORDS.items()
        for field in words
        if field not in openapi["components"]["schemas"].get(form, {}).get("properties", {})
    ]
    assert stale == [], "these are described in zimage_core/serving/openapi.py and not there any more"


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = str(described["openapi"])
    wanted = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert "$defs" not in text
    assert wanted <= set(described["openapi"]["components"]["schemas"])


def test_the_page_for_people_needs_no_script_no_network_and_no_key(described: dict[str, Any]) -> None:
    page = described["page"]
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|<link|<img|src=|url\(|@import|https?://", page.text)
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    )
    for path, methods in described["openapi"]["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page.text
    for anchor in re.findall(r'href="#([\w-]+)"', page.text):
        assert f'id="{anchor}"' in page.text
    for form, schema in described["openapi"]["components"]["schemas"].items():
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in page.text, form


def test_which_endpoints_need_a_key_is_what_the_description_says(tmp_path: Path) -> None:
    for open_metrics in (False, True):
        rules = {"api_keys": [KEY], "open_metrics": open_metrics}
        with served(GatedEngine(), tmp_path / str(open_metrics), **rules) as here, here.client() as client:
            for path, methods in client.get("/openapi.json").json()["paths"].items():
                for method, operation in methods.items():
                    asked = client.request(method, path.replace("{task_id}", "0" * 16), json=body())
                    assert (asked.status_code == 401) == bool(operation["security"]), (method, path)
            assert (client.get("/metrics").status_code == 200) == open_metrics


def test_an_address_where_nothing_is_says_where_to_look(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        nothing = client.get("/v2/generate")
        assert nothing.status_code == 404
        assert "/docs" in detail(nothing)["sentence"]
        task = client.get("/api/v1/tasks/0123456789abcdef")
        assert "task" in detail(task)["sentence"]


# ---------------------------------------------------------------- docs/serving.md


def first_cells(heading: str) -> list[list[str]]:
    """Return the cells of the tables of one section of the document, without the head."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in rows[2:] if row[0].startswith("`")]


def test_the_document_lists_every_setting_with_its_default() -> None:
    def written(value: object) -> str:
        if value is None or value == ():
            return "-"
        return (
            str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
        )

    documented = {row[0].strip("`"): row[1] for row in first_cells("Settings")}
    assert documented == {name.upper(): written(field.default) for name, field in ServeSettings.model_fields.items()}


def test_the_document_lists_every_endpoint_and_metric(described: dict[str, Any]) -> None:
    endpoints = {row[0].strip("`") for row in first_cells("Endpoints")}
    paths = described["openapi"]["paths"]
    assert endpoints == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    metrics = {row[0].strip("`").removesuffix("_total") for row in first_cells("Metrics")}
    assert metrics == {family.name for family in Meters().registry.collect()}


def test_the_document_signs_requests_as_the_server_takes_them(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    example: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), example)
    with served(GatedEngine(), tmp_path, api_keys=[KEY], signing_secrets=[KEY[::-1]]) as here:
        drawn = example["draw"](here.url, KEY, KEY[::-1], json.dumps(body()).encode())
        assert json.loads(drawn)["image"]
        with here.client(Authorization=f"Bearer {KEY}") as client:
            assert client.post("/v1/generate", json=body()).status_code == 401
