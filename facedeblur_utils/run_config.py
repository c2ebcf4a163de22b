"""What a training run consists of: networks, optimisers, and the configuration that is kept with it."""

import torch
from torch import nn

from facedeblur_utils import checkpoints, losses, models, precision
from facedeblur_utils.experiments import Run
from facedeblur_utils.profiles import Profile


def build_nets(network: str, width: int, norm: str = "none") -> dict[str, nn.Module]:
    """The networks that are trained together, the one that deblurs first."""
    if network == "autoencoder":
        return {"autoencoder": models.Autoencoder(width)}
    return {"generator": models.Generator(width, norm=norm), "discriminator": models.Discriminator(width)}


def width_of(run: Run, profile: Profile) -> int:
    return profile.autoencoder_width if run.network == "autoencoder" else profile.gan_width


def seeded_nets(run: Run, profile: Profile, seed: int) -> tuple[dict, dict]:
    """Networks with their first weights drawn from `seed`, and an optimiser for each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = build_nets(run.network, width_of(run, profile), profile.gan_norm)
    nets = {name: net.to(memory_format=torch.channels_last) for name, net in nets.items()}
    return nets, {name: optimizer_of(run, profile, net) for name, net in nets.items()}


def optimizer_of(run: Run, profile: Profile, net: nn.Module) -> torch.optim.Adam:
    """Adam as Tables 4.1 and 4.2 give it."""
    if run.network == "autoencoder":
        return torch.optim.Adam(net.parameters(), lr=profile.autoencoder_rate, fused=True)
    return torch.optim.Adam(net.parameters(), lr=profile.gan_rate, betas=(0.5, 0.999), fused=True)


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
        "norm": "none" if run.network == "autoencoder" else profile.gan_norm,
        "learning_rate": profile.autoencoder_rate if run.network == "autoencoder" else profile.gan_rate,
        "precision_wanted": profile.precision,
        "seed": seed,
        "datasets": {name: p.fingerprint for name, p in pairs.items()},
    }


def facts_of(run: Run, profile: Profile, nets: dict, optimizers: dict) -> dict:
    """What else Tables 4.1 and 4.2 and the manifest tell about the run."""
    autoencoder = run.network == "autoencoder"
    size = profile.image_size
    return {
        "profile": profile.name,
        "epochs": run.epochs,
        "loss_weights": losses.AUTOENCODER_WEIGHTS if autoencoder else losses.GENERATOR_WEIGHTS,
        "optimizer": _optimizer_text(next(iter(optimizers.values()))),
        "parameters": {name: models.count_parameters(net) for name, net in nets.items()},
        "multiply_adds": {name: models.multiply_adds(net, size) for name, net in nets.items()},
        "cpu": precision.cpu_name(),
        "cpu_features": list(precision.cpu_features()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def disk_needed(run: Run, profile: Profile) -> int:
    """Bytes that the checkpoints of `run` take, for one training seed."""
    with torch.device("meta"):
        nets = build_nets(run.network, width_of(run, profile), profile.gan_norm)
    counts = [models.count_parameters(net) for net in nets.values()]
    passed_on = sum(epoch < run.epochs for epoch in run.milestones)
    return checkpoints.disk_needed(counts[0], sum(counts), len(run.milestones), passed_on)


def _optimizer_text(optimizer: torch.optim.Adam) -> str:
    """`Adam`, or `Adam (betas = (0.5, 0.999))` where they are not the usual ones."""
    betas = optimizer.param_groups[0]["betas"]
    return "Adam" if betas == (0.9, 0.999) else f"Adam (betas = {betas})"
