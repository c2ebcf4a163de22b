"""What each file of the literature holds: columns, types, allowed values, number of rows."""

from dataclasses import dataclass, field

LEVELS = ("Low", "Medium", "High")
NONE = "None"  # a loss of Table 2.8: printed as this word, which is more than silence


@dataclass(frozen=True)
class Column:
    """One column. `kind`: text, whole, number, yes_no or key (of a reference); `many`: a list of them.

    An empty cell means that the thesis says nothing; only columns that are not `required` may have one.
    """

    kind: str = "text"
    required: bool = True
    many: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One CSV file. `printed` counts the rows and columns of the thesis's table, below its header.

    `reworded` names the printed columns whose cells are in our words; all others are the thesis's, to the
    letter. `parallel` names list columns of equal length: their n-th elements belong together.
    """

    file: str
    title: str
    rows: int
    columns: dict[str, Column]
    printed: tuple[int, int] | None = None
    reworded: tuple[str, ...] = ()
    parallel: tuple[tuple[str, ...], ...] = field(default=())


TEXT = Column()
NOTE = Column(required=False)
TEXTS = Column(many=True)
NOTES = Column(many=True, required=False)
WHOLE = Column("whole")
COUNT = Column("whole", required=False)
COUNTS = Column("whole", required=False, many=True)
NUMBER = Column("number")
VALUE = Column("number", required=False)
VALUES = Column("number", required=False, many=True)
YES_NO = Column("yes_no")
KEY = Column("key")
SOURCE = Column("key", required=False)
LEVEL = Column(choices=LEVELS)

NUMBERED = {"number": WHOLE}
PAPER = {"number": WHOLE, "reference": TEXT, "key": KEY}
TOPICS = ("problem", "models", "pros_and_cons", "comparison", "datasets", "losses", "metrics")
MEASURES = {
    "psnr_db": "PSNR",
    "ssim": "SSIM",
    "ms_ssim": "MSSSIM",
    "biqa": "BIQA",
    "lpips": "LPIPS",
    "nme": "NME",
    "cdv": "CDV",
    "cpbdm": "CPBDM",
    "mdm": "MDM",
    "wew": "WEW",
    "psnr_gain_db": "gain in PSNR (dB)",
    "mprnet_gain_db": "gain in MPRNet (dB)",
}

TABLES = {
    "1.1": Table(
        "table_1_1",
        "Face restoration tasks and what causes each",
        11,
        NUMBERED | dict(task=TEXT, cause=TEXT),
        (3, 6),
    ),
    "1.2": Table(
        "table_1_2",
        "Research questions with their objectives and goals",
        7,
        NUMBERED | dict(code=TEXT, question=TEXT, objectives=TEXTS, goal=TEXT),
        (7, 3),
        ("Research question", "Objectives", "Goal"),
    ),
    "2.1": Table(
        "table_2_01",
        "What was extracted from the surveys",
        4,
        NUMBERED | dict(item=TEXT),
        (4, 2),
        ("Data item",),
    ),
    "2.2": Table(
        "table_2_02",
        "The surveys found",
        9,
        PAPER | dict(year=WHOLE, title=TEXT, content=TEXT),
        (9, 5),
        ("Content",),
    ),
    "2.3": Table(
        "table_2_03", "Topics that each survey covers", 9, PAPER | dict.fromkeys(TOPICS, YES_NO), (9, 8)
    ),
    "2.4": Table(
        "table_2_04",
        "Criteria of exclusion and inclusion",
        9,
        NUMBERED
        | dict(kind=Column(choices=("exclusion", "inclusion")), code=TEXT, printed_code=TEXT, criterion=TEXT),
        (5, 2),
        ("Exclusion", "Inclusion"),
    ),
    "2.5": Table(
        "table_2_05",
        "What was extracted from the articles, and for which research question",
        11,
        NUMBERED | dict(questions=TEXTS, item=TEXT),
        (11, 3),
        ("Data item",),
    ),
    "2.6": Table(
        "table_2_06",
        "The ten articles and what they are about",
        10,
        PAPER | dict(year=WHOLE, title=TEXT, goal=TEXT, target=Column(choices=("faces", "general"))),
        (10, 6),
        ("Goal", "Target images"),
    ),
    "2.7": Table(
        "table_2_07",
        "Data, models and reported measures of the ten articles",
        10,
        PAPER
        | dict(datasets=NOTES, roles=NOTE, model=TEXT, improvement=TEXT, heading=NOTE)
        | dict(printed_measures=NOTES, measured_on=NOTE)
        | dict.fromkeys(MEASURES, VALUE),
        (10, 5),
        ("Datasets", "Model", "Improvements"),
    ),
    "2.8": Table(
        "table_2_08",
        "How nine of the articles made their data and trained",
        9,
        PAPER
        | dict(creation=TEXT, datasets=NOTES, images=COUNTS, sharp_images=COUNTS, kernels=COUNTS)
        | dict(kernel_sizes_px=COUNTS, kernel_min_px=COUNT, kernel_max_px=COUNT, angle_deg=VALUE)
        | dict(image_size_px=COUNT, patch_size_px=COUNT, noise=NOTES, noise_sigma=VALUE)
        | dict(noise_min_percent=VALUE, noise_max_percent=VALUE, losses=TEXTS, training=NOTE)
        | dict(optimizers=NOTES, learning_rates=VALUES, final_learning_rate=VALUE, momentum=VALUE)
        | dict(weight_decay=VALUE, beta1=VALUE, beta2=VALUE, batch_size=COUNT, epochs=COUNTS)
        | dict(hours=VALUE, software=NOTE, environment=NOTE, hardware=NOTES),
        (9, 5),
        ("Making of the data", "Losses", "Training", "Environment"),
        (
            *(("datasets", column) for column in ("images", "sharp_images", "kernels")),
            ("optimizers", "learning_rates"),
        ),
    ),
    "2.9": Table(
        "table_2_09",
        "Loss functions compared",
        12,
        NUMBERED
        | dict(loss=TEXT, key=SOURCE, description=TEXT, strengths=TEXT, weaknesses=TEXT)
        | dict(cost=LEVEL, cost_note=NOTE, detail=LEVEL, detail_note=NOTE),
        (12, 6),
        ("Description", "Strengths", "Weaknesses", "Cost", "Facial detail"),
    ),
    "2.10": Table(
        "table_2_10",
        "Evaluation metrics compared",
        13,
        NUMBERED
        | dict(metric=TEXT, key=SOURCE, range_low=NUMBER, range_high=NUMBER, unit=NOTE)
        | dict(higher_means=Column(choices=("Better", "Worse")), strengths=TEXT, weaknesses=TEXT)
        | dict(best_for=TEXT, noise_sensitivity=LEVEL, pretrained=YES_NO),
        (11, 8),
        ("Strengths", "Weaknesses", "Best for"),
    ),
    "prisma": Table(
        "prisma",
        "Searches of the two reviews",
        8,
        dict(review=Column(choices=("articles", "surveys")), source=TEXT, date=NOTE, query=NOTE, fields=NOTE)
        | dict(years=NOTE, found=COUNT, excluded=COUNT, read=WHOLE),
    ),
    "structure": Table(
        "structure",
        "Chapters and steps of the thesis",
        9,
        NUMBERED | dict(chapter=WHOLE, step=TEXT, content=TEXTS, leads_to=COUNTS),
    ),
    "errata": Table(
        "errata",
        "Where the thesis contradicts itself or stays silent",
        63,
        NUMBERED | dict(where=TEXT, finding=TEXT, handling=TEXT),
    ),
    "implementations": Table(
        "implementations",
        "Where each loss of Table 2.9, metric of Table 2.10 and further measure of Table 2.7 can be called",
        28,
        dict(table=Column(choices=("2.7", "2.9", "2.10")), number=WHOLE, item=TEXT, object=NOTE, note=NOTE),
    ),
}
