"""What notebooks 05, 06 and 13 conclude: sentences written from the numbers of the run."""

import numpy as np
import pandas as pd

from facedeblur_utils.evaluation.contrasts import interval_text, mean_effect
from facedeblur_utils.evaluation.metric_audit import STUDY
from facedeblur_utils.evaluation.statistics import PAIRS
from facedeblur_utils.files import write_text
from facedeblur_utils.paths import BELOW_INPUT, RunPaths
from facedeblur_utils.profiles import SHORTENED, Profile
from facedeblur_utils.reporting import thesis_results
from facedeblur_utils.reporting.result_tables import (
    EPOCH_MODELS,
    INPUT_LABEL,
    MODELS,
    PHYSICS,
    REFERENCE_LABELS,
)
from facedeblur_utils.reporting.tables import minus_signs, training_seeds

SMOOTH = 5  # epochs
PEAK = "PSNR, data in [-1, 1] with peak 1"
KINDS = {"fully": ("SFB1", "SFB2"), "partly": ("SB1SD", "SB2SM")}  # of test sets


def write(number: str, sentences: list[str], paths: RunPaths) -> str:
    """Keep a notebook's paragraphs (Markdown) beside the figures, for the report; returns them as one."""
    if paths.profile in SHORTENED:
        sentences = [*sentences, f"*Shortened run (profile {paths.profile}): not a result of the study.*"]
    text = minus_signs("\n\n".join(sentences))
    write_text(paths.discussion(number), text + "\n")
    return text


def on_restoring(gains: pd.DataFrame) -> str:
    """Do the networks beat their input? From the table of gains."""
    own = pd.Series({model: gains.loc[model, (model[1:], "PSNR")] for model in MODELS})
    better = own[own > 0]
    known = gains.loc[REFERENCE_LABELS[PHYSICS], ("SFB2", "PSNR")]
    answer = "Most stay below their own blurred input" if 2 * len(better) < len(own) else "Most do"
    return (
        f"**Do the networks deblur?** {answer}: {len(better)} of {len(own)} models raise PSNR over "
        f"that of the blurred images of their own test set ({', '.join(better.index) or 'none'}). The "
        f"largest gain is "
        f"{own.max():+.2f} dB ({own.idxmax()}), the smallest {own.min():+.2f} dB ({own.idxmin()}). "
        f"Solved with the true kernel and the operator that blurred, SFB2 gains {known:+.2f} dB: so much is "
        "still in the blurred pictures."
    )


def on_causes() -> str:
    """What holds the networks back, from the short experiments of `benchmarks/below_input.py`."""
    rows = pd.read_csv(BELOW_INPUT).set_index(["change", "network"])
    gain, psnr = rows["gain in PSNR"].unstack(), rows["PSNR"].unstack()

    def both(values: pd.Series, sign: str = "+") -> str:
        return f"{values['autoencoder']:{sign}.2f} and {values['gan']:{sign}.2f} dB"

    rates = gain.loc[["three times the learning rate", "a third of the learning rate"]].max()
    return (
        "**What holds them back.** Neither network has a path at full resolution: it draws the face anew "
        "from smaller maps. "
        f"Short experiments at 64 pixels, {rows['epochs'].min()} epochs and one seed "
        "(`benchmarks/below_input.py`) change one thing at a time. Gains on SFB2, autoencoder and GAN: with "
        f"nothing changed {both(gain.loc['nothing'])}; with the output added to the input "
        f"{both(gain.loc['output is added to the input'])}; at the better of two other learning rates "
        f"{both(rates)}; with half of the faces {both(gain.loc['half of the faces, as many steps'])}; "
        f"with four times the epochs {both(gain.loc['four times the epochs'])}. "
        "Given sharp faces and trained to return them, they reach "
        f"{both(psnr.loc['sharp faces in and out'], '')}. "
        "So the missing path matters most of what was tried; it is one cause found, not a proof that there "
        "is no other. Notebook 07 shows a small network that has this path, on the same data."
    )


def on_contrasts(declared: pd.DataFrame, spread: pd.Series) -> str:
    """The verdict on the thesis's question; `spread` is that of `contrasts.spread_within`."""
    seeds, differences = int(declared["seeds"].min()), declared["difference"]
    if seeds < 2:
        said = (
            f"One training seed decides none of the {len(declared)} declared contrasts; differences inside "
            f"the face are {differences.min():+.2f} to {differences.max():+.2f} dB."
        )
    else:
        counts = [f"{count} {verdict}" for verdict, count in declared["verdict"].value_counts().items()]
        said = f"{len(declared)} inside the face, over {seeds} training seeds: {'; '.join(counts)}."
        for row in declared[~declared["verdict"].str.startswith("open")].to_dict("records"):
            said += (
                f" {row['compared']} on {row['test set']}: {row['difference']:+.2f} dB "
                f"({row['low']:+.2f} to {row['high']:+.2f}), {row['verdict']}."
            )
    words = ", ".join(f"{value:.2f} dB ({network})" for network, value in spread["psnr"].dropna().items())
    if words:
        said += f" Standard deviation of validation PSNR over the last epochs of one training: {words}."
    return f"**The declared contrasts.** {said}"


def on_hypothesis(tests: pd.DataFrame) -> str:
    """What the tests over test faces say of these networks, from their table."""
    seeds = tests["seeds"].max()
    of = f"{'of' if seeds == 1 else 'averaged over'} {training_seeds(seeds)}"
    verdicts = tests["verdict"].value_counts()
    local = tests["test set"].isin(KINDS["partly"])
    better = tests["verdict"] == "H1, segmented better"
    largest = tests.loc[tests["effect"].abs().idxmax()]
    return (
        f"**Over test faces.** With scores {of}, H0 is kept in {verdicts.get('H0 kept', 0)} of "
        f"{len(tests)} comparisons. Training on segmented blur is better in {better.sum()} and worse in "
        f"{verdicts.get('H1, segmented worse', 0)}: better in {(better & local).sum()} of {local.sum()} on "
        f"partly blurred test sets and in {(better & ~local).sum()} of {(~local).sum()} on fully blurred "
        f"ones. The strongest effect is {largest['effect']:+.2f} ({largest['metric'].upper()}, "
        f"{largest['compared']} on {largest['test set']}). The test set of a pair that is blurred like the "
        "training set favours that model, so a verdict holds for its test set, not in general; and since "
        "these tests run over faces, it holds for these trained networks: others from other seeds, or of "
        "another epoch, can differ as much."
    )


def on_faces(scores: pd.DataFrame, in_face: pd.DataFrame) -> str:
    """The same tests inside the face, `in_face`, and over seeds: is the gain where people look?"""
    counts = in_face["verdict"].value_counts()
    change = {
        kind: [interval_text(mean_effect(scores, datasets, region)) for region in ("whole", "face")]
        for kind, datasets in KINDS.items()
    }
    seeds = in_face["seeds"].max()
    how = f"; in brackets 95 % t intervals over {seeds} training seeds" if seeds > 1 else ""
    return (
        f"**Inside the face.** Scored in the face alone, training on segmented blur is better in "
        f"{counts.get('H1, segmented better', 0)} and worse in {counts.get('H1, segmented worse', 0)} of "
        f"{len(in_face)} comparisons. On partly blurred test sets it changes PSNR by {change['partly'][0]} "
        f"over the whole image and {change['partly'][1]} in the face; on fully blurred ones by "
        f"{change['fully'][0]} and {change['fully'][1]} (means over both networks and pairs{how}). "
        "The rest of what the whole image gains or loses lies outside the face."
    )


def on_networks(table: pd.DataFrame, audit: pd.DataFrame) -> str:
    """Autoencoder against GAN, here and in the thesis, and what the audit can say about it."""
    ours = thesis_results.own_set_means(table)
    theirs = thesis_results.own_set_means(thesis_results.printed_table("table_5_4", table))
    gap, printed_gap = (means.loc["autoencoder"] - means.loc["GAN"] for means in (ours, theirs))
    shifts = audit.loc[audit["metric"] == "ssim", "shift of GANs"].drop(f"SSIM, {STUDY}")
    low, high = (name.removeprefix("SSIM, ") for name in (shifts.idxmin(), shifts.idxmax()))
    enough = int((shifts >= -printed_gap["SSIM"]).sum())
    return (
        f"**Autoencoder against GAN, each on its own test set.** In the thesis the autoencoders' mean lies "
        f"{printed_gap['PSNR']:+.2f} dB and {printed_gap['SSIM']:+.4f} SSIM from the GANs'; here "
        f"{gap['PSNR']:+.2f} dB and {gap['SSIM']:+.4f}. A convention used for both kinds moves both. If only "
        f"the GANs, whose range is [-1, 1], had been scored there with peak 1, their PSNR would be "
        f"{-audit.loc[PEAK, 'shift of GANs']:.2f} dB too low, more than the thesis's gap. Scoring the GANs "
        f"alone under another convention of SSIM shifts them by {shifts.min():+.4f} ({low}) to "
        f"{shifts.max():+.4f} ({high}); {enough} of {len(shifts)} conventions raise them by as much as the "
        f"thesis's gap. The thesis's code isn't known: this shows what mixed conventions could do, not that "
        f"they were mixed. A GAN trained on SSIM (Eq. 5) may score higher there for that reason alone."
    )


def on_thesis(beside: pd.DataFrame, facts: dict[str, dict], profile: Profile, train_images: int) -> str:
    """How far our Table 5.4 is from the thesis's and why that may be."""
    difference = beside["PSNR", "difference"]
    weights = sorted({fact["vgg"] for fact in facts.values() if fact["vgg"]})
    steps = train_images // profile.batch_size * profile.epochs
    return (
        f"**Ours and the thesis's.** Over the {len(difference)} cells of Table 5.4 our PSNR lies "
        f"{difference.mean():+.2f} dB from the thesis's on average ({difference.min():+.2f} to "
        f"{difference.max():+.2f}). Profile {profile.name} trains on {train_images} faces of "
        f"{profile.image_size} pixels for {profile.epochs} epochs, about {steps} steps; the thesis took "
        f"about 68 000 on CelebA-HQ. It states neither image size nor blur lengths, on which PSNR "
        f"depends as much. VGG19 weights of the perceptual term here: {' and '.join(weights)}."
    )


def on_agreement(table: pd.DataFrame) -> str:
    """Where our Table 5.4 and the thesis's point the same way."""
    theirs = thesis_results.printed_table("table_5_4", table).xs("PSNR", axis=1, level=1)
    ours = table.xs("PSNR", axis=1, level=1).loc[theirs.index, theirs.columns]

    def effects(psnr: pd.DataFrame) -> pd.DataFrame:
        """Segmented minus fully blurred training set, by network and pair, on each test set."""
        pairs = {
            f"{a}{part} - {a}{whole}": (a + part, a + whole)
            for a in "AG"
            for whole, part in PAIRS
            if a + part in psnr.index
        }
        return pd.DataFrame({name: psnr.loc[part] - psnr.loc[whole] for name, (part, whole) in pairs.items()})

    same = effects(ours) * effects(theirs) > 0
    alike = {kind: int(same.loc[list(sets)].to_numpy().sum()) for kind, sets in KINDS.items()}
    own = [sum(psnr[d].idxmax()[1:] == d for d in psnr) for psnr in (ours, theirs)]
    ranks = [ours[dataset].corr(theirs[dataset], method="spearman") for dataset in ours]
    return (
        "**Agreement.** Whether the segmented or the fully blurred training set gives the higher PSNR comes "
        f"out as in the thesis in {sum(alike.values())} of {same.size} comparisons: {alike['partly']} of "
        f"{same.size // 2} on partly blurred test sets and {alike['fully']} of {same.size // 2} on fully "
        f"blurred ones. The best model was trained on the test set's own kind of data on {own[0]} of "
        f"{len(ranks)} test sets (thesis: {own[1]}). The order of the eight models correlates with the "
        f"thesis's by {min(ranks):+.2f} to {max(ranks):+.2f} (Spearman, by test set)."
    )


def on_overfitting(histories: dict[str, pd.DataFrame]) -> str:
    """Best against last epoch of each run on the validation faces, from their histories."""
    rows = []
    for name, history in histories.items():
        psnr = history.set_index("epoch")["val_psnr"]
        rows.append((name, psnr.idxmax(), psnr.index[-1], psnr.max() - psnr.iloc[-1]))
    runs = pd.DataFrame(rows, columns=["run", "best", "epochs", "lost"]).set_index("run")
    late = runs["best"] > 0.9 * runs["epochs"]
    early = runs["best"] <= 0.5 * runs["epochs"]
    worst = runs["lost"].idxmax()
    halves = pd.DataFrame({name: second_half(history) for name, history in histories.items()}).T
    mean = halves.groupby(halves.index.str[0]).mean()
    learnt = "; ".join(
        f"{what}: training error {mean.loc[letter, 'training']:+.2f} dB, validation PSNR "
        f"{mean.loc[letter, 'validation']:+.2f} dB"
        for letter, what in (("A", "autoencoders"), ("G", "GANs"))
        if letter in mean.index
    )
    return (
        f"**Best epoch** (one training seed). {late.sum()} of {len(runs)} runs reach their highest "
        f"validation PSNR in the last tenth of their epochs and {early.sum()} in the first half. Stopping at "
        f"the best epoch instead of the last would gain {runs['lost'].mean():.2f} dB on average and at most "
        f"{runs['lost'].max():.2f} dB ({worst}, best at epoch {runs.loc[worst, 'best']} of "
        f"{runs.loc[worst, 'epochs']}). A run that is best at its end is not overfitted but unfinished. "
        "What the second half of the epochs "
        f"changes on average ({learnt}) tells the two apart: where training error falls and "
        "validation does not follow, a network learns its training faces by heart."
    )


def second_half(history: pd.DataFrame) -> dict[str, float]:
    """Change in dB of the pixel error on training faces and of validation PSNR, from the middle to the end.

    Means of up to `SMOOTH` epochs on both sides, since single epochs jump.
    """
    error = history["mse" if "mse" in history else "content"]
    count = min(SMOOTH, max(1, len(history) // 2))
    middle = slice(len(history) // 2 - count, len(history) // 2) if len(history) > 1 else slice(0, 1)
    before, after = (10 * np.log10(error.iloc[part].mean()) for part in (middle, slice(-count, None)))
    rise = history["val_psnr"].iloc[-count:].mean() - history["val_psnr"].iloc[middle].mean()
    return {"training": after - before, "validation": rise}


def on_epochs(table: pd.DataFrame, by_seed: pd.DataFrame, profile: Profile) -> str:
    """Longer training and mixed data, from Table 5.5 and the means of each training seed (`seed_means`)."""
    ours = table.xs("PSNR", axis=1, level=1)
    printed = thesis_results.printed_table("table_5_5", table).xs("PSNR", axis=1, level=1)
    psnr = by_seed.xs("psnr", axis=1, level=1)

    def changes(name: str, reference: str) -> str:
        """Mean over the test sets with its interval over training seeds, and the thesis's."""
        found = (psnr.loc[EPOCH_MODELS[name]] - psnr.loc[EPOCH_MODELS[reference]]).mean(axis=1)
        theirs = (printed.loc[name] - printed.loc[reference]).mean()
        return f"{interval_text(found.to_numpy())} on average (thesis: {theirs:+.2f} dB)"

    long, short = (epochs / profile.epochs for epochs in (profile.mixed_epochs, profile.short_mixed_epochs))
    seeds = psnr.loc["GSFB2"].shape[0]
    how = f" (in brackets 95 % t intervals over {seeds} training seeds)" if seeds > 1 else ""
    wins = (ours.loc["GSFB2_25"] > ours.loc["GSFB2_50"]).sum()
    best = ours.drop(index=INPUT_LABEL).idxmax()
    return (
        f"**Longer training**{how}. The half-way checkpoint has the higher PSNR on {wins} of {len(best)} "
        f"test sets (thesis: 4 of 4). The second half of the epochs changes PSNR by "
        f"{changes('GSFB2_50', 'GSFB2_25')}. Test scores that fall do not prove overfitting by themselves: "
        f"the curves of notebook 04 set training and validation side by side.\n\n"
        f"**Mixed data.** Against GSFB2_50, GSFB2_100 changes PSNR by {changes('GSFB2_100', 'GSFB2_50')} and "
        f"GSFB2_20 by {changes('GSFB2_20', 'GSFB2_50')}. But they trained {long:.1f} and {short:.1f} "
        f"times as long. Against GSFB2_25 ({profile.checkpoint_epoch} epochs, not "
        f"{profile.short_mixed_epochs}), GSFB2_20 changes it by {changes('GSFB2_20', 'GSFB2_25')}. "
        f"Best by test set: "
        f"{', '.join(f'{name} on {dataset}' for dataset, name in best.items())}. The mixed networks see the "
        f"four sets one after the other, SFB1 last, so what they learnt from the others can fade."
    )
