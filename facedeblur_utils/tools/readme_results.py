"""Writes what the README says of the results: `python -m facedeblur_utils.tools.readme_results`.

Every number comes from what is published: the scores of the study and of its restorers, those of the kept
training seeds that the published tables are made of, and the gains of physics.
"""

import re
import sys
import textwrap
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import contrasts, kept_seeds
from facedeblur_utils.evaluation.contrasts import interval_text, mean_effect
from facedeblur_utils.evaluation.scores import INPUT, split_seeds
from facedeblur_utils.evaluation.statistics import NETWORKS
from facedeblur_utils.files import write_text
from facedeblur_utils.paths import ROOT, RunPaths
from facedeblur_utils.reporting import discussion, result_tables
from facedeblur_utils.reporting.result_tables import EPOCH_MODELS, MODELS
from facedeblur_utils.reporting.tables import minus_signs, training_seeds

README = ROOT / "README.md"
WORDS = NETWORKS | {"N": "restorer"}
METHODS = {  # columns of the gains of physics, and their heads here
    "published restorer": "network",
    "physics, blind": "physics, blind",
    "with refinement": "with refinement",
    "physics, true kernel": "physics, true kernel",
}
WIDTH = 120  # letters of a line


@dataclass(frozen=True)
class Published:
    """Scores of the thesis's networks over all seeds, of the restorers, and gains of physics."""

    scores: pd.DataFrame
    restorers: pd.DataFrame
    in_face: pd.DataFrame  # tests over faces
    physics: pd.DataFrame

    @cached_property
    def psnr(self) -> pd.DataFrame:
        """Mean PSNR by model and test set."""
        both = pd.concat([self.scores, self.restorers])
        return result_tables.mean_scores(both).xs("PSNR", axis=1, level=1)

    @cached_property
    def gains(self) -> pd.DataFrame:
        return (self.psnr - self.psnr.loc[INPUT]).drop(index=INPUT)

    @cached_property
    def by_seed(self) -> pd.DataFrame:
        """Mean PSNR by (model, training seed) and test set."""
        return result_tables.seed_means(self.scores).xs("psnr", axis=1, level=1)[list(DATASETS)]

    @property
    def seeds(self) -> str:
        return training_seeds(split_seeds(self.scores["model"])[1].nunique())

    @cached_property
    def effects(self) -> dict[tuple[str, str], str]:
        """By kind of test set and region: what segmented training changes, with its interval over seeds."""
        return {
            (kind, region): interval_text(mean_effect(self.scores, datasets, region))
            for kind, datasets in discussion.KINDS.items()
            for region in ("whole", "face")
        }


def read() -> Published:
    """What stands in `figures/study/` and, of further training seeds, in `expected/`."""
    folder = RunPaths("study").figures
    scores, restorers = (
        pd.read_csv(folder / f"{name}.csv.gz", dtype={"image_id": str})
        for name in ("scores", "restorer_scores")
    )
    seeds = pd.read_csv(folder / "tables" / "table_x_trainings.csv")["seed"]
    kept = [kept_seeds.read(seed, "study") for seed in seeds if seed > 1]  # the run's own is the first
    return Published(
        pd.concat([scores, *kept], ignore_index=True),
        restorers[restorers["model"].str.startswith("N")],
        pd.read_csv(folder / "tables" / "table_x_hypothesis_face.csv"),
        pd.read_csv(folder / "tables" / "table_x_physics.csv", index_col=0),
    )


def answer(study: Published) -> str:
    """The paragraph below the title."""
    effect = study.effects
    worse = (study.gains.loc[MODELS, "SB2SM"] < 0).sum()
    whole = study.physics.loc[["SFB1", "SFB2"], "with refinement mean"]
    return paragraph(
        f"**The answer so far** (50 test faces, {study.seeds}, limits below): on partly blurred pictures it "
        f"changes the networks' PSNR by {effect['partly', 'whole']} over the whole image but by "
        f"{effect['partly', 'face']} in the face itself, and on pictures blurred everywhere by "
        f"{effect['fully', 'whole']}. The thesis's networks beat their own blurred input by at most "
        f"{own_gains(study).max():.1f} dB, and {worse} of {len(MODELS)} make faces on sharp backgrounds "
        f"worse. A small network that adds what it finds to its input gains "
        f"{study.gains.loc['NSFB2', 'SFB2']:.1f} dB from the same faces, and undoing the motion that "
        f"explains what it sees, {whole.min():.1f} dB."
    )


def table(study: Published) -> str:
    """Mean PSNR, its deviation over seeds, and the gain over the blurred input, by model and test set."""
    spread = study.by_seed.groupby("model").std()
    restorers = study.restorers["model"].unique()
    lines = ["| | " + " | ".join(DATASETS) + " |", "|---|" + "--:|" * len(DATASETS)]
    for model in [INPUT, *MODELS, *restorers]:
        cells = ["blurred input" if model == INPUT else f"{WORDS[model[0]]} {model}"]
        for dataset in DATASETS:
            cell = f"{study.psnr.loc[model, dataset]:.2f}"
            if model in spread.index and pd.notna(spread.loc[model, dataset]):
                cell += f" ± {spread.loc[model, dataset]:.2f}"
            if model != INPUT:
                cell += f" ({study.gains.loc[model, dataset]:+z.2f})"  # z: never -0.00
            cells.append(cell)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def findings(study: Published) -> str:
    """Three sentences: the thesis's question, the input's row, epochs and mixed data."""
    effect, own = study.effects, own_gains(study)
    declared = contrasts.test_contrasts(study.scores)["verdict"].value_counts()
    verdicts = "; ".join(f"{count} {verdict.partition(':')[0]}" for verdict, count in declared.items())
    over_faces = study.in_face["Verdict"].value_counts()
    partly, mixed = study.gains.loc[MODELS, "SB2SM"], study.gains.loc["NMIX"]

    def change(name: str, reference: str) -> str:
        models = [EPOCH_MODELS[name], EPOCH_MODELS[reference]]
        first, second = (study.by_seed.loc[model].mean(axis=1) for model in models)
        return interval_text((first - second).to_numpy())

    return "\n".join(
        paragraph(f"- {said}", "  ")
        for said in (
            "**Blur on the face alone against blur everywhere, in training.** On partly blurred test sets "
            f"networks trained on segmented blur lie {effect['partly', 'whole']} from their twins over the "
            f"whole image and {effect['partly', 'face']} in the face, on fully blurred ones "
            f"{effect['fully', 'whole']} and {effect['fully', 'face']} (in brackets: 95 % t intervals over "
            f"training seeds, where there are several). Of eight contrasts declared in advance, inside the "
            f"face and over {study.seeds}: {verdicts} (open: shown neither to differ, after Holm's "
            f"correction, nor to be equal within ±{contrasts.EQUAL} dB). Over faces, which is descriptive, "
            f"segmented training is better in {over_faces.get('H1, segmented better', 0)} and worse in "
            f"{over_faces.get('H1, segmented worse', 0)} of {len(study.in_face)} comparisons in the face.",
            f"**Look at the input's row first.** {(own > 0).sum()} of {len(own)} thesis networks beat it on "
            f"their own kind of blur, by at most {own.max():.1f} dB; on SB2SM, where all but the face was "
            f"sharp, {(partly < 0).sum()} make the image worse, by up to {-partly.min():.1f} dB. A small "
            f"network that adds its output to its input gains {study.gains.loc['NSFB2', 'SFB2']:.1f} dB on "
            f"SFB2, and trained on a mixture of all blurs {mixed.min():.1f} to {mixed.max():.1f} dB on the "
            "four sets.",
            "**More epochs and mixed data.** The second half of GSFB2's fifty epochs changes PSNR by "
            f"{change('GSFB2_50', 'GSFB2_25')} on average over the four sets; going on through all four "
            f"kinds of data to twice as many (GSFB2_100) by {change('GSFB2_100', 'GSFB2_50')}; twenty mixed "
            f"epochs lie {change('GSFB2_20', 'GSFB2_25')} from 25 of GSFB2 alone.",
        )
    )


def thesis(study: Published) -> str:
    """Where the thesis's Table 5.4 agrees."""
    return paragraph(discussion.on_agreement(result_tables.table_5_4(study.scores)))


def physics(study: Published) -> str:
    """Gain of the network and of physics by test set: mean and, in brackets, worst face."""
    lines = [f"| test set | blurred | {' | '.join(METHODS.values())} |", "|---|--:|" + "--:|" * len(METHODS)]
    for name, row in study.physics.iterrows():
        cells = [f"{row[f'{method} mean']:+z.1f} ({row[f'{method} worst']:+z.1f})" for method in METHODS]
        lines.append(f"| {name} | {row['blurred PSNR']:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def limits(study: Published) -> str:
    """What the numbers can't say."""
    return paragraph(
        f"Limits: {study.seeds} of the thesis's networks and one of the restorers, so that differences of a "
        "few tenths of a decibel between models may be chance; 893 faces to train on; a GAN with 16 filters; "
        "no ImageNet weights at hand, so that the autoencoder's loss is its pixel term alone; heads found by "
        "our own segmenter."
    )


def own_gains(study: Published) -> pd.Series:
    """Gain of each of the thesis's networks on the test set of its own kind of blur."""
    return pd.Series({model: study.gains.loc[model, model[1:]] for model in MODELS})


def paragraph(text: str, indent: str = "") -> str:
    """`text` in lines."""
    how = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": indent}
    return textwrap.fill(text, WIDTH, **how)


def renewed(readme: str) -> str:
    """`readme` with its parts between `<!-- results: NAME -->` and `<!-- end -->` written anew."""
    study = read()
    for make in (answer, table, findings, thesis, limits, physics):
        part = rf"(<!-- results: {make.__name__} -->\n\n).*?(\n\n<!-- end -->)"
        text = minus_signs(make(study))
        readme, count = re.subn(part, lambda found, t=text: found[1] + t + found[2], readme, flags=re.S)
        if count != 1:
            raise ValueError(f"README.md has {count} places for '{make.__name__}'")
    return readme


def main() -> int:
    write_text(README, renewed(README.read_text(encoding="utf-8")))
    print(f"{README}: results written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
