"""The datasets of the study, one row each: which blur, where it is laid, which other dataset has it too."""

from dataclasses import dataclass

from facedeblur_utils.profiles import Profile


@dataclass(frozen=True)
class Dataset:
    """Sharp faces, and the same with a blur laid everywhere or under a mask."""

    name: str
    blur: int  # number of the draw: datasets with the same one have the same kernel for the same face
    mask: str  # `head` or `face`, where the blur is laid; empty: everywhere
    partner: str  # the dataset that it is compared with, of the same blur

    @property
    def whole(self) -> str:
        """The dataset that has this blur everywhere."""
        return self.partner if self.mask else self.name

    def stored(self, profile: Profile) -> bool:
        """False where its blurred pictures are composed on reading from `whole`, sharp faces and masks.

        It halves what pasted datasets take on disk.
        """
        return not self.mask or profile.composite != "paste" or profile.noise > 0


DATASETS = {
    row.name: row
    for row in (  # in the order of the thesis's tables
        Dataset("SFB1", blur=1, mask="", partner="SB1SD"),
        Dataset("SB1SD", blur=1, mask="head", partner="SFB1"),
        Dataset("SFB2", blur=2, mask="", partner="SB2SM"),
        Dataset("SB2SM", blur=2, mask="face", partner="SFB2"),
    )
}
RECIPE_KEYS = (  # of the profile: they decide the bytes of the datasets
    "image_size", "first_number", "align", "limit", "split", "smallest_face", "blur_kind", "blur_length",
    "blur_gamma", "noise", "head_region", "face_region", "composite", "seed",
)  # fmt: skip
SOURCE_KEYS = ("source", "mapping_file", "identity_file")  # which faces; a recipe holds what they lead to
DRAWS = sorted({row.blur for row in DATASETS.values()})
MASKS = ("head", "face")
PAIRS = tuple((row.whole, row.name) for row in DATASETS.values() if row.mask)
