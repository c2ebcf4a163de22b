"""The literature as HTML: tables that sort, filter and link, in a notebook or on a page of their own."""

import html
import re
from pathlib import Path

import pandas as pd

from facedeblur_utils.files import write_text
from facedeblur_utils.literature import export
from facedeblur_utils.literature.bibliography import references
from facedeblur_utils.literature.loader import load
from facedeblur_utils.literature.schema import TABLES
from facedeblur_utils.literature.shapes import printed
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import SHORTENED

PAGE, TITLE = "literature.html", "Deblurring faces: the literature"
FIGURES = {
    "fig_1_01": "Figure 1.1: structure of the thesis",
    "fig_2_01": "Figure 2.1: the two searches as PRISMA flows",
    "fig_x_topics": "Topics that each survey covers",
    "fig_x_review_usage": "What the ten articles use",
    "fig_x_kernel_sizes": "Blur kernel sizes of the articles that give them",
}
SOURCE = re.compile(r"\[(\d{1,3})\]")
# `:target` shows a reference that a filter hides when a link leads to it.
STYLE = """<style>
.lit {overflow-x: auto; margin: 0 0 1.5em}
.lit table {border-collapse: collapse; font-size: 0.85em}
.lit caption {text-align: left; font-weight: bold; padding: 0.3em 0}
.lit table th, .lit table td {text-align: left; vertical-align: top; padding: 0.25em 0.5em;
  border-bottom: 1px solid #aaa}
.lit th button {font: inherit; font-weight: bold; color: inherit; background: none; border: 0; padding: 0;
  text-align: left; cursor: pointer}
.lit th[aria-sort=ascending] button::after {content: " \\25B2"}
.lit th[aria-sort=descending] button::after {content: " \\25BC"}
.lit input {font: inherit; width: 100%; min-width: 4em; box-sizing: border-box}
.lit tr[id] {scroll-margin-top: 1em}
.lit tr:target {display: table-row; outline: 2px solid #e69f00}
</style>"""
PAGE_STYLE = """<style>
body {font-family: sans-serif; margin: 1em auto; max-width: 75em; padding: 0 1em}
img {max-width: 100%; height: auto}
</style>"""
SCRIPT = """<script>
for (const box of document.querySelectorAll('.lit:not([data-ready])')) {
  box.dataset.ready = 'yes'
  const body = box.querySelector('tbody'), rows = [...body.rows], heads = [...box.querySelectorAll('th')]
  const fields = [...box.querySelectorAll('input')], count = box.querySelector('output')
  const text = (row, i) => row.cells[i].textContent.trim()
  const number = cell => /^[-+\\u2212]?\\d[\\d\\u00a0 ]*(\\.\\d+)?$/.test(cell)
    ? Number(cell.replace('\\u2212', '-').replace(/[\\u00a0 ]/g, '')) : NaN
  const compare = (a, b) => number(a) - number(b) || a.localeCompare(b, 'en', {numeric: true})
  const filter = () => {
    for (const row of rows) row.hidden = fields.some((field, i) =>
      !text(row, i).toLowerCase().includes(field.value.toLowerCase()))
    const left = rows.filter(row => !row.hidden).length
    count.textContent = left < rows.length ? `${left} of ${rows.length} rows` : ''
  }
  fields.forEach(field => field.addEventListener('input', filter))
  heads.forEach((head, i) => head.firstElementChild.addEventListener('click', () => {
    const next = {none: 'ascending', ascending: 'descending', descending: 'none'}[head.ariaSort]
    heads.forEach(other => other.ariaSort = 'none')
    head.ariaSort = next
    const sign = next === 'descending' ? -1 : 1
    const order = next === 'none' ? rows : [...rows].sort((a, b) => sign * compare(text(a, i), text(b, i)))
    body.append(...order)
  }))
}
</script>"""


def filterable(frame: pd.DataFrame, name: str, caption: str = "") -> str:
    """HTML of `frame`: a click on a header sorts, a field below it filters, sources and titles are links.

    Sources are `[@key]` or the thesis's numbers: [84] leads to the list of references (`reference_table`)
    on the same page, a title to the work itself where its address is known. Needs no library and no kernel.
    """
    return f"{STYLE}{_table(frame, name, caption)}{SCRIPT}"


def printed_table(name: str) -> str:
    """`filterable` of Table `name` as the thesis prints it."""
    return filterable(printed(name), f"table {name}", f"Table {name}: {export.table_caption(name)}")


def reference_table() -> str:
    """`filterable` list of the 118 references, where links to sources lead; titles link to the works."""
    return f"{STYLE}{_reference_table()}{SCRIPT}"


def write_page(paths: RunPaths) -> Path:
    """All tables, figures, errata and references on one page beside the figures; returns its path."""
    errata = load("errata").set_axis(["No.", "Where", "What", "Here"], axis=1)
    names = [name for name in TABLES if TABLES[name].printed]
    parts = [
        *(
            _table(printed(name), f"table {name}", f"Table {name}: {export.table_caption(name)}")
            for name in names
        ),
        _table(errata, "errata", TABLES["errata"].title),
        _reference_table(),
    ]
    figures = [
        f'<figure><img src="{name}.png" alt="{html.escape(what)}" width="756"><figcaption>{html.escape(what)}'
        "</figcaption></figure>"
        for name, what in FIGURES.items()
        if (paths.figures / f"{name}.png").is_file()
    ]
    shortened = "<p>Figures come from a shortened run.</p>" if paths.profile in SHORTENED else ""
    links = [f'<a href="#{_identity(f"table {name}")}">Table {name}</a>' for name in names]
    links += ['<a href="#errata">Errata</a>', '<a href="#references">References</a>']
    page = "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{TITLE}</title>{STYLE}{PAGE_STYLE}</head><body><h1>{TITLE}</h1>",
            "<p>Click on a header to sort by it, type below it to filter. [n] leads to the references, a",
            f"title to the work itself where its address is known.</p>{shortened}",
            f"<nav>{' · '.join(links)}</nav>",
            *figures,
            *parts,
            f"{SCRIPT}</body></html>\n",
        ]
    )
    return write_text(paths.figures / PAGE, page)


def _reference_table() -> str:
    frame = references()
    address = frame["doi"].where(
        frame["doi"] != "", frame["arxiv"].where(frame["arxiv"] == "", "arXiv:" + frame["arxiv"])
    )
    shown = pd.DataFrame(
        {
            "No.": frame["number"],
            "Authors": frame["authors"],
            "Year": frame["year"],
            "Title": frame["title"],
            "In": frame["venue"],
            "DOI or arXiv": address,
            "Added by us": frame["added"],
            "Same as": [_number(key) for key in frame["same_as"]],
            "Key": frame["key"],
        }
    )
    caption = (
        "The 118 references as the thesis prints them; identifiers under 'Added by us' are from catalogues"
    )
    return _table(shown, "references", caption, [f"ref-{number}" for number in frame["number"]])


def _table(frame: pd.DataFrame, name: str, caption: str, anchors: list[str] | None = None) -> str:
    """The bare table; `anchors` are ids for its rows, which then describe the works themselves."""
    keys = [_keys(row) for row in frame.astype(str).to_numpy()]
    if anchors:
        keys = [[key] for key in frame["Key"]]
    heads = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{html.escape(str(column))}</button></th>'
        for column in frame.columns
    )
    fields = "".join(
        f'<td><input type="search" placeholder="filter" aria-label="filter {html.escape(str(column))}"></td>'
        for column in frame.columns
    )
    rows = []
    for i, row in enumerate(frame.astype(str).to_numpy()):
        cells = [
            _title(cell, keys[i], bool(anchors)) if column == "Title" and keys[i] else _linked(cell)
            for column, cell in zip(frame.columns, row, strict=True)
        ]
        identity = f' id="{anchors[i]}"' if anchors else ""
        rows.append(f"<tr{identity}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f'<div class="lit" id="{_identity(name)}"><table>'
        f"<caption>{_linked(caption)} <output></output></caption>"
        f"<thead><tr>{heads}</tr><tr>{fields}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _identity(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _keys(row) -> list[str]:
    return [key for cell in row for key in export.CITATION.findall(cell)]


def _number(key: str) -> str:
    return f"[{export.numbers()[key]}]" if key else ""


def _linked(cell: str) -> str:
    """`cell` as HTML: sources as links to the list of references, code marked as such."""
    text = html.escape(export.CITATION.sub(lambda m: f" {_number(m[1])}", cell))
    text = export.CODE.sub(r"<code>\1</code>", text)
    known = set(export.numbers().values())
    return SOURCE.sub(lambda m: f'<a href="#ref-{m[1]}">{m[0]}</a>' if int(m[1]) in known else m[0], text)


def _title(title: str, keys: list[str], listed: bool) -> str:
    """`title` linked to its work, or to the list of references where no address is known."""
    row = references().set_index("key").loc[keys[0]]
    target = row["link"] or ("" if listed else f"#ref-{row['number']}")
    return f'<a href="{html.escape(target)}">{html.escape(title)}</a>' if target else html.escape(title)
