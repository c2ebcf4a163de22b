"""Deblurs photos one after another in a process of its own, so that one which ends it takes no other along.

Started by `command`; reads one JSON object a line, the options and then photos, and answers each with one.
"""

import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

RESTORED, NOTHING, REFUSED = "restored", "nothing to do", "refused"


@dataclass
class Outcome:
    """What became of one photo: its state, why, and what was written ("" if nothing was)."""

    photo: str
    state: str
    text: str
    faces: int = 0
    changed: int = 0
    written: str = ""
    seconds: float = 0.0


def deblur_file(source: Path, target: Path, model, landmarker, **how) -> Outcome:
    """Deblur the photo `source` into `target`, `how` as in `deblur.deblur_picture`.

    What has nothing to restore is copied as it is; one that is refused, in one line, isn't written.
    """
    from facedeblur_utils.errors import StudyError
    from facedeblur_utils.photo import deblur, pictures

    start, outcome = time.monotonic(), Outcome(source.name, REFUSED, "")
    try:
        picture = pictures.read_picture(source)
        done = deblur.deblur_picture(picture, model, landmarker=landmarker, **how)
        outcome.faces, outcome.changed = len(done.faces), done.changed
        said = list(picture.notes)
        if done.changed or source.suffix.lower() != target.suffix.lower():
            said += pictures.save_picture(picture, target)
        else:
            _copy(source, target)
        outcome.state = RESTORED if done.changed else NOTHING
        outcome.text, outcome.written = "; ".join([done.text, *said]), str(target)
    except StudyError as error:
        outcome.text = str(error)
    except MemoryError:
        outcome.text = "it needs more memory than there is"
    except Exception as error:  # a fault of ours: this photo is refused, and those after it go on
        outcome.text = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    outcome.seconds = round(time.monotonic() - start, 2)
    return outcome


def _copy(source: Path, target: Path) -> None:
    from facedeblur_utils.errors import StudyError
    from facedeblur_utils.photo.pictures import partial_of

    partial = partial_of(target)
    try:
        shutil.copyfile(source, partial)
        os.replace(partial, target)
    except OSError as error:
        raise StudyError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def main() -> None:
    # Libraries write to the standard output too; answers go through a copy of it that only we know.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def answer(values: dict) -> None:
        print(json.dumps(values), file=channel, flush=True)

    import cv2
    import torch

    from facedeblur_utils.data.segmentation import open_landmarker
    from facedeblur_utils.errors import StudyError
    from facedeblur_utils.photo import deblur

    torch.set_num_threads(1)  # the same bits whether one photo or many, alone or side by side
    cv2.setNumThreads(1)
    options = json.loads(sys.stdin.readline())
    model = options["model"] or None
    with ExitStack() as stack:
        try:
            deblur.open_model(model)
            landmarker = None if options["everywhere"] else stack.enter_context(open_landmarker())
        except StudyError as error:
            answer({"error": str(error), "exit_code": error.exit_code})
            return
        how = {"everywhere": options["everywhere"], "method": options["method"]}
        answer({"ready": True})
        for line in sys.stdin:
            source, target = json.loads(line)
            outcome = deblur_file(Path(source), Path(target), model, landmarker, **how)
            answer(asdict(outcome))


if __name__ == "__main__":
    main()
