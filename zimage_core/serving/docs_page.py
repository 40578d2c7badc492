"""The page at /docs: OpenAPI as plain HTML. No script, no font and no style comes from anywhere else.

FastAPI's own pages fetch theirs from a network of other people's servers, which a machine with a GPU often cannot
reach and a server with keys should not ask its users to trust.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}"
    "h2{border-top:1px solid #ccc;padding-top:1rem}code,pre{font-family:ui-monospace,monospace;font-size:.9em}"
    "pre{background:#f4f4f4;padding:.6rem;overflow:auto}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"
"""The page's Content-Security-Policy: its one style, and nothing else."""

Schema = Mapping[str, Any]


def page(openapi: Schema) -> str:
    """Return the whole page for an OpenAPI document."""
    schemas: Schema = openapi["components"]["schemas"]
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(openapi["info"]["title"])}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(openapi['info']['title'])}</h1><p>{escape(openapi['info']['description'])}</p>",
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>. This page needs no network.</p>',
    ]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), path, operation)
    parts.append("<h1>Forms</h1>")
    for name, schema in sorted(schemas.items()):
        if schema.get("properties"):
            parts += _form(name, schema)
    return "\n".join([*parts, "</body></html>", ""])


def _operation(method: str, path: str, operation: Schema) -> Iterator[str]:
    yield f'<h2 id="{escape(operation["operationId"])}"><code>{method} {escape(path)}</code></h2>'
    yield f"<p><b>{escape(operation['summary'])}.</b> {escape(operation.get('description', ''))}</p>"
    security = operation.get("security")
    if security is not None:
        yield f"<p>{'An API key is needed.' if security else 'No key is needed.'}</p>"
    rows = [
        (
            f"<code>{escape(given['name'])}</code>",
            escape(given["in"]),
            _kind(given["schema"]),
            escape(given.get("description", "")),
        )
        for given in operation.get("parameters", ())
    ]
    if rows:
        yield from _table(("parameter", "in", "kind", "meaning"), rows)
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: {_kind(content['schema'])} as <code>{escape(media)}</code></p>"
        for example in content.get("examples", {}).values():
            yield f"<pre>{escape(json.dumps(example['value'], indent=2, ensure_ascii=False))}</pre>"
    answers = [
        (escape(status), escape(answer["description"]), ", ".join(_answers(answer)))
        for status, answer in operation["responses"].items()
    ]
    yield from _table(("status", "meaning", "answer"), answers)


def _answers(answer: Schema) -> Iterator[str]:
    for media, content in answer.get("content", {}).items():
        kind = _kind(content["schema"]) if content.get("schema") else ""
        yield f"<code>{escape(media)}</code> {kind}".strip()


def _form(name: str, schema: Schema) -> Iterator[str]:
    yield f'<h2 id="form-{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>'
    needed = schema.get("required", ())
    yield from _table(
        ("field", "kind", "needed", "meaning"),
        [
            (
                f"<code>{escape(field)}</code>",
                _kind(about),
                "yes" if field in needed else "",
                escape(about.get("description", "")),
            )
            for field, about in schema["properties"].items()
        ],
    )


def _kind(schema: Schema) -> str:
    """Return what kind of value a schema allows, in a word or two, with a link where it is a form."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#form-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(escape(json.dumps(value)) for value in schema["enum"])
    if "const" in schema:
        return escape(json.dumps(schema["const"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type", "anything")))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
    yield "</table>"
