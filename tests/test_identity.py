"""What sets finished work aside and what doesn't: on the real package, its profile keys and its code."""

import dataclasses
import json
import shutil

import pytest
from fake_pairs import use_fakes, use_small_vgg

from facedeblur_utils import fingerprints
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import RunPaths, run_paths
from facedeblur_utils.profiles import Profile, load_profile
from facedeblur_utils.running import freshness, pipeline
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.training import experiments, identity, loops

# Profile key -> another value, and the stages that it makes stale by themselves (numbers; 03 and 04 train).
# What changes only through its inputs waits for them and is not named.
A, G, N, KINDS, C, L, W = "03", "04", "07", "09", "10", "11", "12"
EVERY = {"01", "02", A, G, "05", "06", N, "08", KINDS, C, L, W, "13"}
KEYS = {
    "name": ("other", EVERY),  # in captions, and the folder
    "description": ("other words", set()),
    "image_size": (48, {"02", A, G, "05", N, "08", KINDS, C, L, W}),
    "epochs": (3, {A, G, "05", "06", "13"}),
    "checkpoint_epoch": (2, {G, "05", "06"}),
    "mixed_epochs": (8, {G, "05", "06"}),
    "short_mixed_epochs": (8, {G, "05", "06"}),
    "batch_size": (3, {A, G, "05", N, C, L, W}),
    "autoencoder_width": (8, {A, N, L}),
    "gan_width": (4, {G, N}),
    "source": ("/elsewhere", {"02"}),
    "first_number": (1, {"02"}),
    "mapping_file": ("m.txt", {"02"}),
    "identity_file": ("i.txt", {"02"}),
    "align": (True, {"02"}),
    "limit": (24, {"02"}),
    "split": ((0.8, 0.1, 0.1), {"02"}),
    "smallest_face": (0.1, {"02"}),
    "blur_kind": ("trajectory", {"02"}),
    "blur_length": ((0.1, 0.2), {"02", KINDS, C}),
    "blur_gamma": (2.2, {"02", KINDS, C}),
    "noise": (0.01, {"02"}),
    "head_region": ("head", {"02"}),
    "face_region": ("outline", {"02"}),
    "first_seed": (2, {A, G, "05", N, C, L, W}),
    "composite": ("matte", {"02", C}),
    "autoencoder_vgg": ("imagenet", {A, L}),
    "restorer_width": (8, {N, C, L, W}),
    "restorer_epochs": (3, {N}),
    "restorer_crop": (16, {N, C, L, W}),
    "autoencoder_average": (0.5, {A, L}),
    "gan_average": (0.5, {G}),
    "restorer_average": (0.5, {N, C, L, W}),
    "restorer_runs": (("NSFB2",), {N}),
    "kind_runs": (("line",), {C}),
    "kind_epochs": (3, {C}),
    "kind_seeds": (2, {C}),
    "architectures": ({"dense": 1}, {W}),
    "architecture_seeds": (2, {W}),
    "loss_runs": (("N_l1",), {L}),
    "loss_epochs": (3, {L}),
    "loss_seeds": (2, {L}),
    "gan_norm": ("batch", {G, N}),
    "autoencoder_losses": ({"l1": 1.0}, {A, L}),
    "gan_losses": ({"l1": 1.0}, {G}),
    "restorer_losses": ({"mse": 1.0}, {N, C, L, W}),
    "autoencoder_rate": (0.01, {A, L}),
    "gan_rate": (0.01, {G}),
    "restorer_rate": (0.01, {N, C, L, W}),
    "seed": (1, {"02", A, G, "05", N, KINDS, C, L, W}),
    "seeds": (3, {"05", "06"}),  # further runs beside those that are there
    "jobs": (4, set()),
    "threads": (2, set()),
    "precision": ("fp32", {A, G, N, C, L, W}),
    "compile": (True, set()),
    "processes": (2, set()),
    "mirror": ("/drive", set()),
    "tensorboard": (True, set()),
}


def by_name(profile, paths):
    return {stage.name: stage for stage in pipeline.stages(profile, paths, {"PROFILE": "smoke"})}


def stale(before, after, changed, paths):
    """Numbers of the notebooks whose stages differ, what they read left aside."""
    manifest = Manifest(paths)
    profile, found = load_profile("smoke"), set()
    for name, stage in before.items():
        now = after.get(name, stage)
        old, new = (
            freshness.fingerprint(dataclasses.replace(each, inputs=(), extras=()), values, manifest)
            for each, values in ((stage, profile), (now, changed))
        )
        if old != new:
            found.add(name[:2])
    return found


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Profile)])
def test_each_key_makes_stale_what_the_table_says(key, tmp_path):
    value, expected = KEYS[key]
    profile, paths = load_profile("smoke"), RunPaths("smoke", tmp_path)
    changed = dataclasses.replace(profile, **{key: value})
    assert stale(by_name(profile, paths), by_name(changed, paths), changed, paths) == expected


def test_more_seeds_only_add_files(tmp_path):
    profile, paths = load_profile("smoke"), RunPaths("smoke", tmp_path)
    one, three = (by_name(p, paths) for p in (profile, dataclasses.replace(profile, seeds=3)))
    for name, stage in one.items():
        assert set(stage.kept) <= set(three[name].kept)
    trainings = [name for name in one if name[:2] in (A, G, N)]
    assert all(len(three[name].kept) == 3 * len(one[name].kept) for name in trainings)


# ------------------------------------------------------------------------------------- trained networks


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's source, which the fingerprints read; `edit(module, old, new)` changes it."""
    copy = tmp_path / "source" / fingerprints.NAME
    shutil.copytree(fingerprints.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    monkeypatch.setattr(fingerprints, "PACKAGE", copy)

    def edit(module, old, new):
        file = copy / f"{module.replace('.', '/')}.py"
        text = file.read_text(encoding="utf-8")
        assert old in text, (module, old)
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        fingerprints.forget()

    fingerprints.forget()
    yield edit
    fingerprints.forget()


EDITS = {  # module, text, in its place -> which networks are other ones then, and what is said
    "Eq. 5's weight": (
        "training.losses",
        '"content": 100.0',
        '"content": 50.0',
        "G",
        "loss.content was 100.0",
    ),
    "Eq. 5's term": ("training.losses", "4 * F.mse", "2 * F.mse", "G", "the code of generator_terms changed"),
    "Eq. 4's term": (
        "training.losses",
        '"mse": F.mse_loss(output, target),',
        '"mse": F.l1_loss(output, target),',
        "A",
        "the code of autoencoder_terms changed",
    ),
    "the GAN's loop": ("training.loops", "fake.detach()", "fake", "G", "the code of gan_epoch changed"),
    "SSIM, of Eq. 5": ("metrics.psnr_ssim", "SIGMA = 1.5", "SIGMA = 2.5", "G", "the code of SIGMA changed"),
    "the restorer": ("models.nafnet", "self.gamma * y", "self.beta * y", "N", "the code of Block changed"),
    "the order of images": (
        "training.batches",
        "default_rng([seed, epoch])",
        "default_rng([epoch, seed])",
        "AGN",
        "the code of Batches changed",
    ),
    "fresh blur": ("blur.mixture", '"sharp": 0.1', '"sharp": 0.2', "M", "the code of KINDS changed"),
    "a further network": ("models.networks", "NETWORKS = {", "MORE = 1\nNETWORKS = {", "", ""),
    "a comment": ("training.losses", "# Eq. 4", "# equation 4", "", ""),
    "a docstring": ("training.losses", "Binary cross-entropy of both", "The mean of both", "", ""),
    "a type hint": ("training.losses", "real_logits: Tensor, fake", "real_logits, fake", "", ""),
    "progress": ("progress", "LOG_SECONDS = 15.0", "LOG_SECONDS = 5.0", "", ""),
    "checkpoints": ("training.checkpoints", "durable=True", "durable=False", "", ""),
    "validation": ("training.validation", "BATCH = 16", "BATCH = 8", "", ""),
    "the audit": ("evaluation.metric_audit", "STUDY", "OURS", "", ""),
}
RUNS = {"A": "ASFB1", "G": "GSFB2", "N": "NSFB1", "M": "NMIX"}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_concerns_the_networks_that_it_can_change(what, package):
    module, old, new, letters, said = EDITS[what]
    profile = load_profile("smoke")
    runs = {letter: experiments.named_run(profile, name) for letter, name in RUNS.items()}
    before = {letter: identity.identity_of(run, profile, 1, {}) for letter, run in runs.items()}
    package(module, old, new)
    changes = {
        letter: identity.changes(before[letter], identity.identity_of(run, profile, 1, {}))
        for letter, run in runs.items()
    }
    expected = set(letters.replace("N", "NM"))  # NMIX is a restorer too
    assert {letter for letter, found in changes.items() if found} == expected
    assert all(said in "; ".join(changes[letter]) for letter in expected)


def test_another_optimizer_is_another_network(monkeypatch):
    run, profile = experiments.named_run(load_profile("smoke"), "GSFB1"), load_profile("smoke")
    before = identity.identity_of(run, profile, 1, {})
    row = dataclasses.replace(NETWORKS["gan"], settings={"betas": (0.9, 0.999)})
    monkeypatch.setitem(NETWORKS, "gan", row)
    (said,) = identity.changes(before, identity.identity_of(run, profile, 1, {}))
    assert said.startswith('optimizer_wanted was ["Adam", {"betas": [0.5')


def test_moving_a_definition_to_another_module_changes_nothing(package):
    run = experiments.named_run(load_profile("smoke"), "GSFB1")
    before = identity.code_of(run)
    package(
        "training.losses",
        "from facedeblur_utils.metrics.psnr_ssim import ssim",
        "from facedeblur_utils.metrics.moved import ssim",
    )
    source = fingerprints.PACKAGE / "metrics" / "psnr_ssim.py"
    source.rename(source.with_name("moved.py"))
    fingerprints.forget()
    assert identity.code_of(run) == before


SMALL = {"autoencoder_width": 4, "gan_width": 4, "precision": "fp32"}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    use_small_vgg(monkeypatch)
    use_fakes(monkeypatch)
    profile, paths = load_profile("smoke", SMALL), run_paths("smoke", tmp_path / "out")
    run = experiments.named_run(profile, "GSFB1")
    loops.train(run, profile, paths)
    return run, profile, paths


def test_a_changed_loss_is_refused_in_a_notebook_and_set_aside_in_a_whole_run(trained, package, capsys):
    run, profile, paths = trained
    loops.train(run, profile, paths)
    assert "already trained" in capsys.readouterr().out
    package("training.losses", '"content": 100.0', '"content": 50.0')
    with pytest.raises(StudyError, match=r"loss\.content was 100\.0 and is now 50\.0") as caught:
        loops.train(run, profile, paths)
    assert "\n" not in str(caught.value)
    stage = by_name(profile, paths)["04_train_gan_GSFB1"]
    (line,) = freshness.set_aside(stage, profile, Manifest(paths))
    assert line.startswith("GSFB1 is made anew (loss.content was 100.0 and is now 50.0)")
    assert (paths.checkpoints / "GSFB1.previous" / "last.safetensors").exists()
    assert freshness.set_aside(stage, profile, Manifest(paths)) == []


def test_harmless_keys_leave_a_trained_network_in_its_place(trained):
    run, profile, paths = trained
    for key in ("tensorboard", "mirror", "threads", "compile", "processes", "seeds", "jobs", "description"):
        changed = dataclasses.replace(profile, **{key: KEYS[key][0]})
        stage = by_name(changed, paths)["04_train_gan_GSFB1"]
        assert freshness.set_aside(stage, changed, Manifest(paths)) == [], key


def test_networks_trained_before_the_identity_held_the_code_are_adopted(trained, monkeypatch, package):
    run, profile, paths = trained
    folder = paths.training("GSFB1")
    config = json.loads(folder.config.read_text())
    new = ("optimizer_wanted", "loss", "code")
    code = fingerprints.digest({key: config[key] for key in new})
    old = {key: value for key, value in config.items() if key not in new}
    folder.config.write_text(json.dumps(old))
    wanted = {key: config[key] for key in identity.identity_of(run, profile, 1, {})}
    monkeypatch.setattr(identity, "CODE_BEFORE", {"gan": code})
    assert identity.changes_on_disk(folder, wanted) == []
    other = wanted | {"loss": {"content": 1.0}}
    assert identity.changes_on_disk(folder, other) != []


def test_the_study_s_own_earlier_networks_are_adopted():
    """Digests pinned when code joined the identity; they go when the code of a network changes on purpose."""
    profile = load_profile("study", {"autoencoder_average": 0.0, "gan_average": 0.0})  # as they were
    for key, name in {
        "autoencoder": "ASFB1",
        "gan": "GSFB2",
        "restorer": "NSFB2",
        "restorerMIX": "NMIX",
    }.items():
        run = experiments.named_run(profile, name)
        now = identity.identity_of(run, profile, 1, {})
        now = {part: now[part] for part in ("optimizer_wanted", "loss", "code")}
        assert identity.CODE_BEFORE[key] == fingerprints.digest(now)
