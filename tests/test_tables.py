"""Exported tables: what each form holds, escaping, bold cells, and the same bytes twice."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.tables import export_table, latex_text, minus_signs

COLUMNS = pd.MultiIndex.from_product([["SFB1", "SB1SD"], ["PSNR", "SSIM"]])


@pytest.fixture
def paths(tmp_path):
    return RunPaths("study", tmp_path)


@pytest.fixture
def scores():
    values = [[26.223, 0.7491, 24.4925, 0.7269], [24.6737, 0.6945, np.nan, 0.7225]]
    return pd.DataFrame(values, index=pd.Index(["ASFB1", "GSFB2_25"], name="Models"), columns=COLUMNS)


def test_three_forms(paths, scores):
    csv, tex, md = export_table(scores, "table_5_4", "Scores, 5 % & more", paths, bold=scores == scores.max())
    assert [path.name for path in (csv, tex, md)] == ["table_5_4.csv", "table_5_4.tex", "table_5_4.md"]
    again = pd.read_csv(csv, index_col="Models")
    assert list(again.columns) == ["SFB1 PSNR", "SFB1 SSIM", "SB1SD PSNR", "SB1SD SSIM"]
    np.testing.assert_allclose(again.to_numpy(), scores.to_numpy())
    latex = tex.read_text()
    assert r"Models & \multicolumn{2}{c}{SFB1} & \multicolumn{2}{c}{SB1SD} \\" in latex
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}" in latex
    assert r"ASFB1 & \bfseries 26.2230 & \bfseries 0.7491 & \bfseries 24.4925 & \bfseries 0.7269 \\" in latex
    assert r"GSFB2\_25 & 24.6737 & 0.6945 & {--} & 0.7225 \\" in latex
    assert r"\caption{Scores, 5 \% \& more}\label{tab:table_5_4}" in latex
    assert "S[table-format=2.4]S[table-format=1.4]" in latex
    assert "| ASFB1 | **26.2230** |" in md.read_text()
    facts = json.loads((paths.captions / "table_5_4.json").read_text())
    assert (facts["kind"], facts["caption"], facts["profile"]) == ("table", "Scores, 5 % & more", "study")


def test_shortened_runs_say_so_in_every_caption(tmp_path, scores):
    paths = RunPaths("sample", tmp_path)
    _, tex, md = export_table(scores, "table_5_4", "Scores", paths)
    for text in (tex.read_text(), md.read_text()):
        assert "profile sample: not a result of the study" in text


def test_same_bytes_twice(paths, scores):
    first = [path.read_bytes() for path in export_table(scores, "table_5_4", "Scores", paths)]
    assert first == [path.read_bytes() for path in export_table(scores, "table_5_4", "Scores", paths)]


def test_plain_index_text_columns_and_bars(paths):
    frame = pd.DataFrame({"Parameter": ["Loss", "a|b"], "Value": ["MSE + 0.001 × VGG_19", "50"]})
    csv, tex, md = export_table(frame, "table_4_1", "Details", paths)
    assert csv.read_text().splitlines()[0] == "Parameter,Value"
    assert r"Loss & MSE + 0.001 $\times$ VGG\_19 \\" in tex.read_text()
    assert r"\begin{tabular}{ll}" in tex.read_text()
    assert r"| a\|b | 50 |" in md.read_text()


def test_unescaped_and_long(paths):
    frame = pd.DataFrame({"Paper": [r"Nah et al. \cite{nah2017}"]})
    text = export_table(
        frame, "table_2_03", "Papers", paths, escape=False, longtable=True, column_format="p{5cm}"
    )[1].read_text()
    assert r"\cite{nah2017} \\" in text
    assert r"\begin{longtable}{p{5cm}}" in text and r"\end{longtable}" in text


def test_infinite_and_negative_numbers(paths):
    frame = pd.DataFrame({"gain": [-3.25, np.inf]})
    _, tex, md = export_table(frame, "table_x_gain", "Gain", paths, decimals=2)
    assert r"{$\infty$} \\" in tex.read_text()
    assert "S[table-format=-1.2]" in tex.read_text()
    assert "| −3.25 |" in md.read_text() and "| ∞ |" in md.read_text()


def test_bold_of_another_shape_is_refused(paths, scores):
    with pytest.raises(ValueError, match="bold has shape"):
        export_table(scores, "table_5_4", "Scores", paths, bold=scores.iloc[:1].isna())


def test_latex_text_escapes_every_special_letter():
    assert latex_text(r"50% of a_b & {c} #1 $x$ \n ~^") == (
        r"50\% of a\_b \& \{c\} \#1 \$x\$ \textbackslash{}n \textasciitilde{}\textasciicircum{}"
    )


def test_negative_numbers_get_a_minus_sign_and_other_hyphens_stay(paths):
    text = "GSB1SD - GSFB1: -0.25 to -.5 (-3), in 2019-2024 and blue-2, 05-1"
    assert minus_signs(text) == "GSB1SD - GSFB1: −0.25 to −.5 (−3), in 2019-2024 and blue-2, 05-1"
    frame = pd.DataFrame({"change": ["-0.25 ± 0.10"], "value": [-1.5]})
    _, tex, md = export_table(frame, "table_x_signs", "Signs", paths)
    assert "| −0.25 ± 0.10 | −1.5000 |" in md.read_text()
    # siunitx prints a hyphen in its own columns as a minus sign, and takes nothing else.
    assert r"$-$0.25 $\pm$ 0.10 & -1.5000 \\" in tex.read_text()


def wide_table() -> pd.DataFrame:
    heads = [f"{where} of SB{n}SD" for where in ("background", "whole image") for n in range(8)]
    return pd.DataFrame([["+1.70 ± 0.09"] * len(heads)] * 2, index=["first", "second"], columns=heads)


def test_long_heads_are_broken_and_wide_tables_fitted(paths):
    _, tex, _ = export_table(wide_table(), "table_x", "Wide", paths)
    assert r"{\shortstack{background\\of SB0SD}} & {" in tex.read_text()
    assert r"\resizebox{\ifdim\width>\linewidth" in tex.read_text()
    narrow = wide_table().iloc[:, :2]
    _, tex, _ = export_table(narrow, "table_x", "Narrow", paths)
    assert "resizebox" not in tex.read_text() and "scriptsize" not in tex.read_text()
    # Few columns may be wide too: by their letters, not by their number.
    _, tex, _ = export_table(narrow.replace("+1.70 ± 0.09", "a" * 60), "table_x", "Long", paths)
    assert r"\scriptsize" in tex.read_text() and "resizebox" in tex.read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_a_wide_table_stays_within_the_page(paths, tmp_path):
    _, tex, _ = export_table(wide_table(), "table_x", "Wide", paths)
    document = r"""\documentclass[11pt,a4paper]{article}
\usepackage[margin=2.5cm]{geometry}\usepackage{booktabs,graphicx,siunitx,longtable}
\begin{document}\input{table}\end{document}"""
    shutil.copy(tex, tmp_path / "table.tex")
    (tmp_path / "main.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "Overfull" not in done.stdout
