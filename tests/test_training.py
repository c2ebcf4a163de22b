"""Training: resumed runs equal uninterrupted ones, wrong checkpoints are refused, failures are one line."""

import errno
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from fake_pairs import FakePairs, use_fakes, use_small_vgg

from facedeblur_utils.errors import StudyError
from facedeblur_utils.models import thesis
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import curves
from facedeblur_utils.training import checkpoints, loops, losses, mixed, setup, trained, trainer, watch
from facedeblur_utils.training.batches import Batches, flip_decisions
from facedeblur_utils.training.experiments import Run, named_run, training_runs

SMALL = {"autoencoder_width": 4, "gan_width": 4, "precision": "fp32"}


@pytest.fixture(autouse=True)
def small_and_offline(monkeypatch):
    use_small_vgg(monkeypatch)
    use_fakes(monkeypatch)


@pytest.fixture
def profile():
    return load_profile("smoke", SMALL)


@pytest.fixture
def paths(tmp_path):
    return run_paths("smoke", tmp_path)


def weights(paths, name, epoch="last"):
    return trained.load_network(paths, name, epoch).state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["ASFB1", "GSFB1"])
@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_the_same_run_twice_gives_the_same_weights(name, number_format, tmp_path):
    profile = load_profile("smoke", SMALL | {"precision": number_format})
    run = training_runs(profile)[name]
    both = []
    for place in ("one", "two"):
        paths = run_paths("smoke", tmp_path / place)
        history = loops.train(run, profile, paths)
        both.append((weights(paths, name), history["loss"].tolist()))
    assert same(both[0][0], both[1][0])
    assert both[0][1] == both[1][1]


@pytest.mark.parametrize("network", ["autoencoder", "gan"])
def test_stopping_after_any_epoch_and_going_on_changes_nothing(network, profile, tmp_path, monkeypatch):
    run = Run("XSFB1", network, (("SFB1", 4),), (4,))
    whole = run_paths("smoke", tmp_path / "whole")
    history = loops.train(run, profile, whole)
    parts = run_paths("smoke", tmp_path / "parts")
    save = trainer.Keeper.save

    def save_and_die(*parts):
        save(*parts)
        raise SystemError("power cut")

    monkeypatch.setattr(trainer.Keeper, "save", save_and_die)
    for _ in range(4):
        with pytest.raises(SystemError):
            loops.train(run, profile, parts)
    resumed = loops.train(run, profile, parts)
    assert same(weights(whole, "XSFB1"), weights(parts, "XSFB1"))
    assert same(weights(whole, "XSFB1", "best"), weights(parts, "XSFB1", "best"))
    assert curves.plotted(history).equals(curves.plotted(resumed))


def test_the_mixed_run_takes_over_the_state_of_the_run_it_starts_from(profile, tmp_path):
    runs = training_runs(profile)
    shared = run_paths("smoke", tmp_path / "shared")
    with pytest.raises(StudyError, match="train GSFB2 first"):
        loops.train(runs["GSFB2_100"], profile, shared)
    loops.train(runs["GSFB2"], profile, shared)
    history = loops.train(runs["GSFB2_100"], profile, shared)
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["dataset"].tolist() == ["SFB2", "SB1SD", "SB2SM", "SFB1"]

    alone = run_paths("smoke", tmp_path / "alone")
    from_scratch = Run("GSFB2_100", "gan", runs["GSFB2_100"].schedule, (4,))
    loops.train(from_scratch, profile, alone)
    assert same(weights(shared, "GSFB2_100", 4), weights(alone, "GSFB2_100", 4))


def test_a_finished_run_returns_at_once(profile, paths, monkeypatch):
    run = training_runs(profile)["GSFB1"]
    first = loops.train(run, profile, paths)
    monkeypatch.setattr(loops, "gan_epoch", None)
    assert loops.train(run, profile, paths).equals(first)


def test_best_weights_are_those_of_the_best_validation_psnr(profile, paths, monkeypatch):
    run = Run("XSFB1", "autoencoder", (("SFB1", 4),), (1, 2, 3, 4))
    scores = iter([20.0, 22.0, 21.0, 21.5])
    monkeypatch.setattr(
        trainer.Validation, "__call__", lambda self, net: {"val_psnr": next(scores), "val_ssim": 0.5}
    )
    loops.train(run, profile, paths)
    assert same(weights(paths, "XSFB1", "best"), weights(paths, "XSFB1", 2))
    assert same(weights(paths, "XSFB1", "last"), weights(paths, "XSFB1", 4))
    assert not same(weights(paths, "XSFB1", 2), weights(paths, "XSFB1", 4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 3}, "batch_size was 4 and is now 3"),
        ({"autoencoder_rate": 0.01}, "learning_rate was 0.001"),
        ({"seed": 5}, "seed was 2024"),
        ({"epochs": 3, "checkpoint_epoch": 2}, "milestones was"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(change, said, profile, paths):
    loops.train(training_runs(profile)["ASFB1"], profile, paths)
    other = load_profile("smoke", SMALL | change)
    with pytest.raises(StudyError, match=said) as caught:
        loops.train(training_runs(other)["ASFB1"], other, paths)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_dataset_is_refused(profile, paths, monkeypatch):
    run = training_runs(profile)["ASFB1"]
    loops.train(run, profile, paths)
    use_fakes(monkeypatch, train=11)
    with pytest.raises(StudyError, match=r"datasets\.SFB1 was"):
        loops.train(run, profile, paths)


@pytest.mark.parametrize("network", ["autoencoder", "gan"])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(network, profile, paths, monkeypatch):
    run = Run("XSFB1", network, (("SFB1", 3),), (3,))
    genuine = losses.F.mse_loss
    calls = iter(range(1000))
    term = "mse" if network == "autoencoder" else "content"

    def broken(*pair):
        # 3 steps an epoch, one call a step in Eq. 5 and two in Eq. 4: breaks in the second epoch.
        late = next(calls) >= (6 if network == "autoencoder" else 3)
        return genuine(*pair) * (float("nan") if late else 1)

    monkeypatch.setattr(losses.F, "mse_loss", broken)
    with pytest.raises(StudyError, match=f"epoch 2: {term} became NaN") as caught:
        loops.train(run, profile, paths)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(losses.F, "mse_loss", genuine)
    assert checkpoints.load_state(paths.training("XSFB1"))["epoch"] == 1
    history = loops.train(run, profile, paths)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert np.isfinite(history["loss"]).all()


def test_a_broken_state_gives_way_to_the_one_before(profile, paths, capsys):
    run = training_runs(profile)["ASFB1"]
    loops.train(run, profile, paths)
    expected = weights(paths, "ASFB1")
    state = paths.training("ASFB1").state
    state.write_bytes(state.read_bytes()[:1000])
    loops.train(run, profile, paths)
    said = capsys.readouterr().out
    assert "is broken; trying the one before it" in said
    assert "goes on after epoch 1 of 2" in said
    assert same(weights(paths, "ASFB1"), expected)


def test_loss_falls_and_history_has_every_term(profile, paths, monkeypatch):
    use_fakes(monkeypatch, train=40)
    run = Run("XSFB1", "autoencoder", (("SFB1", 10),), (10,))
    history = loops.train(run, profile, paths)
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]
    expected = history["mse"] + 0.001 * history["perceptual"]
    assert np.allclose(history["loss"], expected)
    assert (history["grad_norm"] > 0).all()
    gan = loops.train(training_runs(profile)["GSFB1"], profile, paths)
    terms = gan["adversarial"] + 100 * gan["content"] + gan["ssim"]
    assert np.allclose(gan["loss"], terms)
    assert gan[["d_real", "d_fake"]].apply(lambda c: c.between(0, 1).all()).all()


def test_without_imagenet_weights_a_profile_may_leave_the_perceptual_term_out(paths, capsys):
    profile = load_profile("smoke", SMALL | {"autoencoder_vgg": "imagenet"})
    runs = training_runs(profile)
    history = loops.train(runs["ASFB1"], profile, paths)
    assert "perceptual" not in history and history["loss"].tolist() == history["mse"].tolist()
    assert "mse is the whole loss" in capsys.readouterr().out
    facts = trained.run_facts(paths, "ASFB1")
    assert (facts["vgg"], facts["loss_weights"]) == ("left out", {"mse": 1.0})
    loops.train(runs["ASB1SD"], profile, paths)
    assert "as in the other autoencoders here (left out)" in capsys.readouterr().out
    assert trained.run_facts(paths, "ASB1SD")["vgg"] == "left out"
    with pytest.raises(StudyError, match='vgg_wanted was "imagenet" and is now'):
        loops.train(runs["ASFB1"], load_profile("smoke", SMALL), paths)


def test_several_seeds_are_several_runs(paths):
    profile = load_profile("smoke", SMALL | {"seeds": 2})
    history = loops.train(training_runs(profile)["ASFB1"], profile, paths)
    assert history["seed"].tolist() == [1, 1, 2, 2]
    second = trained.load_network(paths, "ASFB1", seed=2).state_dict()
    assert not same(weights(paths, "ASFB1"), second)
    one_more = load_profile("smoke", SMALL | {"seed": 2025})
    again = run_paths("smoke", paths.base / "again")
    loops.train(training_runs(one_more)["ASFB1"], one_more, again)
    assert same(weights(again, "ASFB1"), second)


def test_facts_come_from_the_networks_that_trained(profile, paths):
    loops.train(training_runs(profile)["GSFB1"], profile, paths)
    facts = trained.run_facts(paths, "GSFB1")
    net = trained.load_network(paths, "GSFB1")
    assert facts["parameters"]["generator"] == sum(p.numel() for p in net.parameters())
    assert facts["optimizer"] == "Adam (betas = (0.5, 0.999))"
    assert (facts["learning_rate"], facts["batch_size"], facts["precision"]) == (0.0002, 4, "fp32")
    with pytest.raises(StudyError, match="has not been trained: .*; train it first"):
        trained.run_facts(paths, "GSFB2")
    with pytest.raises(StudyError, match="no weights at .*epoch_0007"):
        trained.load_network(paths, "GSFB1", 7)


def test_every_image_is_seen_and_both_images_of_a_pair_are_flipped_alike():
    pairs = FakePairs("SFB1", "train", 12, 32)
    batches = Batches(pairs, 4, torch.device("cpu"))
    seen = []
    for batch in batches.epoch(seed=1, epoch=1):
        for i, (index, flip) in enumerate(zip(batch.indices.tolist(), batch.flips.tolist(), strict=True)):
            seen.append(index)
            for mine, theirs in ((batch.blurred, pairs.blurred), (batch.sharp, pairs.sharp)):
                image = theirs[index][:, ::-1] if flip else theirs[index]
                assert np.array_equal(mine[i].permute(1, 2, 0).mul(255).round().byte().numpy(), image)
    assert sorted(seen) == list(range(12))


def test_order_and_flips_depend_on_seed_epoch_and_image_alone():
    ids = [f"{i:06d}" for i in range(1000)]
    flips = flip_decisions(ids, seed=1, epoch=1)
    assert 420 < flips.sum() < 580
    assert np.array_equal(flip_decisions(ids[::-1], 1, 1)[::-1], flips)
    for other in (flip_decisions(ids, 1, 2), flip_decisions(ids, 2, 1)):
        assert 420 < (flips != other).sum() < 580
    batches = Batches(FakePairs("SFB1", "train", 12, 32), 4, torch.device("cpu"))
    keys = ((1, 1), (1, 1), (1, 2), (2, 1))
    orders = [[i for batch in batches.epoch(*key) for i in batch.indices.tolist()] for key in keys]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] and orders[0] != orders[3]


def test_streamed_batches_equal_resident_ones():
    pairs = FakePairs("SFB1", "train", 13, 32)
    resident, streamed = (
        list(Batches(pairs, 4, torch.device("cpu"), resident=kind).epoch(1, 1)) for kind in (True, False)
    )
    assert len(resident) == len(streamed) == 3
    for one, other in zip(resident, streamed, strict=True):
        assert torch.equal(one.blurred, other.blurred) and torch.equal(one.sharp, other.sharp)


def test_kept_target_features_equal_fresh_ones(profile, paths):
    run = Run("XSFB1", "autoencoder", (("SFB1", 3),), (3,))
    job, _ = trainer.open_trainer(trainer.find_start(run, profile, paths), paths)
    for batch in job.batches("SFB1", 1):
        kept = job.target_features("SFB1", batch)
        assert torch.allclose(kept, job.perceptual(batch.sharp), atol=1e-4)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_data_set_without_images_is_one_line(part, profile, paths, monkeypatch):
    use_fakes(monkeypatch, **{part: 0})
    with pytest.raises(StudyError, match=f"SFB1 has no {part} images"):
        loops.train(training_runs(profile)["GSFB1"], profile, paths)


def test_state_files_hold_no_code(profile, paths):
    """They load with `weights_only`, and the configuration is plain JSON."""
    loops.train(training_runs(profile)["GSFB1"], profile, paths)
    folder = paths.training("GSFB1")
    state = torch.load(folder.state, weights_only=True)
    assert json.loads(state["identity"])["run"] == "GSFB1"


def test_a_run_that_a_ctrl_c_stops_is_one_line_and_goes_on(profile, paths, monkeypatch):
    run = Run("XSFB1", "gan", (("SFB1", 3),), (3,))
    genuine, calls = losses.discriminator_loss, iter(range(1000))

    def stopped(*logits):
        if next(calls) == 4:  # in the second of three epochs of three steps
            raise KeyboardInterrupt
        return genuine(*logits)

    monkeypatch.setattr(losses, "discriminator_loss", stopped)
    with pytest.raises(watch.Interrupted, match="interrupted in epoch 2 of 3; .* after epoch 1") as caught:
        loops.train(run, profile, paths)
    assert caught.value.exit_code == 130
    assert loops.train(run, profile, paths)["epoch"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("most", "said"), [(2, "a batch of 2 fits"), (0, "not even one image fits")])
def test_out_of_memory_says_which_batch_fits(most, said, profile, paths, monkeypatch):
    genuine = thesis.Generator.forward

    def hungry(net, image):
        if len(image) > most and net.training:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return genuine(net, image)

    monkeypatch.setattr(thesis.Generator, "forward", hungry)
    with pytest.raises(StudyError, match=f"out of memory with batches of 4 images; {said}"):
        loops.train(training_runs(profile)["GSFB1"], profile, paths)


def test_other_errors_are_not_taken_for_a_lack_of_memory(profile, paths, monkeypatch):
    monkeypatch.setattr(losses, "discriminator_loss", lambda *logits: torch.ones(2) + torch.ones(3))
    with pytest.raises(RuntimeError, match="size of tensor"):
        loops.train(training_runs(profile)["GSFB1"], profile, paths)


@pytest.mark.parametrize("wanted", [True, False])
def test_networks_are_compiled_where_the_profile_asks(wanted, paths, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net: compiled.append(type(net).__name__))
    profile = load_profile("smoke", SMALL | {"compile": wanted})
    loops.train(training_runs(profile)["GSFB1"], profile, paths)
    assert compiled == ["Generator", "Discriminator"] * wanted


def test_a_compiler_that_fails_is_one_line(paths, monkeypatch):
    """As torch.compile does where there is no C++ compiler."""

    def fail(*args):
        raise torch._dynamo.exc.BackendCompilerFailed(
            fail, RuntimeError("no working C++ compiler\nfound"), ()
        )

    profile = load_profile("smoke", SMALL)
    monkeypatch.setattr(losses, "discriminator_loss", fail)
    with pytest.raises(StudyError, match="torch.compile failed .*; set compile to false") as error:
        loops.train(training_runs(profile)["GSFB1"], profile, paths)
    assert "\n" not in str(error.value)


def test_a_discriminator_that_wins_is_flagged():
    sure, unsure = {"d_real": 0.97, "d_fake": 0.02}, {"d_real": 0.97, "d_fake": 0.4}
    assert watch.discriminator_wins([unsure, sure, sure, sure])
    assert not watch.discriminator_wins([sure, sure, unsure])
    assert not watch.discriminator_wins([sure, sure])
    assert not watch.discriminator_wins([{"loss": 0.1}] * 5)


def test_disk_need_is_what_a_run_takes(profile, paths, monkeypatch):
    run = training_runs(profile)["GSFB2"]
    loops.train(run, profile, paths)
    folder = paths.training("GSFB2").path
    taken = sum(file.stat().st_size for file in folder.rglob("*"))
    largest = max(file.stat().st_size for file in folder.glob("state*.pt"))
    assert taken <= setup.disk_needed(run, profile) + 200_000  # file headers
    assert setup.disk_needed(run, profile) < taken + 1.2 * largest

    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StudyError, match="need .* MB and .* free"):
        loops.train(training_runs(profile)["GSFB1"], profile, paths)


def test_a_disk_that_fills_up_keeps_the_last_good_checkpoint(profile, paths, monkeypatch):
    run = Run("XSFB1", "gan", (("SFB1", 3),), (3,))
    genuine, calls = torch.save, iter(range(1000))

    def full(state, file):
        if next(calls) == 1:
            file.write(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        genuine(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StudyError, match="the disk is full, .* MB free; the last good one is kept"):
        loops.train(run, profile, paths)
    folder = paths.training("XSFB1")
    assert not list(folder.path.glob("*.partial"))
    assert checkpoints.load_state(folder)["epoch"] == 1
    loops.train(run, profile, paths)
    other = run_paths("smoke", paths.base / "other")
    loops.train(run, profile, other)
    assert same(weights(paths, "XSFB1"), weights(other, "XSFB1"))


@pytest.mark.parametrize("name", ["ASFB1", "GSFB2_100", "NSFB1", "NMIX"])
def test_the_first_batch_s_terms_add_up_and_leave_nothing(name, profile, paths, monkeypatch):
    monkeypatch.setattr(mixed, "training_pairs", lambda _, dataset, __: FakePairs(dataset, "train", 12, 32))
    monkeypatch.setattr(mixed, "batches_of", lambda pairs, size, device: Batches(pairs, size, device))
    steps, step = [], watch.EpochLog.step
    monkeypatch.setattr(watch.EpochLog, "step", lambda log, seen: (steps.append(seen), step(log, seen)))
    before, random = sorted(paths.base.rglob("*")), torch.get_rng_state()
    terms = loops.first_batch_terms(named_run(profile, name), profile, paths)
    assert sorted(paths.base.rglob("*")) == before
    assert torch.equal(torch.get_rng_state(), random)
    assert len(steps) == 1
    *names, last = terms.index
    weights = losses.WEIGHTS[{"A": "autoencoder", "G": "gan", "N": "restorer"}[name[0]]]
    assert last == "loss" and terms.loc[names, "weight"].to_dict() == weights
    assert (terms.loc[names, "value"] > 0).all()
    total = terms.loc[names, "weighted"].sum()
    assert terms.loc["loss", "weighted"] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("network", ["autoencoder", "gan"])
def test_the_first_batch_s_terms_are_those_of_training(network, profile, paths, monkeypatch):
    use_fakes(monkeypatch, train=profile.batch_size)  # one batch is the whole epoch
    run = Run("XSFB1", network, (("SFB1", 1),), (1,))
    terms = loops.first_batch_terms(run, profile, paths)
    row = loops.train(run, profile, paths).iloc[0]
    assert terms["value"].drop("loss").to_dict() == {name: row[name] for name in losses.WEIGHTS[network]}
    assert terms.loc["loss", "weighted"] == row["loss"]
    assert loops.first_batch_terms(run, profile, paths).equals(terms)  # whatever has been trained


def test_the_summary_tells_last_from_best_epoch():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "val_psnr": [20.0, 22.0, 21.0],
            "val_ssim": [0.5, 0.7, 0.6],
            "images_per_s": [1.0, 9.0, 3.0],
            "seconds": [60.0, 60.0, 60.0],
            "overhead_seconds": [0.0, 30.0, 30.0],
        }
    )
    runs, facts = {"ASFB1": history, "ASFB2": history}, {"validation_input": {"psnr": 19.0}}
    table = curves.summary(runs, dict.fromkeys(runs, facts))
    assert table["run"].tolist() == ["ASFB1", "ASFB2"]
    assert table.iloc[0, 1:].tolist() == [3, 19.0, 21.0, 22.0, 2, 0.6, 3.0, 4.0]
    both = curves.together(runs)
    assert both["run"].tolist() == ["ASFB1"] * 3 + ["ASFB2"] * 3 and both.index.tolist() == list(range(6))
    assert "seconds" not in both and both["val_psnr"].tolist() == 2 * [20.0, 22.0, 21.0]
