"""What a training run starts from: networks, optimisers, the VGG19 of its loss, and facts about them."""

import json
import pkgutil

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from facedeblur_utils import machine
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models import cost
from facedeblur_utils.models.networks import NETWORKS, build, network
from facedeblur_utils.models.thesis import Discriminator
from facedeblur_utils.paths import RunFolder
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import checkpoints, losses, precision, vgg
from facedeblur_utils.training.experiments import Run


def seeded_nets(run: Run, profile: Profile, seed: int) -> tuple[dict, dict]:
    """Networks with their first weights drawn from `seed`, and an optimiser for each."""
    row = network(run.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = build(run.network, row.width_in(profile), **row.options_in(profile))
    nets = {name: net.to(memory_format=torch.channels_last) for name, net in nets.items()}
    return nets, {name: optimizer_of(run, profile, net) for name, net in nets.items()}


def add_discriminator(run: Run, profile: Profile, seed: int, nets: dict, optimizers: dict) -> None:
    """Give a network without one the GAN's discriminator, where its chosen loss asks for it."""
    if "discriminator" in nets or not losses.judged(run.losses):
        return
    row = network("gan")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Discriminator(row.width_in(profile)).to(memory_format=torch.channels_last)
    nets["discriminator"] = judge
    optimizers["discriminator"] = torch.optim.Adam(
        judge.parameters(), lr=row.rate_in(profile), fused=True, **row.settings
    )


def add_judge(run: Run, profile: Profile, seed: int, nets: dict, optimizers: dict) -> None:
    """Give a network the discriminator of its own that its row names, with the thesis's optimiser for one."""
    row, gan = network(run.network), network("gan")
    if not row.judge:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = pkgutil.resolve_name(row.judge)(gan.width_in(profile)).to(memory_format=torch.channels_last)
    nets["discriminator"] = judge
    optimizers["discriminator"] = torch.optim.Adam(
        judge.parameters(), lr=gan.rate_in(profile), fused=True, **gan.settings
    )


def optimizer_of(run: Run, profile: Profile, net: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the network's row names, at the profile's rate."""
    row = network(run.network)
    kind = getattr(torch.optim, row.optimizer)
    return kind(net.parameters(), lr=row.rate_in(profile), fused=True, **row.settings)


def average_of(
    run: Run, profile: Profile, nets: dict, optimizers: dict, device: torch.device
) -> AveragedModel | None:
    """The running mean of the deblurring network's weights, moved after each step; None where none is kept.

    Exponential, over about 1 / (1 - `<network>_average`) steps, but over no more than a tenth of those that
    were made: the first weights would count for too long.
    """
    decay = network(run.network).average_in(profile)
    if not decay:
        return None
    role = next(iter(nets))

    def move(means: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        stays = min(decay, (1 + int(count)) / (10 + int(count)))
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, 1 - stays)

    average = AveragedModel(nets[role], device=device, multi_avg_fn=move)
    optimizers[role].register_step_post_hook(lambda *_: average.update_parameters(nets[role]))
    return average


def facts_of(run: Run, profile: Profile, nets: dict, optimizers: dict) -> dict:
    """What else Tables 4.1 and 4.2 and the manifest tell about the run."""
    size = profile.image_size
    return {
        "profile": profile.name,
        "epochs": run.epochs,
        "optimizer": _optimizer_text(next(iter(optimizers.values()))),
        "parameters": {name: cost.count_parameters(net) for name, net in nets.items()},
        "multiply_adds": {name: cost.multiply_adds(net, size) for name, net in nets.items()},
        "cpu": machine.cpu_name(),
        "cpu_features": list(machine.cpu_features()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def loss_facts(run: Run, perceptual: vgg.Features | None) -> dict:
    """What the run's loss consists of: weights by term, and which VGG19 its perceptual term has."""
    weights = losses.weights_of(run)
    if "perceptual" not in weights:
        return {"loss_weights": weights, "vgg": None}
    if perceptual is None:
        del weights["perceptual"]
    return {"loss_weights": weights, "vgg": perceptual.kind if perceptual else vgg.LEFT_OUT}


def perceptual_of(
    run: Run, profile: Profile, folder: RunFolder, accelerator, kind: str
) -> vgg.Features | None:
    """VGG19 for Eq. 4, as in the other autoencoders of this profile; None where the loss has no such term."""
    if "perceptual" not in losses.weights_of(run):
        return None
    used = {
        json.loads(path.read_text(encoding="utf-8")).get("vgg")
        for path in folder.path.parent.glob(f"{NETWORKS[run.network].letter}*/{folder.config.name}")
    }
    others = next((weights for weights in (vgg.LEFT_OUT, vgg.RANDOM) if weights in used), None)
    if others:
        weights = others
        line = (
            f"VGG19 WITHOUT ImageNet weights, as in the other autoencoders here ({others}); delete "
            f"{folder.path.parent} to train all of them anew"
        )
    else:
        weights, line = vgg.available_kind()
        if vgg.IMAGENET in used and weights != vgg.IMAGENET:
            raise StudyError(f"the other autoencoders here have ImageNet weights in their loss; now: {line}")
        if weights == vgg.RANDOM and profile.autoencoder_vgg == "imagenet":
            weights = vgg.LEFT_OUT
            line += ". The profile wants no random one (autoencoder_vgg: imagenet): mse is the whole loss"
        elif weights == vgg.RANDOM:
            line += f". A random VGG19 (seed {vgg.RANDOM_SEED}) stands in for it"
    accelerator.print(line)
    if weights == vgg.LEFT_OUT:
        return None
    return vgg.Features(weights, precision.DTYPES[kind]).to(accelerator.device)


def share_batch_norm(run_name: str, nets: dict[str, nn.Module], accelerator) -> None:
    """With several processes, let batch norm see the whole batch on GPUs; say where it can't (CPUs)."""
    several = accelerator.num_processes > 1
    if not several or not any(isinstance(m, nn.BatchNorm2d) for net in nets.values() for m in net.modules()):
        return
    if accelerator.device.type == "cuda":
        for net in nets.values():
            nn.SyncBatchNorm.convert_sync_batchnorm(net)  # in place, with the same weights
    else:
        accelerator.print(
            f"{run_name}: several CPU processes, so batch norm sees each process's share of a batch alone; "
            "the result differs a little from that of one process"
        )


def disk_needed(run: Run, profile: Profile) -> int:
    """Bytes that the checkpoints of `run` take, for one training seed."""
    row = network(run.network)
    with torch.device("meta"):
        nets = build(run.network, row.width_in(profile), **row.options_in(profile))
        add_judge(run, profile, 0, nets, {})
        add_discriminator(run, profile, 0, nets, {})
    counts = [cost.count_parameters(net) for net in nets.values()]
    passed_on = sum(epoch < run.epochs for epoch in run.milestones)
    averaged = row.average_in(profile) > 0
    return checkpoints.disk_needed(counts[0], sum(counts), len(run.milestones), passed_on, averaged)


def _optimizer_text(optimizer: torch.optim.Optimizer) -> str:
    """`Adam`, or `Adam (betas = (0.5, 0.999))` where they are not the usual ones."""
    name, betas = type(optimizer).__name__, optimizer.param_groups[0]["betas"]
    return name if betas == (0.9, 0.999) else f"{name} (betas = {betas})"
