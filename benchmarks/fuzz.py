"""Feeds damaged and odd pictures, profiles and zips to the readers: `python benchmarks/fuzz.py`.

Everything is drawn from a seed. A case runs in a child process, so that one which ends it is counted and
the others go on. Prints how many cases ended the process, raised what isn't one line, or took too long; the
goal is 0, the exit code 1 otherwise. Raise the counts, or change the seed, to look further.
"""

import argparse
import collections
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from facedeblur_utils import downloads, paths
from facedeblur_utils.data import faces, sources
from facedeblur_utils.errors import StudyError
from facedeblur_utils.profiles import AT_LEAST, load_profile, parse_overrides

SECONDS = 60.0  # for one case; more counts as hanging
KINDS = ("pictures", "profiles", "zips")
SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".gif", ".avif", ".jp2", ".bmp")


def saved(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def good_pictures() -> list[bytes]:
    """One picture of a face in each format and mode that people have."""
    with Image.open(downloads.fetch("sample_faces") / "000014.jpg") as image:
        photo = image.convert("RGB").resize((120, 147))
    exif = Image.Exif()
    exif[0x0112], exif[0x8825] = 6, {1: "N", 2: (48.0, 8.0, 14.0)}
    with_exif = {"exif": exif.tobytes()}
    srgb = ImageCms.createProfile("sRGB")
    profile = ImageCms.ImageCmsProfile(srgb).tobytes()
    clear = photo.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    grey = np.asarray(photo.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    moving = {"save_all": True, "append_images": [photo.rotate(5)]}
    return [
        saved(photo, "JPEG", quality=90, icc_profile=profile, dpi=(72, 72), comment=b"words", **with_exif),
        saved(photo, "JPEG", progressive=True),
        saved(photo.convert("L"), "JPEG"),
        saved(photo.convert("CMYK"), "JPEG"),
        saved(photo, "PNG", icc_profile=profile, **with_exif),
        saved(clear, "PNG"),
        saved(photo.quantize(16), "PNG", transparency=3),
        saved(photo.convert("L"), "PNG", transparency=9),
        saved(photo.convert("1"), "PNG"),
        saved(photo, "PNG", **moving),
        saved(deep, "PNG"),
        saved(deep, "TIFF"),
        saved(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"),
        saved(photo, "TIFF", **with_exif),
        saved(photo, "TIFF", compression="tiff_lzw"),
        saved(photo.convert("CMYK"), "TIFF", compression="jpeg"),
        saved(
            ImageCms.profileToProfile(photo, srgb, ImageCms.createProfile("LAB"), outputMode="LAB"), "TIFF"
        ),
        saved(photo, "GIF", **moving),
        saved(photo, "WEBP", **with_exif),
        saved(clear, "WEBP", lossless=True),
        saved(photo, "WEBP", **moving),
        saved(photo, "AVIF"),
        saved(photo, "JPEG2000"),
        saved(photo, "BMP"),
    ]


def damaged(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """`data` with one to four kinds of damage: bytes changed, cut, moved, repeated, or from another file."""
    for _ in range(rng.integers(1, 5)):
        size = max(1, len(data))
        at, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
        head = int(rng.integers(min(size, 120)))  # where sizes, counts and offsets stand
        match rng.integers(9):
            case 0:
                data = data[:at]
            case 1:
                data = data[:head] + rng.bytes(1) + data[head + 1 :]
            case 2:
                data = data[:head] + rng.bytes(4) + data[head + 4 :]
            case 3:
                values = np.frombuffer(data, np.uint8).copy()
                places = rng.integers(size, size=int(rng.integers(1, 30)))
                if len(values):
                    values[places] = rng.integers(256, size=len(places))
                data = values.tobytes()
            case 4:
                data = data[:at] + bytes(length) + data[at + length :]
            case 5:
                data = data[:at] + data[at + length :]
            case 6:
                data = data[:at] + data[at : at + length] * 3 + data[at + length :]
            case 7:
                other = others[int(rng.integers(len(others)))]
                data = data[:at] + other[at:]
            case _:
                data = data[:head] + b"\xff" * int(rng.integers(1, 9)) + data[head + 4 :]
    return data


def odd_picture(rng: np.random.Generator) -> tuple[bytes, str]:
    """A whole picture of any mode and shape: very long, one pixel, noise, flat."""
    mode = str(
        rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"])
    )
    long, short = int(2 ** rng.uniform(0, 13)), int(2 ** rng.uniform(0, 7))
    size = (long, short) if rng.random() < 0.5 else (short, long)
    noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) // int(rng.choice([1, 8, 255]))
    image = Image.fromarray(noise.astype(np.uint8))
    try:
        image = image.convert("L").convert(mode) if mode in ("I", "F", "I;16") else image.convert(mode)
    except Exception:  # not every mode can be had from every other
        image = image.convert("L")
    for kind, suffix in zip(rng.permutation(["PNG", "TIFF", "JPEG", "WEBP", "GIF"]), SUFFIXES, strict=False):
        with contextlib.suppress(Exception):  # not every format takes every mode and size
            return saved(image, str(kind)), suffix  # as often as not under a suffix of another format
    return saved(image.convert("RGB"), "PNG"), ".png"


def picture_cases(seed: int, scratch: Path):
    import torch

    from facedeblur_utils.data.segmentation import open_landmarker
    from facedeblur_utils.photo import worker

    class Brighter(torch.nn.Module):
        """Changes every picture, so that every one that can be read is written too."""

        def __init__(self):
            super().__init__()
            self.step = torch.nn.Parameter(torch.tensor(0.1))

        def forward(self, images):
            return images + self.step

    torch.set_num_threads(1)
    network, good = Brighter(), good_pictures()
    with open_landmarker() as landmarker:

        def case(number: int) -> str:
            rng = np.random.default_rng([seed, number])
            if rng.random() < 0.25:
                data, suffix = odd_picture(rng)
            else:
                data = damaged(good[number % len(good)], good, rng)
                suffix = str(rng.choice(SUFFIXES))
            source = scratch / f"in{suffix}"
            source.write_bytes(data)
            target = scratch / f"out{rng.choice(['.jpg', '.png', '.webp', '.tif'])}"
            outcome = worker.deblur_file(
                source, target, network, landmarker, everywhere=bool(rng.random() < 0.5)
            )
            if "unexpected" in outcome.text or "\n" in outcome.text:
                return f"fault: {outcome.text}"
            try:
                faces.decode(data)
            except faces.ImageProblem as problem:
                if "\n" in str(problem):
                    return f"fault: {problem}"
            left = [path.name for path in scratch.iterdir() if "partial" in path.name]
            return f"fault: left {left}" if left else outcome.state

        yield case


def profile_cases(seed: int, scratch: Path):
    texts = [path.read_bytes() for path in sorted(paths.PROFILES.glob("*.yaml"))]
    odd = (
        "010",
        "1:30",
        "1e-3",
        "..",
        "*a",
        "&a [*a]",
        "[[[[",
        "{a: b}",
        "9" * 400,
        "null",
        "!!python/name:os",
        "\0",
    )

    def case(number: int) -> str:
        rng = np.random.default_rng([seed, number])
        data = texts[number % len(texts)]
        if rng.random() < 0.5:
            key = str(rng.choice(sorted(AT_LEAST) + ["name", "source", "split", "restorer_runs"]))
            data = data.replace(b"name: ", b"name: my") + f"\n{key}: {rng.choice(odd)}\n".encode()
        else:
            data = damaged(data, texts, rng)
        path = scratch / "mine.yaml"
        path.write_bytes(data)
        try:
            load_profile(path)
            parse_overrides([f"epochs={data[:60].decode('latin-1')}"])
        except StudyError as error:
            return "refused" if "\n" not in str(error) and len(str(error)) < 2000 else f"fault: {error}"
        return "read"

    yield case


def zip_cases(seed: int, scratch: Path):
    good = good_pictures()
    whole = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", method) as archive:
            for number, picture in enumerate(good[:6]):
                archive.writestr(f"faces/{number}.jpg", picture)
            archive.writestr("../out.jpg", good[0])
        whole.append(data.getvalue())

    def case(number: int) -> str:
        rng = np.random.default_rng([seed, number])
        data = damaged(whole[number % len(whole)], whole, rng)
        if rng.random() < 0.5:  # damage in the directory at the end, where names, sizes and offsets stand
            start = len(whole[0]) - 600
            data = whole[0][:start] + damaged(whole[0][start:], [whole[0][start:]], rng)
        path = scratch / "faces.zip"
        path.write_bytes(data)
        try:
            source = sources.open_source(load_profile("smoke", {"source": str(path), "limit": 0}))
        except StudyError as error:
            return "refused" if "\n" not in str(error) else f"fault: {error}"
        read = [sources.picture(source, item) is not None for item in source.items]
        return "read" if all(read) else "partly read"

    yield case


def child(kind: str, first: int, end: int, seed: int) -> None:
    """Run the cases from `first`; tells each before it starts and what came of it, one JSON line each."""
    cases = {"pictures": picture_cases, "profiles": profile_cases, "zips": zip_cases}[kind]
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(seed, Path(scratch)):
            print(json.dumps([first, "ready"]), flush=True)
            for number in range(first, end):
                print(json.dumps([number, ""]), flush=True)
                try:
                    said = case(number)
                except Exception:
                    said = "fault: " + traceback.format_exc(limit=-3)
                print(json.dumps([number, said]), flush=True)


def run(kind: str, count: int, seed: int) -> tuple[collections.Counter, list[str]]:
    """What came of `count` cases, by state, and the faults in words."""
    states, faults, first = collections.Counter(), [], 0
    while first < count:
        words = [sys.executable, __file__, "--child", kind, str(first), str(count), "--seed", str(seed)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        number, said, ready, beat = first, "", False, [time.monotonic()]
        done = threading.Event()
        threading.Thread(target=_watch, args=(process, beat, done), daemon=True).start()
        for line in process.stdout:
            if not line.startswith("["):
                continue
            number, said = json.loads(line)
            beat[0] = time.monotonic()
            if said == "ready":
                ready, said = True, ""
            elif said:
                states["fault" if said.startswith("fault") else said] += 1
                if said.startswith("fault"):
                    faults.append(f"{kind} {number}: {said}")
        code = process.wait()
        done.set()
        if not ready:
            raise SystemExit(
                f"{kind}: the child can't start (exit code {code}); run it with --child to see why"
            )
        first = number + 1
        if code and not said:
            states["ended the process"] += 1
            faults.append(f"{kind} {number}: ended its process (exit code {code})")
    return states, faults


def _watch(process: subprocess.Popen, beat: list[float], done: threading.Event) -> None:
    while not done.wait(1):
        if time.monotonic() - beat[0] > 2 * SECONDS:
            process.kill()
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, count in zip(KINDS, (2000, 250, 250), strict=True):
        parser.add_argument(
            f"--{kind}", type=int, default=count, metavar="N", help=f"cases (default {count})"
        )
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        kind, first, end = chosen.child
        child(kind, int(first), int(end), chosen.seed)
        return 0
    bad = 0
    for kind in KINDS:
        start, count = time.monotonic(), getattr(chosen, kind)
        states, faults = run(kind, count, chosen.seed)
        bad += len(faults)
        told = ", ".join(f"{state} {number}" for state, number in sorted(states.items()))
        print(f"{kind}: {count} cases in {time.monotonic() - start:.0f} s: {told or 'none'}", flush=True)
        for fault in faults[:20]:
            print(f"  {fault}", flush=True)
    print(f"crashes, tracebacks and hangs: {bad} (goal 0), seed {chosen.seed}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
