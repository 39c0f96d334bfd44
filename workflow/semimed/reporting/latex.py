"""Tables as LaTeX: booktabs floats for a landscape page, and a complete document that holds them all."""

import unicodedata

from .table_layout import Cell, Column, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # two hyphens in a label stay two hyphens
    "–": "--",
    "—": "---",
    "±": r"$\pm$",
    "×": r"$\times$",
    "µ": r"$\mu$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "†": r"$^{\dagger}$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "−": "$-$",
    "…": r"\ldots{}",
    "’": "'",
    "\n": " ",
    "\t": " ",
}
_CAPITALS = ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"]
_LOOKALIKES = {"alpha": "A", "beta": "B", "epsilon": "E", "zeta": "Z", "eta": "H", "iota": "I", "kappa": "K", "mu": "M"}
_LOOKALIKES |= {"nu": "N", "omicron": "O", "rho": "P", "tau": "T", "chi": "X"}
_HEAD = r"""% Made by Semimed; compiles by itself with pdflatex.
\documentclass[10pt,a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{lmodern,textcomp}
\usepackage[landscape,margin=12mm]{geometry}
\usepackage{booktabs,xcolor}
\setlength{\belowcaptionskip}{4pt}
\pagestyle{plain}
\begin{document}
"""
_FRAGMENT = "% Made by Semimed. Needs \\usepackage{booktabs,xcolor}, T1 fonts and a wide page (landscape).\n"
_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "published": r"\textcolor{black!55}{\textit{%s}}"}


def escape(text: str) -> str:
    """Return plain text as LaTeX (T1 encoding) that prints it: every special character, Greek and accented letters.

    A character that the standard fonts lack is printed as its code point, ``[U+4E2D]``, rather than lost.
    """
    return "".join(_SPECIAL.get(character) or _letter(character) for character in text)


def render(tables: list[Table]) -> str:
    """Return the tables as one ``table*`` float each."""
    return _FRAGMENT + "\n".join(_float(table) for table in tables)


def document(contents: list[tuple[str, list[Table]]], metrics: dict[str, str]) -> str:
    """Return a complete document from (title of the study, its tables); ``metrics`` say at its top what is measured."""
    body = []
    for title, tables in contents:
        body += [rf"\section*{{{escape(title)}}}", *(_float(table) for table in tables), r"\clearpage", ""]
    words = "; ".join(f"{title}: {doc}" for title, doc in metrics.items())
    explained = rf"{{\footnotesize Metrics. {escape(words)}.\par}}"
    return "\n".join([_HEAD, explained, *body, r"\end{document}", ""])


def _float(table: Table) -> str:
    layout = "".join("l" if column.left else "r" for column in table.columns)
    lines = [
        r"\begin{table*}[!htbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}\renewcommand{\arraystretch}{1.2}",
        rf"\caption{{{escape(table.title)}}}\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{@{{}}{layout}@{{}}}}",
        r"\toprule",
        *_head(table.columns),
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if number in table.groups[1:]:
            lines.append(r"\addlinespace")
        lines.append(" & ".join(_cell(cell) for cell in row) + r" \\")
    notes = [rf"{escape(note)}\par" for note in (*table.notes, *table.legend)]
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip", r"\begin{minipage}{\linewidth}\scriptsize\raggedright"]
    return "\n".join([*lines, *notes, r"\end{minipage}", r"\end{table*}", ""])


def _head(columns: list[Column]) -> list[str]:
    """Return the heading: group names over their columns where there are groups, else one line."""
    upper, rules = [], []
    for number, column in enumerate(columns):
        width = sum(other.group == column.group for other in columns) if column.group else 1
        if not column.group:
            upper.append("")
        elif columns[number - 1].group != column.group:
            upper.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(column.group)}}}")
            rules.append(rf"\cmidrule(lr){{{number + 1}-{number + width}}}")
    lower = " & ".join(escape(column.name) for column in columns) + r" \\"
    return [" & ".join(upper) + r" \\", "".join(rules), lower] if rules else [lower]


def _cell(cell: Cell) -> str:
    return _MARKS.get(cell.mark, "%s") % escape(cell.text) if cell.text else ""


def _letter(character: str) -> str:
    """Return one character that is not special: as it is up to Latin-1, Greek as mathematics, others by their parts."""
    code = ord(character)
    if 32 <= code < 127 or 0xC0 <= code <= 0xFF or character in "°²³·§«»":
        return character
    kind, _, letter = unicodedata.name(character, "").partition(" LETTER ")
    letter = letter.lower().replace("lamda", "lambda")
    if kind == "GREEK SMALL" and letter.isalpha():
        return "o" if letter == "omicron" else rf"$\{letter}$"
    if kind == "GREEK CAPITAL" and letter.isalpha():
        return rf"$\{letter.title()}$" if letter.title() in _CAPITALS else _LOOKALIKES[letter]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return escape(plain) if plain else f"[U+{code:04X}]"
