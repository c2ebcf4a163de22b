"""The published study is whole and agrees with itself; the README quotes the numbers that it points to."""

import json
import re

import pandas as pd
import pytest

from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.fingerprints import file_sha256
from facedeblur_utils.paths import BELOW_INPUT, EXPECTED, NOTEBOOKS, ROOT, RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import architecture_results, kind_results, loss_results, result_tables
from facedeblur_utils.running import verify
from facedeblur_utils.running.pipeline import FIGURES, TABLES
from facedeblur_utils.tools import readme_results
from facedeblur_utils.training.experiments import LEARNT_FROM

README = (ROOT / "README.md").read_text(encoding="utf-8")
PUBLISHED = RunPaths("study").figures
RESULTS = ("02", "05", "06", "07", "13")  # notebooks that link their published figures
CHANGES = {"loss: its pixel term alone": "pixel term of the loss alone"}  # README -> below_input.csv


def table_after(heading: str) -> list[list[str]]:
    """Body rows of the first pipe table below `heading`."""
    lines = README.split(f"## {heading}\n", 1)[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" `*") for cell in line.strip("|").split("|")])
    return rows


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_experiments_are_those_of_their_file():
    gains = pd.read_csv(BELOW_INPUT).set_index(["change", "network"])["gain in PSNR"]
    rows = table_after("What holds the thesis's networks back")
    assert len(rows) >= 8
    for change, *cells in rows:
        for network, cell in zip(("autoencoder", "gan"), cells, strict=True):
            key = (CHANGES.get(change, change), network)
            assert (key in gains.index) == bool(cell), key
            if cell:
                assert number(cell) == pytest.approx(gains[key]), key


def test_gains_of_physics_are_those_of_their_file():
    gains = pd.read_csv(PUBLISHED / "tables" / "table_x_physics.csv", index_col=0)
    methods = ["published restorer", "physics, blind", "with refinement", "physics, true kernel"]
    rows = table_after("Your own photo")
    assert [row[0] for row in rows] == list(gains.index)
    for name, blurred, *cells in rows:
        assert number(blurred) == pytest.approx(gains.loc[name, "blurred PSNR"], abs=0.06)
        for method, cell in zip(methods, cells, strict=True):
            said = [number(value) for value in re.findall(r"[+−]\d+\.\d", cell)]
            assert said == pytest.approx(
                [gains.loc[name, f"{method} {of}"] for of in ("mean", "worst")], abs=0.06
            )


def test_gains_by_kind_of_blur_are_those_of_their_file():
    gains = pd.read_csv(EXPECTED / "kind_gains.csv")
    assert sorted(gains["seed"].unique()) == [1, 2, 3]
    means = kind_results.matrix(gains)
    unseen = kind_results.carried(gains).groupby("training")["gain"].agg(["mean", "std"])
    rows = table_after("Which blur to train on?")
    assert [row[0] for row in rows] == [kind_results.WORDS[name] for name in means.index]
    tests = ["line", "line_light", "camera", "frames_light_noise", "line_face"]
    for training, (_, carried, *cells) in zip(means.index, rows, strict=True):
        said = [number(cell) for cell in cells]
        assert said == pytest.approx(means.loc[training, tests].tolist(), abs=0.0051)
        if training in unseen.index:
            assert [number(part) for part in carried.split(" ± ")] == pytest.approx(
                unseen.loc[training].tolist(), abs=0.0051
            )


def test_changes_by_loss_are_those_of_their_file():
    scores = pd.read_csv(EXPECTED / "loss_scores.csv")
    assert sorted(scores["seed"].unique()) == [0, 1, 2, 3]  # 0: the blurred input
    table = loss_results.change_table(scores)
    columns = [f"{letter}: {name}" for letter in "NA" for name in ("PSNR", "NME", "distance")]
    said = {row[0]: [cell.replace("−", "-") for cell in row[1:]] for row in table_after("Which loss?")[1:]}
    assert said == {term: row[["alone (dB)", *columns]].tolist() for term, row in table.iterrows()}


def test_gains_by_network_are_those_of_their_file():
    gains = pd.read_csv(EXPECTED / "architecture_gains.csv")
    assert sorted(gains["seed"].unique()) == [1, 2, 3]
    of = gains.groupby(["network", "dataset"])["gain"].agg(["mean", "std"])
    costs = architecture_results.costs(load_profile("architectures")).round()
    rows, networks = table_after("Which network?"), list(gains["network"].unique())
    assert [row[0] for row in rows] == [architecture_results.words(name) for name in networks]
    for network, (_, parameters, adds, first, second, third, fourth) in zip(networks, rows, strict=True):
        assert [float(parameters), float(adds)] == costs.loc[network].tolist()
        for dataset, cell in zip(DATASETS, (first, second, third, fourth), strict=True):
            found = [number(part) for part in cell.split(" ± ")]
            assert found == pytest.approx(of.loc[network, dataset].tolist(), abs=0.0051)


def published_scores() -> pd.DataFrame:
    """Of the run that was published, and of the kept seeds that its tables count in."""
    seeds = pd.read_csv(PUBLISHED / "tables" / "table_x_trainings.csv")["seed"].tolist()
    parts = [pd.read_csv(PUBLISHED / "scores.csv.gz")]
    for seed in seeds[1:]:
        part = pd.read_csv(EXPECTED / "seeds" / "study" / f"seed_{seed}.csv.gz")
        parts.append(part.assign(model=part["model"] + f".seed{seed}"))
    return pd.concat(parts)


def test_results_are_written_from_what_is_published():
    assert readme_results.renewed(README) == README


def test_results_are_those_of_the_published_scores():
    scores, more = published_scores(), pd.read_csv(PUBLISHED / "restorer_scores.csv.gz")
    seeds = scores["model"].str.extract(r"(\w+)\.seed\d+")[0]
    several = set(seeds.dropna())
    scores = pd.concat([scores, more[more["model"].str.startswith("N")]])
    psnr = result_tables.mean_scores(scores).xs("PSNR", axis=1, level=1)
    rows = {row[0].split()[-1]: row[1:] for row in table_after("Results")}  # "GAN GSFB1", "blurred input"
    assert [model for model in rows if model[0] in "AG"] == result_tables.MODELS
    for model, cells in rows.items():
        for dataset, cell in zip(psnr.columns, cells, strict=True):
            value, spread, gain = re.fullmatch(r"([\d.]+)( ± [\d.]+)?(?: \((.*)\))?", cell).groups()
            assert bool(spread) == (model in several)
            assert number(value) == pytest.approx(psnr.loc[model, dataset], abs=0.0051), (model, dataset)
            assert bool(gain) == (model != "input")
            if gain:
                expected = psnr.loc[model, dataset] - psnr.loc["input", dataset]
                assert number(gain) == pytest.approx(expected, abs=0.0051), (model, dataset)


def test_sizes_are_those_of_the_published_study():
    profile, discussion = load_profile("study"), (PUBLISHED / "discussion_05.md").read_text(encoding="utf-8")
    trained_on = re.search(r"trains on (\d+) faces", discussion)[1]
    tested = published_scores()["image_id"].nunique()
    text = " ".join(README.split())
    for said in (
        f"**The answer so far** ({tested} test faces,",
        f"PSNR in dB on {tested} test faces",
        f"faces at {profile.image_size} px, {profile.epochs} epochs)",
        f"{trained_on} faces to train on; a GAN with {profile.gan_width} filters;",
        f"The GAN has {profile.gan_width} filters in `study`",
    ):
        assert said in text


def test_all_tables_and_figures_are_published():
    wanted = [
        PUBLISHED / folder / f"{name}.{kind}"
        for group, folder, kinds in ((TABLES, "tables", ("csv", "tex", "md")), (FIGURES, "", ("png", "pdf")))
        for names in group.values()
        for name in names
        for kind in kinds
    ]
    assert len(wanted) == 19 * 3 + 23 * 2
    assert not [path for path in wanted if not path.is_file()]
    assert not [path for path in PUBLISHED.rglob("*") if "partial" in path.name]


def test_published_scores_are_the_recorded_ones():
    expected = json.loads(verify.expected_file(load_profile("study")).read_text(encoding="utf-8"))["values"]
    by_seed = verify.means(published_scores()).reset_index()
    by_seed["model"] = by_seed["model"].str.split(".").str[0]
    means = by_seed.groupby(verify.KEYS)["value"].mean()
    assert {"/".join(key) for key in means.index} == set(expected)
    recorded = [expected["/".join(key)]["value"] for key in means.index]
    assert means.to_numpy() == pytest.approx(recorded, abs=1e-5)


def test_published_files_are_those_of_the_published_manifest():
    file = verify.expected_file(load_profile("study"))
    manifest = json.loads(file.with_name("study_manifest.json").read_text(encoding="utf-8"))
    outputs = {k: v for stage in manifest["stages"].values() for k, v in stage["outputs"].items()}
    published = {name: digest for name, digest in outputs.items() if name.startswith("figures/study/")}
    assert len(published) > 150
    assert not [name for name, digest in published.items() if file_sha256(ROOT / name) != digest]


def test_published_tables_are_made_of_the_published_scores():
    kept = pd.read_csv(PUBLISHED / "tables" / "table_5_4.csv", index_col=0)
    computed = result_tables.table_5_4(published_scores())
    assert kept.index.tolist() == computed.index.tolist()
    assert kept.to_numpy() == pytest.approx(computed.to_numpy(), abs=1e-5)


def test_what_it_links_to_exists():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links and not [link for link in links if not (ROOT / link).exists()]


def linked_figures(notebook) -> list[str]:
    """Addresses of the pictures in the Markdown cells below code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = []
    for above, cell in zip(cells, cells[1:], strict=False):
        if "published" in cell["metadata"].get("tags", []):
            assert above["cell_type"] == "code", cell["id"]
            found += re.findall(r"!\[[^]]+\]\(([^)]+)\)", "".join(cell["source"]))
    return found


def test_results_notebooks_link_the_published_figures():
    links = {path: linked_figures(path) for n in RESULTS for path in NOTEBOOKS.glob(f"{n}_*.ipynb")}
    assert not [link for path, found in links.items() for link in found if not (path.parent / link).is_file()]
    linked = [(path.parent / link).resolve() for path, found in links.items() for link in found]
    assert len(linked) == len(set(linked))
    file = verify.expected_file(load_profile("study")).with_name("study_manifest.json")
    stages = json.loads(file.read_text(encoding="utf-8"))["stages"]
    made = {ROOT / k for name, stage in stages.items() if name[:2] in RESULTS for k in stage["outputs"]}
    figures = {path for path in made if path.parent == PUBLISHED and path.suffix == ".png"}
    assert len(figures) >= 40 and not figures - set(linked)


def said_under(heading: str) -> str:
    """What the README says below `heading`, in one line."""
    return " ".join(README.split(f"## {heading}\n", 1)[1].split("\n## ")[0].split())


def test_what_is_said_of_kinds_of_blur_follows_from_their_file():
    gains = pd.read_csv(EXPECTED / "kind_gains.csv")
    said, means = said_under("Which blur to train on?"), kind_results.matrix(gains)
    far = kind_results.carried(gains).pivot(index="seed", columns="training", values="gain")
    motions = ["line", "trajectory", "spline", "gaussian_process", "shake"]
    assert "lie within 0.15 dB of each other" in said
    assert far[motions].mean().max() - far[motions].mean().min() < 0.155
    light, values = (
        means.loc[name, ["camera", "frames_light_noise"]].mean() for name in ("line_light", "line")
    )
    assert f"lines in light gain {light:.1f} dB and lines in stored values {values:.1f} dB" in said
    noisy = means["frames_light_noise"]
    assert f"the whole pipeline gains {noisy['camera']:.1f} dB" in said
    assert f"lines in light without noise gain {noisy['line_light']:.1f}" in said
    head, face = (far["line"].mean() - far[name].mean() for name in ("line_head", "line_face"))
    assert f"the head alone costs {head:.2f} dB, the face alone {face:.2f} dB" in said
    single = [name for name in BLURS if name not in kind_results.NOT_MOTION]
    spread = far[single].std(axis=1).mean()
    assert f"a standard deviation of {spread:.2f} dB among eight kinds" in said and len(single) == 8
    assert f"({means.loc['line_face', 'line_face']:+.2f} against " in said
    unseen = gains[~gains["test"].isin([*LEARNT_FROM, "disc", "gaussian", "line_head", "line_face", "sharp"])]
    by_seed = unseen.pivot_table(index="seed", columns="training", values="gain")
    less = by_seed["five"] - by_seed["learnt"]
    assert f"gains {less.mean():.2f} ± {less.std():.2f} dB less on unseen blur" in said


def test_what_is_said_of_losses_and_networks_follows_from_their_files():
    scores = pd.read_csv(EXPECTED / "loss_scores.csv")
    said = said_under("Which loss?")
    changes = loss_results.differences(scores).groupby(["network", "term", "metric"])["value"]
    mean, spread = changes.mean(), changes.std()
    for key, unit, digits in (
        (("A", "heatmap", "landmark_error"), "points", 2),
        (("N", "identity", "distance"), "", 3),
        (("N", "facial_structure", "face_psnr"), "dB", 2),
    ):
        factor = 100 if unit == "points" else 1
        value = f"{factor * mean[key]:.{digits}f} ± {factor * spread[key]:.{digits}f} {unit}".strip()
        assert value in said, key
    for letter, network in (("A", "autoencoder"), ("N", "restorer")):
        key = (letter, "landmark", "landmark_error")
        assert f"{network} {100 * mean[key]:+.2f} ± {100 * spread[key]:.2f}" in said
    assert mean[:, "adversarial", "psnr"].max() < 0 and mean[:, "relativistic", "psnr"].max() < 0
    assert mean[:, "adversarial", "distance"].max() < 0 and mean["A", "adversarial", "brisque"] > 0
    key = ("A", "adversarial", "distance")
    assert f"−{-mean[key]:.3f} ± {spread[key]:.3f}" in said
    psnr = scores[scores["metric"] == "psnr"].groupby("loss")["value"].mean()
    assert psnr["N_l1"] - psnr["N_unsupervised"] < 0.3 and "comes within 0.3 dB" in said
    means = pd.read_csv(EXPECTED / "architecture_gains.csv").groupby("network")["gain"].mean()
    assert set(means.nlargest(2).index) == {"attention", "dense"}
    said = said_under("Which network?")
    for judged in ("patch_judge", "part_judge"):
        assert f"costs it {means['restorer'] - means[judged]:.1f} dB" in said
    adds = architecture_results.costs(load_profile("architectures"))["multiply-adds (M)"]
    assert adds[["attention", "dense"]].mean() / adds["restorer"] == pytest.approx(4, abs=0.5)
