"""Why do the thesis's networks stay below their blurred input? `python benchmarks/below_input.py`

Trains both networks on SFB2 (profile `sample`, a few epochs) as they are and with one thing changed at a
time, and scores them on SFB2's test faces as gain over the blurred input. It writes its rows beside
itself into `below_input.csv` as they come and goes on from there: delete the file to start anew. Only the
first row of the autoencoder has the perceptual term, which is most of its time and, with the random VGG19,
less than a thousandth of its loss.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.build import build
from facedeblur_utils.files import write_text
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training import losses, precision, vgg
from facedeblur_utils.training.batches import Batches
from facedeblur_utils.training.experiments import Run
from facedeblur_utils.training.setup import seeded_nets
from facedeblur_utils.training.validation import Validation

FILE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Variant:
    """One thing done in another way than in the study."""

    change: str
    epochs: int = 5
    rate: float = 1.0  # times the thesis's
    filters: float = 1.0  # times the profile's
    every: int = 1  # take every n-th training face
    without: tuple[str, ...] = ()  # terms of the loss
    adds: bool = False  # the network's output is added to its input
    sharp: bool = False  # sharp faces in, the same sharp faces out: what the network can hold at all
    networks: tuple[str, ...] = ("autoencoder", "gan")


class Adds(nn.Module):
    """A network that makes the change of its input: a path at full resolution past all strides."""

    def __init__(self, net: nn.Module, neutral: float):
        super().__init__()
        self.net, self.neutral = net, neutral  # `neutral`: the output that stands for no change

    def forward(self, image: Tensor) -> Tensor:
        return image + self.net(image) - self.neutral


class Pairs:
    """Some of the pairs of a dataset, with the interface of `face_pairs.FacePairs`."""

    def __init__(self, pairs: face_pairs.FacePairs, every: int, sharp: bool):
        self._all, self._every, self._sharp = pairs, every, sharp
        self.name, self.split, self.size = pairs.name, pairs.split, pairs.size
        self.image_ids = pairs.image_ids[::every]

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices):
        blurred, sharp = self._all.batch(indices * self._every)
        return (sharp if self._sharp else blurred), sharp


VARIANTS = [
    Variant("nothing"),
    Variant("pixel term of the loss alone", without=("adversarial", "ssim")),
    Variant("output is added to the input", adds=True),
    Variant(
        "output is added to the input, pixel term alone",
        adds=True,
        without=("adversarial", "ssim"),
        networks=("gan",),
    ),
    Variant("three times the learning rate", rate=3),
    Variant("a third of the learning rate", rate=1 / 3),
    Variant("half of the filters", filters=0.5, networks=("gan",)),
    Variant("twice the filters", filters=2, networks=("gan",)),
    Variant("half of the faces, as many steps", epochs=10, every=2),
    Variant("four times the epochs", epochs=20),
    Variant("sharp faces in and out", sharp=True),
]


def trained(network: str, variant: Variant, paths, profile) -> tuple[nn.Module, int]:
    """The trained network and the number of faces that it saw."""
    profile = replace(
        profile,
        autoencoder_rate=profile.autoencoder_rate * variant.rate,
        gan_rate=profile.gan_rate * variant.rate,
        gan_width=int(profile.gan_width * variant.filters),
    )
    run = Run(f"{network} on SFB2", network, (("SFB2", variant.epochs),), (variant.epochs,))
    nets, optimizers = seeded_nets(run, profile, profile.seed)
    name = next(iter(nets))
    if variant.adds:
        # The generator's Tanh range is [-1, 1], of which 0 is 0.5 in [0, 1].
        nets[name] = Adds(nets[name], 0.5 if network == "gan" else 0.0)
    kind = precision.choose(profile.precision)[0]
    engine = precision.engine(kind)
    without = (*variant.without, *(["perceptual"] if variant is not VARIANTS[0] else []))
    weights = {key: w for key, w in losses.WEIGHTS[network].items() if key not in without}
    perceptual = (
        vgg.Features(vgg.available_kind()[0], precision.DTYPES[kind]) if "perceptual" in weights else None
    )
    nets = {key: engine.prepare(net) for key, net in nets.items()}
    batches = Batches(
        Pairs(face_pairs.open_pairs(paths, "SFB2", "train"), variant.every, variant.sharp),
        profile.batch_size,
        engine.device,
    )
    judge = nets.get("discriminator")
    for epoch in range(1, variant.epochs + 1):
        for batch in batches.epoch(profile.seed, epoch):
            output = nets[name](batch.blurred)
            if "adversarial" in weights:
                loss = losses.discriminator_loss(judge(batch.sharp), judge(output.detach()))
                step(engine, optimizers["discriminator"], loss)
                judge.requires_grad_(False)
                terms = losses.generator_terms(output, batch.sharp, judge(output))
                judge.requires_grad_(True)
            elif network == "gan":
                terms = losses.generator_terms(output, batch.sharp, torch.zeros(1))
            elif perceptual:
                terms = losses.autoencoder_terms(output, batch.sharp, perceptual)
            else:
                terms = {"mse": nn.functional.mse_loss(output.float(), batch.sharp)}
            terms = {key: term for key, term in terms.items() if key in weights}
            step(engine, optimizers[name], losses.weighted_sum(terms, weights))
    return engine.unwrap_model(nets[name]), len(batches)


def step(engine, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    engine.backward(loss)
    optimizer.step()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", default="", help="folder of the datasets (default: the checkout's runs/)")
    options = parser.parse_args()
    profile, paths = load_profile("sample"), run_paths("sample", options.output)
    build(profile, paths)
    rows = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    known = {(row["network"], row["change"]) for row in rows}
    for variant in VARIANTS:
        for network in variant.networks:
            if (network, variant.change) in known:
                continue
            start = time.perf_counter()
            net, faces = trained(network, variant, paths, profile)
            test = Validation(
                [Pairs(face_pairs.open_pairs(paths, "SFB2", "test"), 1, variant.sharp)], torch.device("cpu")
            )
            scores, own = test(net), test.of_input()
            row = {
                "network": network,
                "change": variant.change,
                "epochs": variant.epochs,
                "faces": faces,
                "PSNR": round(scores["val_psnr"], 2),
                "SSIM": round(scores["val_ssim"], 4),
            }
            if not variant.sharp:  # no blur, so nothing to gain
                row["gain in PSNR"] = round(scores["val_psnr"] - own["psnr"], 2)
                row["gain in SSIM"] = round(scores["val_ssim"] - own["ssim"], 4)
            rows.append(row)
            write_text(FILE, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
            seconds = time.perf_counter() - start
            print(", ".join(f"{key} {value}" for key, value in row.items()), f"({seconds:.0f} s)", flush=True)
    print(pd.DataFrame(rows).sort_values("network", kind="stable").to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
