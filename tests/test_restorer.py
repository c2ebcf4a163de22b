"""The modern restorer: its blocks, its loop in the engine, and the mixed data that it trains on."""

import numpy as np
import pytest
import torch
from fake_pairs import FakePairs
from safetensors.torch import load_file

from facedeblur_utils.data import face_pairs
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.models.cost import count_parameters
from facedeblur_utils.models.nafnet import Block, ChannelNorm, Restorer, SimpleGate
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training import (
    checkpoints,
    experiments,
    identity,
    loops,
    mixed,
    precision,
    setup,
    trained,
    trainer,
)

TINY = {"restorer_width": 4, "restorer_epochs": 2, "precision": "fp32"}


class MaskedPairs(FakePairs):
    """Fake pairs whose mask is the left half (head) or the upper half (face)."""

    def mask_batch(self, region, indices):
        masks = np.zeros((len(indices), self.size, self.size), bool)
        half = slice(self.size // 2)
        masks[(slice(None), slice(None), half) if region == "head" else (slice(None), half)] = True
        return masks


class Died(BaseException):
    """Stands for a process that ends in the middle of an epoch."""


@pytest.fixture
def study(monkeypatch, tmp_path):
    """A tiny profile, its paths, and fake data."""
    counts = {"train": 12, "val": 4}
    monkeypatch.setattr(
        face_pairs, "open_pairs", lambda paths, name, split: MaskedPairs("SFB1", split, counts[split], 32)
    )
    return load_profile("smoke", TINY), run_paths("smoke", tmp_path)


def awake(net):
    """Give the weights that start at zero other values, so that every layer takes part."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return net


def test_untrained_restorer_returns_its_input():
    image = torch.rand(1, 3, 24, 40)
    torch.testing.assert_close(Restorer(width=4)(image), image)
    assert not torch.allclose(awake(Restorer(width=4))(image), image)


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (33, 64), (64, 64)])
def test_any_size(size):
    assert awake(Restorer(width=4))(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_padding_does_not_change_the_inside():
    net = awake(Restorer(width=4, encoder=(1,), middle=0, decoder=(1,)))
    for block in net.modules():
        if isinstance(block, Block):  # attention sees the whole image, padding too
            torch.nn.init.zeros_(block.attention[1].weight)
    image = torch.rand(1, 3, 40, 41)
    edge = torch.nn.functional.pad(image, (0, 1, 0, 0), mode="replicate")
    torch.testing.assert_close(net(image), net(edge)[..., :41], rtol=1e-4, atol=1e-5)


def test_parameter_count_of_a_block_and_of_the_published_size():
    c = 16
    by_hand = 2 * 2 * c + (c * 2 * c + 2 * c) * 2 + (9 * 2 * c + 2 * c) + 3 * (c * c + c) + 2 * c
    assert count_parameters(Block(c)) == by_hand
    assert 2 * count_parameters(Restorer()) < 8e6  # bytes in fp16


def test_channel_norm_and_gate_against_their_formulas():
    x = torch.randn(2, 6, 5, 4)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(ChannelNorm(6)(x), expected)
    torch.testing.assert_close(SimpleGate()(x), x[:, :3] * x[:, 3:])


def test_every_weight_gets_a_gradient():
    net = awake(Restorer(width=4))
    net(torch.rand(1, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_one_cycle_is_torch_s_schedule():
    steps, optimizer = 4000, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.002, steps, pct_start=0.1, div_factor=25, final_div_factor=1e12
    )
    for step in range(steps):  # torch's phases end a step earlier
        expected = optimizer.param_groups[0]["lr"]
        assert loops.one_cycle(0.002, step / steps) == pytest.approx(expected, abs=2e-5)
        optimizer.step()
        schedule.step()


def test_one_cycle_rises_then_falls_to_zero():
    rates = [loops.one_cycle(0.001, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.001 / 25) and max(rates) == rates[10] == pytest.approx(0.001)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_runs_of_the_profile():
    profile = load_profile("sample")
    runs = experiments.restorer_runs(profile)
    assert list(runs) == ["NSFB1", "NSB1SD", "NSFB2", "NSB2SM", "NMIX", "NCAM"]
    assert set(profile.restorer_runs) <= set(runs)
    assert experiments.named_run(profile, "NMIX").schedule == (("MIX", profile.restorer_epochs),)
    with pytest.raises(UsageError, match="NMIX"):
        experiments.named_run(profile, "NSFB3")


@pytest.mark.parametrize("kind", [mixed.MixedPairs, mixed.CameraPairs])
def test_mixed_pairs_are_drawn_by_seed_epoch_and_image(kind, study):
    profile, paths = study
    pairs = kind(paths, profile)
    rows = np.arange(12)
    blurred, sharp = pairs.draw(rows, seed=1, epoch=1)
    again, _ = pairs.draw(rows[::-1], seed=1, epoch=1)
    other, same_sharp = pairs.draw(rows, seed=1, epoch=2)
    assert np.array_equal(blurred, again[::-1]) and not np.array_equal(blurred, other)
    assert np.array_equal(sharp, same_sharp) and not np.array_equal(blurred, sharp)


def test_mixed_kinds_touch_what_they_should_as_often_as_they_should(study):
    profile, paths = study
    pairs = mixed.MixedPairs(paths, profile)
    found = {kind: 0 for kind in mixed.KINDS}
    for epoch in range(60):
        blurred, sharp = pairs.draw(np.arange(12), seed=3, epoch=epoch)
        for changed in (blurred != sharp).any(axis=-1):
            left, right = changed[:, :16].any(), changed[:, 16:].any()
            upper, lower = changed[:16].any(), changed[16:].any()
            if not changed.any():
                found["sharp"] += 1
            elif left and not right:
                found["head"] += 1
            elif upper and not lower:
                found["face"] += 1
            else:
                found["whole"] += 1
    for kind, share in mixed.KINDS.items():
        assert abs(found[kind] / 720 - share) < 0.06, found


@pytest.mark.parametrize("name", ["NSFB1", "NMIX", "NCAM"])
def test_trains_and_opens_again(study, name):
    profile, paths = study
    history = loops.train(experiments.named_run(profile, name), profile, paths)
    assert history["epoch"].tolist() == [1, 2] and history["loss"].notna().all()
    net = trained.load_network(paths, name)
    assert isinstance(net, Restorer)
    facts = trained.run_facts(paths, name)
    assert facts["optimizer"] == "AdamW (betas = (0.9, 0.9))" and facts["width"] == 4


def test_interrupted_run_ends_like_one_that_was_not(study, tmp_path, monkeypatch):
    profile, paths = study
    run = experiments.named_run(profile, "NMIX")
    loops.train(run, profile, paths)
    whole = paths.training("NMIX").weights("last").read_bytes()

    other = run_paths("smoke", tmp_path / "other")
    real = loops.restorer_epoch

    def dies(job, dataset, epoch, log):
        if epoch == 2:
            raise Died
        return real(job, dataset, epoch, log)

    monkeypatch.setattr(loops, "restorer_epoch", dies)
    with pytest.raises(Died):
        loops.train(run, profile, other)
    monkeypatch.setattr(loops, "restorer_epoch", real)
    loops.train(run, profile, other)
    assert other.training("NMIX").weights("last").read_bytes() == whole


def test_loss_falls(study):
    profile, paths = study
    longer = load_profile(
        "smoke", TINY | {"restorer_epochs": 12, "restorer_width": 8, "restorer_rate": 0.005}
    )
    history = loops.train(experiments.named_run(longer, "NSFB1"), longer, paths)
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]


AVERAGED = TINY | {"restorer_epochs": 2, "restorer_average": 0.7, "restorer_rate": 0.01}


def weights_in(folder):
    return load_file(folder.weights("last"))


def trained_weights(folder):
    """Those that the optimiser moved, which only the state has."""
    return checkpoints.load_state(folder)["nets"]["restorer"]


def test_the_average_of_weights_is_an_exponential_mean(study):
    """As by hand on a toy network whose weights an optimiser of torch's moves."""
    net = torch.nn.Linear(3, 1)
    optimizers = {"restorer": torch.optim.SGD(net.parameters(), lr=0.3)}
    profile = load_profile("smoke", AVERAGED | {"restorer_average": 0.3})
    run = experiments.named_run(profile, "NCAM")
    average = setup.average_of(run, profile, {"restorer": net}, optimizers, torch.device("cpu"))
    seen = []
    for step in range(4):
        optimizers["restorer"].zero_grad()
        net(torch.full((2, 3), 1.0 + step)).square().mean().backward()
        optimizers["restorer"].step()
        seen.append(net.weight.detach().clone())
    # The first mean is that of the first step; then a share stays, which grows to 0.3 and no further.
    expected = seen[0]
    for stays, weight in zip((2 / 11, 3 / 12, 0.3), seen[1:], strict=True):
        expected = stays * expected + (1 - stays) * weight
    torch.testing.assert_close(average.module.weight, expected)
    assert (average.module.weight - net.weight).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "key"),
    [("NCAM", "restorer_average"), ("GSFB1", "gan_average"), ("ASFB2", "autoencoder_average")],
)
def test_each_network_has_an_average_where_its_own_key_asks(study, name, key):
    keys = ("restorer_average", "gan_average", "autoencoder_average")
    for asked in keys:
        profile = load_profile("smoke", TINY | {asked: 0.9})
        net = torch.nn.Linear(3, 1)
        optimizers = {"net": torch.optim.SGD(net.parameters(), lr=0.3)}
        run = experiments.named_run(profile, name)
        average = setup.average_of(run, profile, {"net": net}, optimizers, torch.device("cpu"))
        assert (average is not None) == (asked == key), asked


def test_a_gan_that_goes_on_from_another_takes_its_average_along(study):
    """The parent's run has one too, or the identity refuses it."""
    profile, paths = load_profile("smoke", TINY | {"gan_average": 0.9}), study[1]
    runs = experiments.training_runs(profile)
    loops.train(runs["GSFB2"], profile, paths)
    child = trainer.find_start(runs["GSFB2_100"], profile, paths)
    opened, _ = trainer.open_trainer(child, paths)
    parent = checkpoints.read_state(paths.training("GSFB2").milestone_state(child.run.first_epoch))
    for name, value in opened.average.state_dict().items():
        torch.testing.assert_close(value, parent["average"][name])


def test_the_weights_that_are_kept_are_averaged(study, tmp_path):
    _, paths = study
    profile, other = load_profile("smoke", AVERAGED), run_paths("smoke", tmp_path / "other")
    plain = load_profile("smoke", AVERAGED | {"restorer_average": 0})
    run = experiments.named_run(profile, "NCAM")
    loops.train(run, profile, paths)
    loops.train(run, plain, other)
    averaged, last = weights_in(paths.training("NCAM")), trained_weights(paths.training("NCAM"))
    assert averaged.keys() == last.keys()
    assert max(float((averaged[name] - last[name]).abs().max()) for name in last) > 1e-4
    # The average looks on: the weights that are trained are those of a run without it.
    alone = weights_in(other.training("NCAM"))
    assert all(torch.equal(last[name], alone[name]) for name in last)
    kept = load_file(paths.training("NCAM").weights(checkpoints.NOT_AVERAGED))
    assert all(torch.equal(kept[name], last[name]) for name in last)
    # What is validated and opened afterwards is the average.
    net = trained.load_network(paths, "NCAM")
    assert all(torch.equal(value, averaged[name]) for name, value in net.state_dict().items())


def test_a_resumed_run_keeps_its_average(study, tmp_path, monkeypatch):
    _, paths = study
    profile = load_profile("smoke", AVERAGED | {"restorer_epochs": 3})
    run = experiments.named_run(profile, "NCAM")
    history = loops.train(run, profile, paths)
    parts = run_paths("smoke", tmp_path / "parts")
    save = trainer.Keeper.save

    def save_and_die(*given):
        save(*given)
        raise Died

    with monkeypatch.context() as dying:
        dying.setattr(trainer.Keeper, "save", save_and_die)
        for _ in range(2):
            with pytest.raises(Died):
                loops.train(run, profile, parts)
    resumed = loops.train(run, profile, parts)
    for name in ("last", "best"):
        one, other = (place.training("NCAM").weights(name).read_bytes() for place in (paths, parts))
        assert one == other
    assert resumed["val_psnr"].tolist() == history["val_psnr"].tolist()


@pytest.mark.parametrize(
    ("other", "said"), [(0.8, "average was 0.7 and is now 0.8"), (0, r"average is gone \(0.7\)")]
)
def test_a_run_of_another_average_is_refused(other, said, study):
    _, paths = study
    profile = load_profile("smoke", AVERAGED | {"restorer_epochs": 1})
    loops.train(experiments.named_run(profile, "NCAM"), profile, paths)
    changed = load_profile("smoke", AVERAGED | {"restorer_epochs": 1, "restorer_average": other})
    run = experiments.named_run(changed, "NCAM")
    with pytest.raises(StudyError, match=said) as caught:
        trainer.find_start(run, changed, paths)
    assert "\n" not in str(caught.value)
    assert trainer.find_start(run, profile, paths).finished


def test_disk_need_of_an_averaged_run_is_what_it_takes(study):
    _, paths = study
    profile = load_profile("smoke", AVERAGED | {"restorer_width": 16, "restorer_epochs": 3})
    run = experiments.named_run(profile, "NCAM")
    loops.train(run, profile, paths)
    folder = paths.training("NCAM").path
    taken = sum(file.stat().st_size for file in folder.rglob("*"))
    largest = max(file.stat().st_size for file in folder.glob("state*.pt"))
    # While a state is written there are three.
    assert taken + largest <= setup.disk_needed(run, profile) + 300_000  # file headers
    assert setup.disk_needed(run, profile) < taken + 1.2 * largest


def test_training_takes_no_time_over_numbers_that_are_nearly_zero():
    """Adam's means of dead units fade to such; with them the autoencoder trains at half its speed."""
    torch.set_flush_denormal(False)
    assert float(torch.tensor(1e-30) * 1e-10) > 0
    precision.engine("fp32")
    assert float(torch.tensor(1e-30) * 1e-10) == 0 or not torch.set_flush_denormal(True)


def test_how_weights_are_averaged_stands_in_the_identity_where_they_are(study):
    profile, paths = study
    run = experiments.named_run(profile, "NSFB1")
    for value in (0, 0.9):
        chosen = load_profile("smoke", TINY | {"restorer_average": value})
        code = identity.identity_of(run, chosen, 1, identity.datasets_of(run, paths))["code"]
        assert any("average_of" in name for name in code) == (value > 0)


def test_a_run_of_later_seeds_trains_from_their_numbers(study):
    profile, paths = load_profile("smoke", TINY | {"first_seed": 3}), study[1]
    run = experiments.named_run(profile, "NSFB1")
    assert [trainer.find_start(run, profile, paths, seed).seed for seed in (1, 2)] == [
        profile.seed + 2,
        profile.seed + 3,
    ]
