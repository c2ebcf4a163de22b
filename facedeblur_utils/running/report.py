"""The report of a run: one self-contained HTML page with every table and figure and where it comes from."""

import base64
import html
import io
import json
import os
import re
from pathlib import Path

from PIL import Image

from facedeblur_utils.files import write_text
from facedeblur_utils.fingerprints import digest, file_sha256
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import duration
from facedeblur_utils.reporting.provenance import notes, training_cost
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import FIGURES, TABLES, Stage

STYLE = Path(__file__).with_name("report.css")
WIDEST = 1600  # pixels of an embedded figure: sharp on a phone and in print, a tenth of the 300 dpi file
TRAINING = re.compile("fig_x_(curves|overview|strip)")
SECTIONS = (
    ("tables", "Tables of the thesis"),
    ("figures", "Figures of the thesis"),
    ("training", "Training"),
    ("more", "Beyond the thesis"),
)


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
    shown = {key: [] for key, _ in SECTIONS}
    for name in sorted(captions, key=_order):
        facts = captions[name]
        section = _section(name) if name in wanted else "training" if TRAINING.match(name) else "more"
        block = _exhibit(name, facts, paths, manifest)
        if block:
            shown[section].append((name, block))
    missing = sorted(wanted - {name for items in shown.values() for name, _ in items}, key=_order)
    warnings = notes(profile, paths, missing)
    title = f"Face deblurring: run of profile {profile.name}"
    body = [
        f"<h1>{title}</h1><p>{html.escape(profile.description)}.</p>",
        '<div class="notes" id="notes"><h2>Read this first</h2><ul>'
        + "".join(f"<li>{html.escape(note)}</li>" for note in warnings)
        + "</ul></div>"
        if warnings
        else "",
        _contents(shown),
        _discussion(paths),
    ]
    for key, heading in SECTIONS:
        body.append(f'<section id="{key}"><h2>{heading}</h2>')
        body += [block for _, block in shown[key]] or ["<p>None yet.</p>"]
        body.append("</section>")
    body += [_runs(chain, paths, manifest), _facts(manifest)]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="state" content="{state}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><title>{title}</title>'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body><main>"
        + "\n".join(body)
        + "</main></body></html>\n"
    )
    return write_text(paths.report, page)


def _state(captions: dict, profile: Profile, paths: RunPaths, manifest: Manifest) -> str:
    """Names all that a report is made of, this code included."""
    exports = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns]
        for folder in (paths.figures, paths.tables)
        for path in sorted(folder.glob("*.*"))
    ]
    made_of = [captions, exports, manifest.stages, manifest.facts.get("machine"), notes(profile, paths, [])]
    return digest([*made_of, file_sha256(STYLE), file_sha256(Path(__file__))])


def _section(name: str) -> str:
    return "tables" if name.startswith("table") else "figures"


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


def _contents(shown: dict) -> str:
    parts = ['<nav aria-label="Contents"><h2>Contents</h2>']
    parts.append('<p><a class="head" href="#discussion">What it shows</a></p>')
    for key, heading in SECTIONS:
        links = " ".join(f'<a href="#{name}">{label(name)}</a>' for name, _ in shown[key])
        parts.append(f'<p><a class="head" href="#{key}">{heading}</a> {links}</p>')
    parts.append('<p><a class="head" href="#runs">How it was made</a></p></nav>')
    return "\n".join(parts)


def _discussion(paths: RunPaths) -> str:
    """What the notebooks conclude, in their order."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(paths.figures.glob("discussion_*.md"))]
    said = "\n".join(map(markdown_text, texts)) or "<p>Nothing yet: notebooks 05 to 07 conclude.</p>"
    return f'<section id="discussion"><h2>What it shows</h2>{said}</section>'


def markdown_text(text: str) -> str:
    """Paragraphs and lists of `- ` lines as HTML, with `**bold**`, `*stress*` and `code`."""
    blocks = []
    for block in text.strip().split("\n\n"):
        block = html.escape(block)
        for mark, tag in ((r"\*\*", "strong"), (r"\*", "em"), ("`", "code")):
            block = re.sub(f"{mark}(.+?){mark}", rf"<{tag}>\1</{tag}>", block)
        if block.startswith("- "):
            items = "".join(f"<li>{line.removeprefix('- ')}</li>" for line in block.splitlines())
            blocks.append(f"<ul>{items}</ul>")
        else:
            blocks.append(f"<p>{block}</p>")
    return "\n".join(blocks)


def _exhibit(name: str, facts: dict, paths: RunPaths, manifest: Manifest) -> str:
    """A table or figure with caption and a link to the run that made it; empty if its file is gone."""
    if facts["kind"] == "table":
        source = paths.tables / f"{name}.md"
        content = markdown_table(source.read_text(encoding="utf-8")) if source.is_file() else ""
    else:
        source = paths.figures / f"{name}.png"
        content = _picture(source, facts["caption"]) if source.is_file() else ""
    if not content:
        return ""
    stage = next((s for s, record in manifest.stages.items() if record["run_id"] == facts["run_id"]), "")
    origin = f'run <a href="#run-{stage}">{facts["run_id"]}</a>' if stage else "a notebook run by hand"
    files = " ".join(
        f'<a href="{_link(path, paths)}">{path.suffix[1:].upper()}</a>'
        for path in sorted(source.parent.glob(f"{name}.*"))
        if "partial" not in path.name
    )
    caption = f"<strong>{label(name)}.</strong> {html.escape(facts['caption'])}"
    return (
        f'<figure id="{name}">{content}<figcaption>{caption}'
        f"<small>Made by {origin}. {files}</small></figcaption></figure>"
    )


def _picture(path: Path, caption: str) -> str:
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        picture.thumbnail((WIDEST, 4 * WIDEST))
        held = io.BytesIO()
        picture.save(held, "webp", quality=85)
        width, height = picture.size
    data = base64.b64encode(held.getvalue()).decode()
    return (
        f'<img src="data:image/webp;base64,{data}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{html.escape(caption, quote=True)}">'
    )


def markdown_table(text: str) -> str:
    """The pipe table at the start of `text` as HTML; `**bold**` and right alignment are kept."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    if len(lines) < 2:
        return ""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    right = ["right" if cell.endswith(":") else "" for cell in rows[1]]

    def cells(row: list[str], tag: str) -> str:
        shown = []
        for i, cell in enumerate(row):
            align = f' class="{right[i]}"' if i < len(right) and right[i] else ""
            text = html.escape(cell.replace(r"\|", "|"))
            text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
            shown.append(f"<{tag}{align}>{text}</{tag}>")
        return f"<tr>{''.join(shown)}</tr>"

    body = "\n".join(cells(row, "td") for row in rows[2:])
    return (
        '<div class="scroll" tabindex="0"><table><thead>'
        f"{cells(rows[0], 'th')}</thead>\n<tbody>{body}</tbody></table></div>"
    )


def _runs(chain: list[Stage], paths: RunPaths, manifest: Manifest) -> str:
    """Each stage's last run: when, how long, from what, with links to the executed notebook."""
    parts = ['<section id="runs"><h2>How it was made</h2>', _cost(paths)]
    for stage in chain:
        record = manifest.stages.get(stage.name)
        if record is None:
            parts.append(f'<p id="run-{stage.name}">{stage.name}: not run yet</p>')
            continue
        commit = record["git"].get("commit", "")[:10] or "outside git"
        commit += " with changes" if record["git"].get("dirty") else ""
        executed = paths.base / record["executed"]
        took = f"{duration(record['seconds'])}, {record['peak_bytes'] / 2**30:.2f} GiB"
        lists = "".join(
            f"<dt>{what}</dt><dd>{_hash_list(items)}</dd>"
            for what, items in (
                ("Inputs (SHA-256)", record["fingerprint"]["inputs"]),
                ("Outputs (SHA-256)", record["outputs"]),
                ("Parameters", record["fingerprint"]["parameters"]),
                ("Versions", record["fingerprint"]["versions"]),
            )
            if items
        )
        parts.append(
            f'<details id="run-{stage.name}"><summary>{record["run_id"]}</summary><dl>'
            f"<dt>Notebook</dt><dd>{record['notebook']}, executed: "
            f'<a href="{_link(executed, paths)}">{executed.name}</a></dd>'
            f"<dt>Started</dt><dd>{record['started']} (took {took})</dd><dt>Code</dt><dd>{commit}</dd>"
            f"{lists}</dl></details>"
        )
    parts.append("</section>")
    return "\n".join(parts)


def _cost(paths: RunPaths) -> str:
    """What each training took in all; a stage's own time below is that of its last run."""
    rows = training_cost(paths)
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "|:--" + "|--:" * (len(rows[0]) - 1) + "|"]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
    return "<p>Training, all sessions of a run together:</p>" + markdown_table("\n".join(lines))


def _hash_list(items: dict) -> str:
    return "<br>".join(f"<code>{html.escape(f'{key}: {value}')}</code>" for key, value in items.items())


def _facts(manifest: Manifest) -> str:
    machine = manifest.facts.get("machine", {})
    if not machine:
        return ""
    processor = f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['features']) or 'no bf16'})"
    graphics = ", ".join(machine["gpus"]) or "none"
    text = html.escape(f"{machine['system']}. Processor: {processor}. GPU: {graphics}.")
    return f"<footer><p>{text}</p></footer>"


def _link(path: Path, paths: RunPaths) -> str:
    return html.escape(Path(os.path.relpath(path, paths.run)).as_posix(), quote=True)
