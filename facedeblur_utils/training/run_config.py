"""What a training run consists of: networks, optimisers, and the configuration that is kept with it."""

import torch
from torch import nn

from facedeblur_utils.models import thesis
from facedeblur_utils.models.nafnet import Restorer
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import checkpoints, precision
from facedeblur_utils.training.experiments import Run


def build_nets(network: str, width: int, norm: str = "none") -> dict[str, nn.Module]:
    """The networks that are trained together, the one that deblurs first."""
    if network == "autoencoder":
        return {"autoencoder": thesis.Autoencoder(width)}
    if network == "restorer":
        return {"restorer": Restorer(width)}
    return {"generator": thesis.Generator(width, norm=norm), "discriminator": thesis.Discriminator(width)}


def width_of(run: Run, profile: Profile) -> int:
    return getattr(profile, f"{run.network}_width")


def rate_of(run: Run, profile: Profile) -> float:
    return getattr(profile, f"{run.network}_rate")


def seeded_nets(run: Run, profile: Profile, seed: int) -> tuple[dict, dict]:
    """Networks with their first weights drawn from `seed`, and an optimiser for each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = build_nets(run.network, width_of(run, profile), profile.gan_norm)
    nets = {name: net.to(memory_format=torch.channels_last) for name, net in nets.items()}
    return nets, {name: optimizer_of(run, profile, net) for name, net in nets.items()}


def optimizer_of(run: Run, profile: Profile, net: nn.Module) -> torch.optim.Adam:
    """Adam as Tables 4.1 and 4.2 give it; AdamW as the NAFNet paper does for the restorer."""
    rate = rate_of(run, profile)
    if run.network == "restorer":
        return torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.9), weight_decay=0, fused=True)
    betas = (0.9, 0.999) if run.network == "autoencoder" else (0.5, 0.999)
    return torch.optim.Adam(net.parameters(), lr=rate, betas=betas, fused=True)


def identity_of(run: Run, profile: Profile, seed: int, pairs: dict) -> dict:
    """What must be the same for a checkpoint to be gone on from."""
    return {
        "run": run.name,
        "network": run.network,
        "schedule": [list(part) for part in run.schedule],
        "milestones": list(run.milestones),
        "starts_from": run.starts_from,
        "image_size": profile.image_size,
        "batch_size": profile.batch_size,
        "width": width_of(run, profile),
        "norm": profile.gan_norm if run.network == "gan" else "none",
        "learning_rate": rate_of(run, profile),
        **({"crop": profile.restorer_crop} if run.network == "restorer" else {}),
        **({"vgg_wanted": profile.autoencoder_vgg} if run.network == "autoencoder" else {}),
        "precision_wanted": profile.precision,
        "seed": seed,
        "datasets": {name: p.fingerprint for name, p in pairs.items()},
    }


def facts_of(run: Run, profile: Profile, nets: dict, optimizers: dict) -> dict:
    """What else Tables 4.1 and 4.2 and the manifest tell about the run."""
    size = profile.image_size
    return {
        "profile": profile.name,
        "epochs": run.epochs,
        "optimizer": _optimizer_text(next(iter(optimizers.values()))),
        "parameters": {name: thesis.count_parameters(net) for name, net in nets.items()},
        "multiply_adds": {name: thesis.multiply_adds(net, size) for name, net in nets.items()},
        "cpu": precision.cpu_name(),
        "cpu_features": list(precision.cpu_features()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def disk_needed(run: Run, profile: Profile) -> int:
    """Bytes that the checkpoints of `run` take, for one training seed."""
    with torch.device("meta"):
        nets = build_nets(run.network, width_of(run, profile), profile.gan_norm)
    counts = [thesis.count_parameters(net) for net in nets.values()]
    passed_on = sum(epoch < run.epochs for epoch in run.milestones)
    return checkpoints.disk_needed(counts[0], sum(counts), len(run.milestones), passed_on)


def _optimizer_text(optimizer: torch.optim.Adam) -> str:
    """`Adam`, or `Adam (betas = (0.5, 0.999))` where they are not the usual ones."""
    name, betas = type(optimizer).__name__, optimizer.param_groups[0]["betas"]
    return name if betas == (0.9, 0.999) else f"{name} (betas = {betas})"
