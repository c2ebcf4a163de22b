"""The report of a run: one self-contained HTML page with every table and figure and where it comes from.

Its form is in `report.html.j2` and `report.css`.
"""

import base64
import csv
import io
import json
import os
import re
from pathlib import Path

import mistune
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from facedeblur_utils.files import write_text
from facedeblur_utils.fingerprints import digest, file_sha256
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import duration
from facedeblur_utils.reporting.provenance import notes, training_cost
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import FIGURES, TABLES, Stage

FOLDER = Path(__file__).parent
WIDEST = 1600  # pixels of an embedded figure: a matrix over the page has 1890
RESTORED_FACES = ("fig_x_restorer_SFB2", "fig_5_01")  # the first of them that is there opens the page
TRAINING = re.compile("fig_x_(curves|overview|strip)")
SECTIONS = {
    "tables": "Tables of the thesis",
    "figures": "Figures of the thesis",
    "training": "Training",
    "more": "Beyond the thesis",
}
# Shortened runs end captions and texts with this; the page says it once.
REMARK = re.compile(r"\s*[(*]Shortened run.+?: not a result of the study\.[)*]")
FIRST_SENTENCE = re.compile(r"(\*\*.+?\*\*\s)?.+?([.?!](?=\s+[A-Z*`])|$)", re.DOTALL)
MARKDOWN = mistune.create_markdown(plugins=["table"])
# Neither links nor pictures: what a text names is never loaded from elsewhere.
MARKDOWN.inline.rules = ["escape", "codespan", "emphasis", "inline_html", "linebreak", "softbreak"]


def write_report(chain: list[Stage], profile: Profile, paths: RunPaths, manifest: Manifest) -> Path:
    """Write `report.html` from captions, exported files and manifest; what is missing is listed in it.

    A report that was written from the same things is left as it is.
    """
    captions = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths.captions.glob("*.json")
    }
    state = _state(captions, profile, paths, manifest)
    if paths.report.is_file() and state in paths.report.read_text(encoding="utf-8")[:200]:
        return paths.report
    wanted = {name for group in (TABLES, FIGURES) for names in group.values() for name in names}
    shown, sections = {}, {key: [] for key in SECTIONS}
    for name in sorted(captions, key=_order):
        exhibit = _exhibit(name, captions[name], paths, manifest)
        if exhibit["table"] or exhibit["picture"]:
            shown[name] = exhibit
            thesis = f"{exhibit['kind']}s" if name in wanted else ""
            sections[thesis or ("training" if TRAINING.match(name) else "more")].append(exhibit)
    warnings = notes(profile, paths, sorted(wanted - set(shown), key=_order))
    texts = [path.read_text(encoding="utf-8") for path in sorted(paths.figures.glob("discussion_*.md"))]
    texts = [REMARK.sub("", text) for text in texts]
    page = _template(paths).render(
        state=state,
        profile=profile,
        scores=_gains(paths.tables / "table_5_4.csv") if "table_5_4" in shown else [],
        opening=next((shown[name] for name in RESTORED_FACES if name in shown), None),
        sentences=_first_sentences(texts),
        notes=[note for note in warnings if "shortened run" not in note],
        texts=texts,
        headings=SECTIONS,
        sections=sections,
        cost=training_cost(paths),
        chain=chain,
        records=manifest.stages,
        base=paths.base,
        machine=manifest.facts.get("machine"),
    )
    return write_text(paths.report, page)


def _template(paths: RunPaths):
    pages = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "markdown": markdown,
        "label": label,
        "duration": duration,
        "link": lambda path: Path(os.path.relpath(path, paths.run)).as_posix(),
    }
    return pages.get_template("report.html.j2")


def _state(captions: dict, profile: Profile, paths: RunPaths, manifest: Manifest) -> str:
    """Names all that a report is made of, this code included."""
    exports = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns]
        for folder in (paths.figures, paths.tables)
        for path in sorted(folder.glob("*.*"))
    ]
    made_of = [captions, exports, manifest.stages, manifest.facts.get("machine"), notes(profile, paths, [])]
    return digest([*made_of, *(file_sha256(path) for path in sorted(FOLDER.glob("report.*")))])


def label(name: str) -> str:
    """`fig_5_03` -> `Figure 5.3`, `table_x_gain` -> `Table: gain`."""
    kind, _, rest = name.partition("_")
    word = "Figure" if kind == "fig" else "Table"
    chapter, _, number = rest.partition("_")
    if chapter.isdigit() and number.isdigit():
        return f"{word} {chapter}.{int(number)}"
    return f"{word}: {rest.removeprefix('x_').replace('_', ' ')}"


def _order(name: str) -> list:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in name.split("_")]


def markdown(text: str) -> Markup:
    """Markdown as HTML, everything else in it escaped."""
    return Markup(MARKDOWN(text))


def markdown_table(text: str) -> Markup:
    """The pipe table in `text` as HTML, without the caption below it; empty if there is none."""
    return markdown("\n".join(line for line in text.splitlines() if line.startswith("|")))


def _first_sentences(texts: list[str], count: int = 3) -> list[str]:
    """With what the first `count` paragraphs begin: that is what each concludes."""
    paragraphs = [part for text in texts for part in text.strip().split("\n\n") if part[:2] not in ("", "- ")]
    return [FIRST_SENTENCE.match(paragraph)[0] for paragraph in paragraphs[:count]]


def _gains(file: Path) -> list[dict]:
    """Table 5.4 in short. Per row the model and, per test set, PSNR and its gain over the first row's."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        heads, *rows = csv.reader(opened)
    columns = {head.removesuffix(" PSNR"): i for i, head in enumerate(heads) if head.endswith(" PSNR")}

    def psnr(row: list[str], column: int) -> float:
        return float(row[column] or "nan")

    return [
        {
            "model": row[0],
            "psnr": {name: (psnr(row, i), psnr(row, i) - psnr(rows[0], i)) for name, i in columns.items()},
        }
        for row in rows
    ]


def _exhibit(name: str, facts: dict, paths: RunPaths, manifest: Manifest) -> dict:
    """A table or figure, its caption, its files and the stage that made it; without content if it is gone."""
    folder, ending = (paths.tables, "md") if facts["kind"] == "table" else (paths.figures, "png")
    source = folder / f"{name}.{ending}"
    there = source.is_file()
    return {
        **facts,
        "name": name,
        "caption": REMARK.sub("", facts["caption"]),
        "table": markdown_table(source.read_text(encoding="utf-8")) if there and ending == "md" else "",
        "picture": _picture(source) if there and ending == "png" else None,
        "stage": next((s for s, made in manifest.stages.items() if made["run_id"] == facts["run_id"]), ""),
        "files": [path for path in sorted(folder.glob(f"{name}.*")) if "partial" not in path.name],
    }


def _picture(path: Path) -> dict:
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        picture.thumbnail((WIDEST, 4 * WIDEST))
        held = io.BytesIO()
        picture.save(held, "webp", quality=85)
    data = base64.b64encode(held.getvalue()).decode()
    return {"data": data, "width": picture.width, "height": picture.height}
