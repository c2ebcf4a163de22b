"""Command line of `deblur`: a photo or a folder of photos, workers that may die, a summary at the end."""

import argparse
import csv
import io
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from facedeblur_utils import downloads, paths
from facedeblur_utils.data import source_files
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.files import write_text
from facedeblur_utils.machine import available_cpus
from facedeblur_utils.photo.pictures import READ, WRITTEN, partial_of
from facedeblur_utils.photo.worker import NOTHING, REFUSED, RESTORED, Outcome
from facedeblur_utils.physics import METHODS
from facedeblur_utils.progress import Progress

WORKER = [sys.executable, "-m", "facedeblur_utils.photo.worker"]
MOST_JOBS = 4  # unless more are asked for: each takes 0.6 GB, and more with large photos
LONGEST = 1800.0  # seconds for one photo
MOST_LISTED = 20
COLUMNS = ("photo", "state", "faces", "changed", "written", "seconds", "text")
HEADINGS = {RESTORED: "Restored", NOTHING: "Nothing to do", REFUSED: "Refused"}


class Worker:
    """A process that deblurs photos; started when the first comes, and again after one that ended it."""

    def __init__(self, model: Path | None, everywhere: bool, method: str | None):
        weights = str(model.absolute()) if model else ""
        self.options = {"model": weights, "everywhere": everywhere, "method": method}
        self.process: subprocess.Popen | None = None

    def deblur(self, source: Path, target: Path) -> Outcome:
        """What became of a photo; raises StudyError where no worker can be started at all."""
        if self.process is None:
            self._start()
        timer = threading.Timer(LONGEST, self.process.kill)
        timer.daemon = True  # never what the end of the program waits for
        timer.start()
        answer = self._ask([str(source), str(target)])
        late = not timer.is_alive()
        timer.cancel()
        if answer is not None:
            return Outcome(**answer)
        code = self.stop()
        partial_of(target).unlink(missing_ok=True)
        why = f"took more than {LONGEST / 60:.0f} minutes" if late else _ended(code)
        return Outcome(source.name, REFUSED, f"cannot use {source}: reading or restoring it {why}")

    def stop(self) -> int:
        """End the process; returns its exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.kill()
        code = process.wait()
        process.stdin.close()
        process.stdout.close()
        return code

    def _start(self) -> None:
        folders = [str(paths.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C ends this process, which then ends the others
        )
        answer = self._ask(self.options)
        if answer is None:
            raise StudyError(f"the program that restores photos can't be started ({_ended(self.stop())})")
        if "error" in answer:
            self.stop()
            error = StudyError(answer["error"])
            error.exit_code = answer["exit_code"]
            raise error

    def _ask(self, request) -> dict | None:
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except (OSError, ValueError):  # it is gone
            return None
        return json.loads(line) if line.endswith("\n") else None


def _ended(code: int) -> str:
    if code == -9:
        return "ended its process, as happens when memory runs out"
    return f"ended its process ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is 0, 1 where a photo was refused, 2 for wrong usage, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="facedeblur",
        description="Deblur the faces in a photo, or in a folder of them.",
    )
    parser.add_argument("source", type=Path, help="a photo or a folder")
    parser.add_argument("target", type=Path, help="the photo to write, or a folder for those of a folder")
    parser.add_argument("--model", type=Path, help="other weights of the restorer (.safetensors)")
    parser.add_argument("--everywhere", action="store_true", help="restore the whole picture, not only faces")
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="the network alone, physics (the motion that explains the picture, undone), or both; both is "
        "the default with the published weights",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="photos at once (default: one a core, up to 4)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write what became of each photo there")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.jobs is not None and chosen.jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got {chosen.jobs}")
        if chosen.source.is_dir():
            return _folder(chosen)
        return _one(chosen)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; what was written is whole", file=sys.stderr)
        return 130


def _one(chosen: argparse.Namespace) -> int:
    source, target = chosen.source, chosen.target
    if target.is_dir():
        target = target / result_name(source.name)
    if target.suffix.lower() not in WRITTEN:
        raise UsageError(f"cannot write {target}: name it with one of {', '.join(WRITTEN)}")
    if target.resolve() == source.resolve():
        raise UsageError(f"{target} is the photo itself; give the result another name")
    if not target.parent.is_dir():
        raise StudyError(f"cannot write {target}: there is no folder {target.parent}")
    (outcome,) = _deblur([(source, target)], chosen)
    if chosen.csv:
        _write_csv(chosen.csv, [outcome])
    if not outcome.written:
        raise StudyError(outcome.text)
    print(f"{source.name} -> {target}: {outcome.text}", flush=True)
    return 0


def _folder(chosen: argparse.Namespace) -> int:
    """Deblur each photo of a folder; those that can't be are listed, and the others go on."""
    source, target = chosen.source, chosen.target
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file; a folder of photos needs a folder for the results")
    if target.resolve() == source.resolve():
        raise UsageError(f"{target} is the folder of the photos; give the results another one")
    found, odd = source_files.look_into(source, READ, deep=False)
    odd += _others(source, odd)
    if not found:
        also = f"; {source_files.passed_over(odd)}" if odd else ""
        raise StudyError(f"no photo in {source} (looked for {', '.join(READ)}){also}")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"cannot make the folder {target}: {error.strerror}") from None
    names = _result_names(list(found))
    progress, outcomes = Progress(len(found), "Deblurring", unit="photos"), []
    try:
        for outcome in _deblur([(found[name], target / names[name]) for name in found], chosen):
            outcomes.append(outcome)
            stream = sys.stderr if outcome.state == REFUSED else sys.stdout
            print(f"{outcome.photo}: {outcome.text}", file=stream, flush=True)
            progress.advance()
        progress.finish()
    finally:
        # Also after Ctrl-C: what is there is told.
        outcomes.sort(key=lambda outcome: outcome.photo)
        told = outcomes or isinstance(sys.exception(), KeyboardInterrupt)
        for line in summary(outcomes, odd, len(found), target) if told else ():
            print(line, flush=True)
        if chosen.csv and told:
            _write_csv(chosen.csv, outcomes, odd)
    return 1 if any(outcome.state == REFUSED for outcome in outcomes) else 0


def _deblur(photos: list[tuple[Path, Path]], chosen: argparse.Namespace) -> Iterator[Outcome]:
    """The outcomes as they come, from as many workers as were asked for."""
    if not chosen.everywhere:
        downloads.fetch("face_landmarker")  # here, where it can be seen
    jobs = min(chosen.jobs or min(available_cpus(), MOST_JOBS), len(photos))
    waiting, done = queue.SimpleQueue(), queue.SimpleQueue()
    for photo in photos:
        waiting.put(photo)
    workers = [Worker(chosen.model, chosen.everywhere, chosen.method) for _ in range(jobs)]

    def work(worker: Worker) -> None:
        try:
            while True:
                done.put(worker.deblur(*waiting.get_nowait()))
        except queue.Empty:
            pass
        except BaseException as error:  # goes on in the main thread
            done.put(error)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for _ in photos:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        with suppress(queue.Empty):  # a worker may take the last one meanwhile
            while True:
                waiting.get_nowait()
        for worker in workers:
            worker.stop()
        for _, target in photos:  # of a worker that was stopped half way
            partial_of(target).unlink(missing_ok=True)


def result_name(name: str) -> str:
    """The name of a photo's result: its own, but .png for a format that isn't written."""
    stem, suffix = os.path.splitext(name)
    if suffix.lower() == ".jfif":
        return f"{stem}.jpg"
    return name if suffix.lower() in WRITTEN else f"{stem}.png"


def _result_names(names: list[str]) -> dict[str, str]:
    """Result by photo, no two alike: `a.gif` beside `a.png` becomes `a.gif.png`."""
    taken = {name.casefold() for name in names if result_name(name) == name}
    results = {}
    for name in names:
        result = result_name(name)
        if result != name and result.casefold() in taken:
            result = f"{name}{os.path.splitext(result)[1]}"
        taken.add(result.casefold())
        results[name] = result
    return results


def _others(folder: Path, named: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What else lies in the folder, hidden files and those `named` apart, with why it isn't looked at."""
    others, known = [], {name for name, _ in named}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = source_files.shown(entry.name)
        if entry.name.startswith(".") or name in known:
            continue
        if os.path.isdir(entry.path):
            others.append((name, "a folder"))
        elif os.path.splitext(entry.name)[1].lower() not in READ:
            others.append((name, "no picture format that is read"))
    return others


def summary(outcomes: list[Outcome], odd: list[tuple[str, str]], count: int, target: Path) -> list[str]:
    """How many photos were restored, had nothing to restore or were refused, and why."""
    lines = []
    for state, heading in HEADINGS.items():
        these = [outcome for outcome in outcomes if outcome.state == state]
        where = f", written to {target}" if state == RESTORED and these else ""
        lines.append(f"{heading}: {len(these)} of {count} photos{where}")
        if state != RESTORED:
            lines += _listed([(outcome.photo, outcome.text) for outcome in these])
    if len(outcomes) < count:
        lines.append(f"Not reached: {count - len(outcomes)}")
    if odd:
        lines.append(f"Not looked at: {len(odd)}")
        lines += _listed(odd)
    return lines


def _listed(entries: list[tuple[str, str]]) -> list[str]:
    lines = [f"  {name}: {why}" for name, why in entries[:MOST_LISTED]]
    return lines + ([f"  … and {len(entries) - MOST_LISTED} more"] if len(entries) > MOST_LISTED else [])


def _write_csv(file: Path, outcomes: list[Outcome], odd: list[tuple[str, str]] = ()) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for outcome in outcomes:
        table.writerow([getattr(outcome, column) for column in COLUMNS])
    table.writerows([name, "not looked at", "", "", "", "", why] for name, why in odd)
    write_text(file, text.getvalue())
