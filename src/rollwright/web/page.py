"""The page that describes the API: one file of HTML and one of CSS, without a script and without another server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

__all__ = ["STYLE", "render_page"]

STYLE: Final = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font: 600 1.05rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
"""


def render_page(document: Mapping[str, Any]) -> str:
    """Return a page that shows an OpenAPI document for people; every text in it is escaped."""
    info = document["info"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f'<title>{escape(info["title"])}</title><link rel="stylesheet" href="/docs.css"></head><body>',
            f"<h1>{escape(info['title'])}</h1><p>{escape(info.get('description', ''))}</p>",
            '<p>For programs: <a href="/openapi.json">openapi.json</a></p>',
            *_render_paths(document["paths"]),
            "</body></html>\n",
        ]
    )


def _render_paths(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield f"<h2>{escape(method.upper())} {escape(path)}</h2>"
            yield f"<p>{escape(operation.get('summary', ''))}</p><p>{escape(operation.get('description', ''))}</p>"
            yield from _render_parameters(operation.get("parameters", []))
            formats = [*operation["responses"].get("200", {}).get("content", {})]
            yield f"<p>Answers in {', '.join(f'<code>{escape(name)}</code>' for name in formats)}</p>"


def _render_parameters(parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table><tr><th>parameter</th><th>in</th><th>needed</th><th>what it is</th></tr>"
    for each in parameters:
        cells = [
            f"<code>{escape(each['name'])}</code>",
            escape(each["in"]),
            "yes" if each.get("required") else "no",
            escape(each.get("description", "")),
        ]
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"
