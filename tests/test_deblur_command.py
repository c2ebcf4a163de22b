"""`facedeblur in out`: one photo, a folder of everything, what ends its worker, stopping half way."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import everything
import numpy as np
import pytest
from PIL import Image

from facedeblur_utils.photo import command, worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return everything.make(tmp_path_factory.mktemp("photos") / "in")


def run(*words):
    # The network alone: physics takes seconds a face, and test_photo_motion.py looks at it.
    return command.main([*map(str, words), "--method", "restorer"])


def test_a_folder_of_everything(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, out, "--csv", tmp_path / "out.csv", "--jobs", 2) == 1
    said = capsys.readouterr()
    count = len(everything.RESTORED + everything.NOTHING + everything.REFUSED)
    assert f"Restored: {len(everything.RESTORED)} of {count} photos, written to {out}" in said.out
    assert f"Nothing to do: {len(everything.NOTHING)} of {count} photos" in said.out
    assert f"Refused: {len(everything.REFUSED)} of {count} photos" in said.out
    assert f"Not looked at: {len(everything.NOT_LOOKED_AT)}" in said.out
    assert "Traceback" not in said.out + said.err and "left" in said.out
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    states = {name: row["state"] for name, row in rows.items()}
    assert states == dict.fromkeys(everything.RESTORED, "restored") | dict.fromkeys(
        everything.NOTHING, "nothing to do"
    ) | dict.fromkeys(everything.REFUSED, "refused") | dict.fromkeys(
        everything.NOT_LOOKED_AT, "not looked at"
    )
    written = sorted(path.name for path in out.iterdir())
    png = ("animation.gif", "avif.avif", "jp2.jp2")
    expected = [f"{Path(n).stem}.png" if n in png else n for n in everything.RESTORED]
    assert written == sorted([*expected, *everything.NOTHING])
    # What had nothing to restore is the same file.
    for name in everything.NOTHING:
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert rows["sharp.jpg"]["text"].endswith(": sharp enough")
    assert rows["landscape.jpg"]["text"].startswith("no face found; the whole picture was restored (")
    assert rows["long.png"]["text"].startswith("nothing to restore: no face found, and the picture is sharp")
    assert "the first of 3 pictures" in rows["animation.gif"]["text"]
    assert "CMYK turned into RGB" in rows["cmyk.jpg"]["text"]
    assert int(rows["group.jpg"]["faces"]) == 4 and int(rows["panorama.jpg"]["faces"]) >= 3
    assert all(int(rows[name]["changed"]) > 0 for name in everything.RESTORED)
    with Image.open(out / "photo.jpg") as result, Image.open(folder / "photo.jpg") as source:
        assert result.quantization == source.quantization and result.layer == source.layer
        assert result.getexif()[0x010F] == "Maker" and result.getexif().get_ifd(0x8825)[1] == "N"
    with Image.open(out / "turned.jpg") as result:
        assert result.size == (178, 218) and result.getexif()[0x0112] == 1
    # The same for one photo as within a folder.
    for name in ("photo.jpg", "alpha.png", "group.jpg"):
        assert run(folder / name, tmp_path / name) == 0
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_one_photo_and_its_errors(folder, tmp_path, capsys):
    photo = folder / "sharp.jpg"
    cases = {
        (folder / "words.jpg", tmp_path / "out.png"): (1, "not an image"),
        (folder / "missing.jpg", tmp_path / "out.png"): (1, "No such file"),
        (photo, tmp_path / "out.xyz"): (2, "name it with one of"),
        (photo, photo): (2, "is the photo itself"),
        (photo, tmp_path / "nowhere/out.png"): (1, "cannot write"),
        (folder, folder): (2, "is the folder of the photos"),
        (folder, photo): (2, "is a file"),
        (folder / "sub", tmp_path / "x"): (1, "no photo in"),
    }
    for (source, target), (code, words) in cases.items():
        assert run(source, target) == code, (source, target)
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1
    assert run(folder, tmp_path / "x", "--jobs", "0") == 2
    for name in ("landscape.jpg", "long.png"):  # without a face there is an outcome too
        assert run(folder / name, tmp_path / name) == 0 and (tmp_path / name).exists()
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    assert run(photo, tmp_path / "out.png", "--model", tmp_path / "weights.safetensors") == 1
    assert "does not hold weights of the restorer" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


DEADLY = """
import os, time
from facedeblur_utils.photo import deblur, pictures, worker
search = deblur.search
def deadly(image, landmarker, restore):
    if image.shape[1] == 77:
        os.abort()
    if image.shape[1] == 78:
        time.sleep(600)
    return search(image, landmarker, restore)
deblur.search = deadly
save = pictures.save_picture
def half(picture, path):
    if picture.colours.shape[1] == 79:
        pictures.partial_of(path).write_bytes(b"half")
        os.kill(os.getpid(), 9)
    return save(picture, path)
pictures.save_picture = half
worker.main()
"""


def test_a_photo_that_ends_its_worker_is_refused_and_the_rest_done(folder, tmp_path, capsys, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    face = everything.sample(14, 0.08)
    for name, wide in (("a_dies", 77), ("b_hangs", 78), ("c", 178), ("d_half", 79), ("e", 178)):
        pixels = face if wide == 178 else np.pad(face[::2, ::2][:, : wide - 4], ((0, 0), (0, 0), (0, 0)))
        if wide != 178:
            pixels = np.asarray(Image.fromarray(face).resize((wide, 97)))
        Image.fromarray(pixels).save(photos / f"{name}.png")
    monkeypatch.setattr(command, "WORKER", [sys.executable, "-c", DEADLY])
    monkeypatch.setattr(command, "LONGEST", 8.0)
    assert run(photos, tmp_path / "out", "--jobs", 1) == 1
    said = capsys.readouterr()
    assert "ended its process (signal 6)" in said.err and "took more than" in said.err
    assert "as happens when memory runs out" in said.err
    assert "Restored: 2 of 5 photos" in said.out and "Refused: 3 of 5 photos" in said.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["c.png", "e.png"]


def test_a_fault_of_ours_is_one_line_too(folder, tmp_path, monkeypatch):
    from facedeblur_utils.photo import pictures

    def broken(path):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(pictures, "read_picture", broken)
    outcome = worker.deblur_file(folder / "photo.jpg", tmp_path / "out.jpg", None, None, everywhere=True)
    assert (outcome.state, outcome.text) == ("refused", "unexpected ZeroDivisionError: two lines")


def test_results_of_formats_that_are_only_read_get_names_of_their_own():
    names = command._result_names(["a.gif", "a.png", "A.jp2", "b.heic", "c.jfif", "d.JPG"])
    assert names == {
        "a.gif": "a.gif.png",
        "a.png": "a.png",
        "A.jp2": "A.jp2.png",
        "b.heic": "b.png",
        "c.jfif": "c.jpg",
        "d.JPG": "d.JPG",
    }


def test_ctrl_c_leaves_whole_files_and_no_process(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = everything.scene(900, 1200, (everything.sample(14, 0.08), 100, 100))
    for number in range(30):
        Image.fromarray(pixels).save(photos / f"{number:02d}.jpg", quality=95)
    words = [sys.executable, "-m", "facedeblur_utils.deblur", str(photos), str(tmp_path / "out")]
    heard = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    }  # also where tests run by `&`
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, **pipes, **heard)
    end = time.monotonic() + 90
    while not list((tmp_path / "out").glob("0*.jpg")) and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Not reached" in out and "Traceback" not in err
    names = os.listdir(tmp_path / "out")
    assert 0 < len(names) < 30 and not [name for name in names if "partial" in name]
    for name in names:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
