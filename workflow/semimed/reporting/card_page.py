"""The two files of a data set's card: a page for the browser, and the same in Markdown without pictures."""

import base64
import re
from html import escape
from pathlib import Path

from ..errors import BadInput
from .card_pictures import colours, draw_histogram, draw_sample
from .card_sections import main_facts, sections
from .page_style import bullets, definitions, page, table_html
from .table_layout import markdown, plain

BEGIN, END = "<!-- begin of the summary -->", "<!-- end of the summary -->"  # the part that the report shows too
SYNTHETIC = (
    "SYNTHETIC IMAGES. They were drawn by this program and show no patient; numbers made from them say nothing about methods."
)


def html_page(card) -> str:
    """Return the card as a page that needs nothing else. Raises ``BadInput`` for images that cannot be read."""
    body = [f"<h1>{escape(_title(card))}</h1>", BEGIN, *_summary(card), END]
    for section in sections(card):
        body += [f"<h2>{escape(section.title)}</h2>", definitions(section.facts) if section.facts else ""]
        body += map(table_html, section.tables)
        if section.intensities:
            image = _image(draw_histogram(section.intensities), "histogram of intensities", ' width="600"')
            edges = section.intensities.edges
            told = f"Histogram of the same voxels, from {edges[0]:.4g} to {edges[-1]:.4g}."
            body.append(f"<figure>{image}<figcaption>{told}</figcaption></figure>")
    return page(_title(card), body)


def markdown_page(card) -> str:
    """Return the card as Markdown."""
    lines = [f"# {plain(_title(card))}", ""]
    lines += [f"**{SYNTHETIC}**", ""] if card.phantom else []
    lines += [*_list(main_facts(card)), ""]
    lines += ["## Warnings", "", *(f"- {plain(line)}" for line in card.warnings), ""] if card.warnings else []
    for section in sections(card):
        lines += [f"## {plain(section.title)}", ""]
        lines += [*_list(section.facts), ""] if section.facts else []
        lines += [f"#{markdown(table)}" for table in section.tables]
    return "\n".join([*lines, "Sample images and histograms of the intensities are in card.html beside this file.", ""])


def summary_of(path: Path) -> str:
    """Return the main facts, warnings and samples from a card's page, as HTML; raises ``BadInput`` where there are none."""
    try:
        found = re.search(f"{BEGIN}(.*){END}", path.read_text(encoding="utf-8"), re.DOTALL)
    except (OSError, ValueError) as error:
        raise BadInput(f"unreadable card {path} ({error}): delete it so that it is written again") from error
    if found is None:
        raise BadInput(f"no summary in {path}: delete it so that it is written again")
    return found[1].strip()


def _title(card) -> str:
    return f"Synthetic images in the raw layout of {card.title}" if card.phantom else card.title


def _summary(card) -> list[str]:
    body = [f'<p class="synthetic">{escape(SYNTHETIC)}</p>'] if card.phantom else []
    body.append(definitions(main_facts(card)))
    if card.warnings:
        body.append(f'<div class="warn"><strong>Warnings</strong>{bullets(card.warnings)}</div>')
    if not card.samples:
        return [*body, '<p class="soft">No samples: no annotated case trains in every study.</p>']
    figures = []
    for sample in card.samples:
        image, told = draw_sample(sample, card.kind)
        figures.append(f"<figure>{_image(image, told)}<figcaption>{escape(f'{sample.reason}; {told}')}</figcaption></figure>")
    if card.task == "classification":
        return [*body, f'<div class="samples small">{"".join(figures)}</div>']
    names = card.classes[1:]
    keys = (
        f'<span class="key" style="background: {colour}"></span> {escape(name)}'
        for colour, name in zip(colours(len(names)), names, strict=True)
    )
    return [*body, f'<div class="samples">{"".join(figures)}</div>', f'<p class="soft">{" &ensp; ".join(keys)}</p>']


def _list(facts: dict[str, str]) -> list[str]:
    return [f"- **{plain(word)}:** {plain(text)}" for word, text in facts.items()]


def _image(png: bytes, told: str, more: str = "") -> str:
    return f'<img alt="{escape(told)}"{more} src="data:image/png;base64,{base64.b64encode(png).decode()}">'
