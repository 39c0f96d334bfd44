"""The look of the report: one HTML page that needs nothing else, in the reader's light or dark colours."""

import base64
from html import escape
from pathlib import Path

from ..errors import BadInput
from .table_layout import Cell, Column, Table

STYLE = """
:root { --ground: #ffffff; --ink: #1c2126; --soft: #5c6670; --line: #d9dee3; --panel: #f5f7f9; --link: #0b5cad;
  --warn-ground: #fff6e0; --warn-line: #d99a00; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --ink: #e6e9ec; --soft: #9aa5b0; --line: #343c44;
  --panel: #1d2329; --link: #7cb7f2; --warn-ground: #2f2713; --warn-line: #b98a1d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 88rem; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.4rem; margin: 3rem 0 .8rem; padding-top: 1rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p, li, dd { max-width: 62rem; }
a { color: var(--link); }
.soft { color: var(--soft); font-size: .9rem; }
.warn { background: var(--warn-ground); border-left: 4px solid var(--warn-line); padding: .6rem 1rem; margin: 1rem 0;
  border-radius: 0 4px 4px 0; font-size: .92rem; }
.warn ul { margin: .2rem 0; padding-left: 1.1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .5rem 0 1rem; font-size: .93rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .4rem 0; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; border-top: 2px solid var(--ink);
  border-bottom: 2px solid var(--ink); }
th, td { padding: .22rem .5rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
thead { border-bottom: 1px solid var(--ink); }
th.span { text-align: center; border-bottom: 1px solid var(--line); }
.left { text-align: left; }
tr.group td { border-top: 1px solid var(--line); }
tbody tr:hover { background: var(--panel); }
td.best { font-weight: 700; }
td.second { text-decoration: underline; text-underline-offset: 3px; }
td.published { color: var(--soft); font-style: italic; }
ul.notes { color: var(--soft); font-size: .82rem; margin: .3rem 0 1rem; padding-left: 1.1rem; }
figure { margin: 1.5rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 6px; padding: .6rem; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; margin: 1rem 0; }
.samples.small { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
.samples figure { margin: 0; overflow-wrap: anywhere; }
.samples img { width: 100%; padding: 0; background: none; border: 0; }
.key { display: inline-block; width: .8em; height: .8em; border: 1px solid var(--line); border-radius: 2px; }
.synthetic { font-size: 1.5rem; line-height: 1.3; font-weight: 700; border: 3px solid var(--warn-line);
  background: var(--warn-ground); padding: .8rem 1rem; border-radius: 6px; }
details { margin: .5rem 0 1rem; } summary { cursor: pointer; color: var(--link); font-size: .93rem; }
@media (max-width: 40rem) { body { padding: 1rem 1rem 3rem; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin: 0 0 .5rem; } }
"""


def page(title: str, body: list[str]) -> str:
    """Return a complete page; ``body`` is HTML. Its policy forbids the browser to load anything."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def table_html(table: Table) -> str:
    """Return a table with its title and notes, marked as in the other formats."""
    lines = [
        f"<h3>{escape(table.title)}</h3>",
        '<div class="wide"><table>',
        "<thead>",
        *_head(table.columns),
        "</thead>",
        "<tbody>",
    ]
    for number, row in enumerate(table.rows):
        cells = (_cell(cell, column) for cell, column in zip(row, table.columns, strict=True))
        lines.append(f"<tr{_kinds('group' if number in table.groups[1:] else '')}>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table></div>", bullets(table.notes, "notes")])


def bullets(lines: list[str], kind: str = "") -> str:
    """Return plain lines as a list; empty for none."""
    return f"<ul{_kinds(kind)}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def definitions(pairs: dict[str, str]) -> str:
    """Return plain words and their explanations as a definition list."""
    return f"<dl>{''.join(f'<dt>{escape(word)}</dt><dd>{escape(text)}</dd>' for word, text in pairs.items())}</dl>"


def in_words(value) -> str:
    """Return a setting in words: a mapping's name first, then its keys with their values."""
    if isinstance(value, dict):
        name = [str(value["name"])] if "name" in value else []
        return ", ".join(name + [f"{key.replace('_', ' ')} {_inner(item)}" for key, item in value.items() if key != "name"])
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _inner(value) -> str:
    if isinstance(value, list):
        # sizes are whole numbers above 0; a window reads otherwise
        return (" × " if all(type(one) is int and one > 0 for one in value) else " to ").join(map(str, value))
    return f"({in_words(value)})" if isinstance(value, dict) else in_words(value)


def figure_html(path: str | Path, caption: str) -> str:
    """Return a PNG file embedded with its caption. Raises ``BadInput`` when it cannot be read."""
    try:
        image = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"no figure {path} for the report ({error.strerror}): draw the figures first") from error
    words, data = escape(caption), base64.b64encode(image).decode()
    # A PNG states its width in bytes 16 to 19; figures are drawn at 200 dpi and shown a little larger than in print.
    width = round(int.from_bytes(image[16:20], "big") * 0.62)
    shown = f'<img alt="{words}" width="{width}" src="data:image/png;base64,{data}">'
    return f"<figure>{shown}<figcaption>{words}</figcaption></figure>"


def _head(columns: list[Column]) -> list[str]:
    """Return one heading row, or two where groups span columns."""
    if not any(column.group for column in columns):
        return [f"<tr>{''.join(_heading(column) for column in columns)}</tr>"]
    upper, lower = [], []
    for number, column in enumerate(columns):
        if not column.group:
            upper.append(_heading(column, ' rowspan="2"'))
            continue
        lower.append(_heading(column))
        if columns[number - 1].group != column.group:
            width = sum(other.group == column.group for other in columns)
            upper.append(f'<th class="span" colspan="{width}">{escape(column.group)}</th>')
    return [f"<tr>{''.join(upper)}</tr>", f"<tr>{''.join(lower)}</tr>"]


def _heading(column: Column, more: str = "") -> str:
    return f"<th{_kinds('left' if column.left else '')}{more}>{escape(column.name)}</th>"


def _cell(cell: Cell, column: Column) -> str:
    return f"<td{_kinds(cell.mark, 'left' if column.left else '')}>{escape(cell.text)}</td>"


def _kinds(*names: str) -> str:
    """Return the class attribute for the names that are not empty."""
    given = " ".join(name for name in names if name)
    return f' class="{given}"' if given else ""
