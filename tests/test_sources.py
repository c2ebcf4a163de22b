"""Sources: folders, zips, every form of CelebA-HQ, identities, the check command, bad sources."""

import io
import os
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facedeblur_utils import paths
from facedeblur_utils.data import celeba_hq, source_files, sources
from facedeblur_utils.data.source_files import Source, named_items
from facedeblur_utils.errors import StudyError
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.tools import source_check

SHARED = [folder / "shared/data" / celeba_hq.MAPPING_NAME for folder in (paths.ROOT, paths.ROOT.parent)]


def profile(source, **overrides):
    return load_profile("smoke", {"source": str(source), "limit": 0, **overrides})


def jpeg(value, size=16):
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def mapping_text():
    """A mapping with CelebA's official counts, as the real one: numbers from 0 in any order."""
    generator = np.random.default_rng(0)
    ranges = ((0, 162_770, 24_183), (162_770, 182_637, 2_993), (182_637, 202_599, 2_824))
    numbers = np.concatenate([generator.choice(np.arange(a, b), n, replace=False) for a, b, n in ranges])
    generator.shuffle(numbers)
    lines = [f"{i:<11d}{n:<11d}{n + 1:06d}.jpg" for i, n in enumerate(numbers)]
    return "\n".join(["idx        orig_idx   orig_file", *lines])


@pytest.fixture(scope="session")
def mapping(mapping_text):
    return celeba_hq.read_mapping(mapping_text, "test")


def laid_out(folder: Path, names, content=None):
    """Files under `names`, all hard links to one picture: a test can afford 30 000 of them."""
    folder.mkdir(parents=True)
    first = folder / "first.bin"
    first.write_bytes(content or jpeg(120))
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)
    first.unlink()
    return folder


def test_folder_ids_are_paths_and_order_is_by_id(tmp_path):
    folder = laid_out(tmp_path / "photos", ["b.jpg", "a/x.JPG", "a/x.png", ".hidden/y.jpg", "notes.txt"])
    source = sources.open_source(profile(folder))
    assert [item.image_id for item in source.items] == ["a/x.JPG", "a/x.png", "b"]
    assert source.read(source.items[0]) == jpeg(120)
    assert len(sources.open_source(profile(folder, limit=2)).items) == 2


def test_zip_reads_the_same_as_its_folder(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("faces/2.jpg", jpeg(20))
        archive.writestr("faces/1.jpg", jpeg(10))
        archive.writestr("../../outside.jpg", jpeg(66))
        archive.writestr("/absolute.jpg", jpeg(66))
        archive.writestr("__MACOSX/faces/1.jpg", b"resource fork")
    source = sources.open_source(profile(path))
    assert [item.image_id for item in source.items] == ["faces_1", "faces_2"]
    assert source.read(source.items[1]) == jpeg(20)
    assert source.notes == ["2 members with unsafe paths left out, such as '../../outside.jpg'"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos.zip"]


def test_zip_with_a_damaged_member(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", jpeg(10, 64))
    data = bytearray(path.read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(data)
    source = sources.open_source(profile(path))
    assert sources.picture(source, source.items[0]) is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "doesn't exist"),
        (lambda p: p.mkdir(), "no images in folder"),
        (lambda p: p.write_text("words"), "not a zip"),
        (lambda p: zipfile.ZipFile(p, "w").close(), "no images in zip"),
    ],
)
def test_bad_sources_are_one_line(tmp_path, make, said, capsys):
    path = tmp_path / "source"
    make(path)
    with pytest.raises(StudyError, match=said):
        sources.open_source(profile(path))
    assert source_check.main([str(path)]) == 1
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1


def test_official_parts(mapping):
    assert mapping["part"].value_counts().to_dict() == {"train": 24_183, "val": 2_993, "test": 2_824}


@pytest.mark.skipif(not any(path.is_file() for path in SHARED), reason="the mapping file isn't here")
def test_official_parts_of_the_real_mapping():
    path = next(path for path in SHARED if path.is_file())
    table = celeba_hq.read_mapping(path.read_text(), path.name)
    assert table["part"].value_counts().to_dict() == {"train": 24_183, "val": 2_993, "test": 2_824}
    assert table.loc[0, "celeba_file"] == "119614.jpg" and table.loc[0, "part"] == "train"


def test_broken_mappings(mapping_text):
    lines = mapping_text.split("\n")
    for text, said in [
        ("\n".join(lines[:-1]), "once each, has 29999"),
        ("words that are\nno mapping", "number number file"),
        ("\n".join([*lines[:-1], lines[1]]), "once each"),
        (lines[0] + "\n" + "\n".join(f"{n} {n} {n + 1:06d}.jpg" for n in range(30_000)), "official"),
    ]:
        with pytest.raises(StudyError, match=said):
            celeba_hq.read_mapping(text, "test")


def mask_hq(mapping):
    return [f"CelebAMask-HQ/CelebA-HQ-img/{n}.jpg" for n in range(30_000)] + [
        f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{n:05d}_hair.png" for n in range(50)
    ]


LAYOUTS = {
    "CelebAMask-HQ folder": (mask_hq, 0),
    "256 px, five digits from 0": (lambda mapping: [f"{n:05d}.jpg" for n in range(30_000)], 0),
    "256 px from 1": (lambda mapping: [f"celeba_hq_256/{n + 1}.jpg" for n in range(30_000)], 1),
    "train and val folders": (
        lambda mapping: [f"{'train' if n % 15 else 'val'}/{n:06d}.jpg" for n in range(30_000)],
        0,
    ),
    "train part alone": (
        lambda mapping: [f"{n}.png" for n in mapping.loc[mapping["part"] == "train", "number"]],
        0,
    ),
}


def named(names):
    """A source with these file names and nothing behind them."""
    return Source("made up", named_items(dict.fromkeys(names, 1)), lambda item: b"")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_form_gives_the_same_24183_ids(layout, mapping):
    names, first = LAYOUTS[layout]
    source = celeba_hq.train_part(named(names(mapping)), mapping, first)
    train = mapping.loc[mapping["part"] == "train"]
    assert [item.image_id for item in source.items] == [f"{n:05d}" for n in train["number"]]
    number = int(source.items[5].image_id)
    assert int(Path(source.items[5].name).stem) == number + first
    assert source.originals[source.items[5].image_id] == Path(mapping["celeba_file"][number]).stem
    assert ("folders train, val" in " ".join(source.notes)) == (layout == "train and val folders")


def test_folder_of_celebamask_hq_on_disk(mapping, mapping_text, tmp_path):
    folder = laid_out(tmp_path / "hq", mask_hq(mapping))
    (folder / "CelebAMask-HQ" / celeba_hq.MAPPING_NAME).write_text(mapping_text)
    source = sources.open_source(profile(f"celeba-hq:{folder / 'CelebAMask-HQ'}"))
    assert len(source.items) == 24_183 and source.read(source.items[0]) == jpeg(120)


def test_zip_of_celebamask_hq_with_its_mapping_inside(mapping, mapping_text, tmp_path):
    path = tmp_path / "CelebAMask-HQ.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in mapping.loc[mapping["part"] == "train", "number"]:
            archive.writestr(zipfile.ZipInfo(f"CelebAMask-HQ/CelebA-HQ-img/{number}.jpg"), b"x")
        archive.writestr(f"CelebAMask-HQ/{celeba_hq.MAPPING_NAME}", mapping_text)
    assert len(sources.open_source(profile(f"celeba-hq:{path}")).items) == 24_183


def test_wrong_numbering_and_missing_images_stop(mapping):
    from_one = [f"{n + 1}.jpg" for n in range(30_000)]
    with pytest.raises(StudyError, match="numbered 1 to 30000, .* set first_number to 1"):
        celeba_hq.train_part(named(from_one), mapping, 0)
    from_zero = [f"{n}.jpg" for n in range(30_000)]
    with pytest.raises(StudyError, match="numbered 0 to 29999, .* set first_number to 0"):
        celeba_hq.train_part(named(from_zero), mapping, 1)
    gone = mapping.loc[mapping["part"] == "train", "number"].iloc[3]
    from_zero.remove(f"{gone}.jpg")
    with pytest.raises(StudyError, match=f"1 are missing here .first: number {gone}"):
        celeba_hq.train_part(named(from_zero), mapping, 0)


def test_missing_mapping(tmp_path):
    folder = laid_out(tmp_path / "hq", ["0.jpg", "1.jpg"])
    with pytest.raises(StudyError, match="no CelebA-HQ-to-CelebA-mapping.txt in or beside"):
        sources.open_source(profile(f"celeba-hq:{folder}"))
    with pytest.raises(StudyError, match="mapping file .* can't be read"):
        sources.open_source(profile(f"celeba-hq:{folder}", mapping_file=str(tmp_path / "nowhere.txt")))
    with pytest.raises(StudyError, match="doesn't say where"):
        sources.open_source(profile("celeba-hq"))


def test_names_without_numbers_and_twins():
    with pytest.raises(StudyError, match="'portrait.jpg' has none"):
        celeba_hq.numbers_of(["portrait.jpg"], 0)
    with pytest.raises(StudyError, match="two files have number 7"):
        celeba_hq.numbers_of(["7.jpg", "007.png"], 0)
    with pytest.raises(StudyError, match="from 0 or from 1"):
        celeba_hq.numbers_of(["7.jpg"], 2)


def test_identities(tmp_path):
    folder = laid_out(tmp_path / "faces", [f"{n:06d}.jpg" for n in range(1, 21)])
    file = tmp_path / "identity_CelebA.txt"
    file.write_text("\n".join(f"{n:06d}.jpg {n // 4}" for n in range(1, 21)))
    asked = profile(folder, identity_file=str(file))
    assert sources.identities(asked, sources.open_source(asked))["000009"] == "2"
    file.write_text("000001.jpg 3 4")
    with pytest.raises(StudyError, match="line 1: expected 'file person'"):
        sources.identities(asked, sources.open_source(asked))
    file.write_text("999999.jpg 3")
    with pytest.raises(StudyError, match="names none of the images"):
        sources.identities(asked, sources.open_source(asked))


def test_check_command_says_what_a_build_would_find(tmp_path, capsys):
    folder = laid_out(tmp_path / "faces", [f"{n}.jpg" for n in range(8)], jpeg(50, 40))
    for number in range(8):
        path = folder / f"{number}.jpg"
        path.unlink()
        path.write_bytes(jpeg(20 * number, 40))
    (folder / "words.jpg").write_text("words")
    (folder / "tiny.png").write_bytes(jpeg(9, 4))
    (folder / "copy.jpg").write_bytes(jpeg(20, 40))
    assert source_check.main([str(folder), "--profile", "smoke", "--set", "limit=0"]) == 0
    printed = capsys.readouterr().out
    for line in (
        "images: 11",
        "sizes: 40×40 (9)",
        "can't be used: 2",
        "  words.jpg: not an image",
        "  tiny.png: 4 pixels wide is too small for faces of 32 pixels",
        "copies of another file: 1",
        "nearly the same as another, kept in one part: 0",
        "split: train 6, val 1, test 1 (if a face is found in each)",
        "identities: unknown",
    ):
        assert line in printed


def test_check_and_build_decide_alike_about_twelve_copies(tmp_path, capsys):
    folder = laid_out(tmp_path / "faces", [f"{n}.jpg" for n in range(12)], jpeg(50, 40))
    assert source_check.main([str(folder), "--profile", "smoke", "--set", "limit=0"]) == 1
    printed = capsys.readouterr().out
    assert "after leaving out 11 of 12 images 1 remain" in printed and "train" not in printed


def test_links_loops_and_odd_entries_are_named_and_each_file_comes_once(tmp_path):
    folder = laid_out(tmp_path / "photos", ["a.jpg", "inner/b.jpg"])
    other = laid_out(tmp_path / "other", ["c.jpg"])
    (folder / "inner" / "up").symlink_to(folder)
    (folder / "round").symlink_to("round")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "again.jpg").symlink_to("a.jpg")
    (folder / "more").symlink_to(other)
    (folder / "more2").symlink_to(other)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    with open(os.fsencode(folder) + b"/\xff.jpg", "wb") as file:
        file.write(jpeg(5))
    (folder / "two\nlines.jpg").write_bytes(jpeg(5))
    source = sources.open_source(profile(folder))
    assert [item.name for item in source.items] == ["a.jpg", "inner/b.jpg", "more/c.jpg"]
    odd = dict(source_files.look_into(folder, {".jpg"})[1])
    assert odd == {
        "again.jpg": "a link to what is there already",
        "gone.jpg": "a link that leads nowhere",
        "inner/up": "a link to what is there already",
        "more2": "a link to what is there already",
        "pipe.jpg": "not a file",
        "round": "a link that leads nowhere",
        "two?lines.jpg": "a name that can't be written",
        "\\udcff.jpg": "a name that can't be written",
    }
    (note,) = source.notes
    assert "gone.jpg (a link that leads nowhere)" in note and "and 3 more" in note


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_celebamask_hq_is_recognised(tmp_path, packed):
    names = ["CelebA-HQ-img/0.jpg", "CelebAMask-HQ-mask-anno/0/00000_hair.png"]
    path = laid_out(tmp_path / "hq", names)
    if packed:
        path = tmp_path / "hq.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, jpeg(5))
    with pytest.raises(StudyError, match="mask pictures would count as faces; name it as source: celeba-hq:"):
        sources.open_source(profile(path))


def test_hub_source_with_a_stand_in_for_the_library(monkeypatch):
    class Image:
        def __init__(self, decode=True):
            self.decode = decode

    class Table(list):
        features = {"label": int, "image": Image()}
        _fingerprint = "abc"

        def cast_column(self, name, kind):
            assert name == "image" and not kind.decode
            return self

    def load_dataset(name, split):
        if name != "me/faces":
            raise FileNotFoundError(f"{name} isn't\non the hub")
        return Table({"image": {"bytes": jpeg(n), "path": None}} for n in range(5))

    library = types.SimpleNamespace(Image=Image, load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", library)
    source = sources.open_source(profile("hub:me/faces"))
    assert [item.image_id for item in source.items] == [f"{n:06d}" for n in range(5)]
    assert source.read(source.items[3]) == jpeg(3)
    with pytest.raises(StudyError, match="can't be opened: you/faces isn't on the hub"):
        sources.open_source(profile("hub:you/faces"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(StudyError, match="pip install"):
        sources.open_source(profile("hub:me/faces"))
