"""The surveyed networks: shapes, sizes, what they do untrained, gradients, and notebook 12's table."""

import inspect
import pkgutil

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fake_pairs import use_fakes
from print_checks import assert_ready

from facedeblur_utils.errors import UsageError
from facedeblur_utils.metrics.judges import PatchAndWhole, PixelsAndParts, part_maps
from facedeblur_utils.models import window_transformer
from facedeblur_utils.models.coarse_to_fine import MultiScale, Recurrent
from facedeblur_utils.models.networks import NETWORKS, build
from facedeblur_utils.models.two_stage import TwoStage
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import ARCHITECTURES, load_profile
from facedeblur_utils.reporting import architecture_results
from facedeblur_utils.training import experiments, identity, loops, setup

SURVEYED = [row.name for row in NETWORKS.values() if row.survey]


def test_notebook_12_knows_every_surveyed_network_and_the_studys_own():
    assert set(ARCHITECTURES) == {*SURVEYED, "autoencoder", "gan", "restorer"}
    letters = [row.letter for row in NETWORKS.values()]
    assert len(set(letters)) == len(letters)
    assert set(load_profile("architectures").architectures) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", SURVEYED)
@pytest.mark.parametrize("size", [(32, 32), (50, 37), (8, 8)])
def test_untrained_they_change_nothing_at_any_size(name, size):
    (network,) = build(name, 8).values()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        assert torch.allclose(network(image), image, atol=1e-6)


@pytest.mark.parametrize("name", SURVEYED)
def test_every_weight_learns(name):
    torch.manual_seed(0)
    (network,) = build(name, 8).values()
    with torch.no_grad():  # past the zeros that it starts with
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    image = torch.rand(2, 3, 32, 32)
    F.l1_loss(network(image), image.flip(3)).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A shift of all keys alike changes no attention, so its bias has no gradient but rounding.
    assert [n for n in silent if "query_key_value" not in n] == []


@pytest.mark.parametrize("name", SURVEYED)
def test_each_is_a_short_class(name):
    row = NETWORKS[name]
    for path in (*row.nets.values(), *([row.judge] if row.judge else [])):
        assert len(inspect.getsource(pkgutil.resolve_name(path)).splitlines()) <= 150


def test_windows_are_put_back_where_they_were():
    block = window_transformer.WindowBlock(16, shift=0)
    x = torch.rand(2, 16, 24, 16)
    assert torch.equal(block._whole(block._windows(x), (2, 48, 24, 16)), x)


@pytest.mark.parametrize(("shift", "reach"), [(0, slice(0, 8)), (4, slice(4, 12))])
def test_attention_stays_within_its_window(shift, reach):
    """A pixel's change is seen by the pixels of its window, and by no other."""
    torch.manual_seed(0)
    block = window_transformer.WindowBlock(16, shift=shift)
    one = torch.rand(1, 48, 16, 16)
    other = one.clone()
    other[0, :, 6, 6] += 1
    changed = (block._attended(one) - block._attended(other)).abs().sum(dim=1)[0] > 1e-6
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[reach, reach] = True
    assert torch.equal(changed, expected)


def test_attention_against_its_formula():
    torch.manual_seed(0)
    block = window_transformer.WindowBlock(8, shift=0)
    triple = torch.rand(1, 24, 8, 8)
    query, key, value = (part.flatten(2)[0].T for part in triple.chunk(3, dim=1))
    weights = (query @ key.T / np.sqrt(8) + block.place[0]).softmax(dim=1)
    found = block._attended(triple)
    assert torch.allclose(found.flatten(2)[0].T, weights @ value, atol=1e-5)


def test_scales_share_weights_only_where_they_recur():
    scales = MultiScale(8).scales
    assert len({id(p) for scale in scales for p in scale.parameters()}) == 3 * len(
        list(scales[0].parameters())
    )
    recurrent = Recurrent(8)
    calls = []
    recurrent.first.register_forward_hook(lambda *_: calls.append(1))
    recurrent(torch.rand(1, 3, 16, 16))
    assert len(calls) == 3


def test_the_second_stage_sees_the_first_ones_result():
    network = TwoStage(4)
    torch.nn.init.constant_(network.rough.last.bias, 0.25)
    seen = []
    network.fine.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    image = torch.rand(1, 3, 8, 8)
    network(image)
    assert torch.allclose(seen[0], torch.cat([image, image + 0.25], dim=1))


def test_patches_and_the_whole_count_alike():
    judge = PatchAndWhole(4)
    logits = judge(torch.rand(3, 3, 64, 64))
    patches, whole = logits.chunk(2, dim=1)
    assert patches.shape == (3, 64) and torch.equal(whole, whole[:, :1].expand(-1, 64))


def test_a_pixels_logit_knows_its_part():
    judge = PixelsAndParts(4)
    image = torch.rand(1, 3, 64, 64)
    before = judge(image).view(64, 64)
    with torch.no_grad():
        judge.parts += 1
    change = (judge(image).view(64, 64) - before).abs()
    near = part_maps(image).sum(dim=1)[0]
    assert change[near < 1e-4].max() < 1e-3 < change[near > 0.5].mean()
    assert "parts" in dict(judge.named_parameters())
    assert not any("heatmap" in name for name in judge.state_dict())


# ------------------------------------------------------------------------------------------- training

SMALL = {"gan_width": 4, "restorer_width": 4, "precision": "fp32"}


def test_a_judged_network_trains_with_its_own_discriminator(tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    profile = load_profile("smoke", SMALL | {"architectures": {"part_judge": 2, "dense": 2}})
    runs = experiments.architecture_runs(profile)
    assert runs["budget_part_judge"].losses == (("adversarial", 0.004), ("l1", 1.0))
    history = loops.train(runs["budget_part_judge"], profile, run_paths("smoke", tmp_path))
    assert history["d_loss"].gt(0).all()
    nets, optimizers = {}, {}
    setup.add_judge(runs["budget_part_judge"], profile, 1, nets, optimizers)
    assert type(nets["discriminator"]).__name__ == "PixelsAndParts"
    assert optimizers["discriminator"].param_groups[0]["lr"] == profile.gan_rate
    setup.add_judge(runs["budget_dense"], profile, 1, nets := {}, {})
    assert not nets


def test_the_judge_is_part_of_a_runs_identity():
    profile = load_profile("smoke", {"architectures": {"part_judge": 2, "patch_judge": 2, "dense": 2}})
    code = {name: set(identity.code_of(run)) for name, run in experiments.architecture_runs(profile).items()}
    assert {"PixelsAndParts", "add_judge"} <= code["budget_part_judge"]
    assert "PatchAndWhole" in code["budget_patch_judge"] - code["budget_part_judge"]
    assert not {"add_judge", "named_loss_epoch"} & code["budget_dense"]


@pytest.mark.parametrize(
    ("value", "said"), [({"lenet": 1}, "knows autoencoder"), ({"gan": 0}, "1 epoch or more")]
)
def test_impossible_architectures_are_refused(value, said):
    with pytest.raises(UsageError, match=said):
        load_profile("smoke", {"architectures": value})


def test_the_table_and_what_is_said(tmp_path):
    rows = [
        (model, dataset, region, "psnr", 20 + gain)
        for model, gain in (
            ("input", 0), ("budget_dense", 1.0), ("budget_dense.seed2", 1.2), ("budget_gan", -1.0),
            ("budget_gan.seed2", -1.4),
        )
        for dataset, region in architecture_results.REGIONS.items()
    ]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["model", "dataset", "region", "metric", "value"])
    gains = architecture_results.seed_gains(scores)
    assert sorted(gains["seed"].unique()) == [1, 2]
    costs = pd.DataFrame({"parameters (k)": 2.4, "multiply-adds (M)": [5.0, 4.0]}, index=["dense", "gan"])
    table = architecture_results.cost_table(gains, costs)
    assert table.loc["dense blocks [69]", "SFB1, whole (dB)"] == "+1.10 ± 0.14"
    assert table.loc["GAN (thesis)", "parameters (k)"] == 2
    said = architecture_results.sentences(gains)
    assert "**dense blocks [69]** gains most in the same time: +1.10 dB" in said
    assert "Below their blurred input stay: GAN (thesis)." in said
    figure = architecture_results.cost_figure(gains, costs)
    assert figure.get_size_inches()[0] == pytest.approx(architecture_results.COLUMN)
    assert_ready(figure, tmp_path)
