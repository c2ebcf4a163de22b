"""Sharp faces from a dataset of the Hugging Face hub (optional: `pip install facedeblur-utils[hub]`)."""

from facedeblur_utils.data.source_files import Item, Source
from facedeblur_utils.errors import StudyError


def hub_source(name: str) -> Source:
    """All images of one split of a hub dataset: `owner/dataset` or `owner/dataset:split` (default train).

    Ids are positions in six digits. The images are taken as they come: which of them belong to CelebA's
    official parts isn't known here, and a note says so. Raises StudyError without the `datasets` library,
    for a dataset that can't be had or has no column of images.
    """
    try:
        import datasets
    except ImportError:
        raise StudyError(
            "a hub source needs the library 'datasets': pip install 'facedeblur-utils[hub]'"
        ) from None
    name, _, split = name.partition(":")
    split = split or "train"
    try:
        table = datasets.load_dataset(name, split=split)
    except Exception as error:  # the library raises many kinds, for network, name, split and format
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"hub dataset '{name}', split '{split}', can't be opened: {reason}") from None
    columns = [c for c, kind in table.features.items() if isinstance(kind, datasets.Image)]
    if not columns:
        raise StudyError(
            f"hub dataset '{name}' has no column of images; columns: {', '.join(table.features)}"
        )
    table = table.cast_column(columns[0], datasets.Image(decode=False))

    def read(item: Item) -> bytes:
        image = table[int(item.image_id)][columns[0]]
        if image["bytes"]:
            return image["bytes"]
        with open(image["path"], "rb") as file:
            return file.read()

    # Sizes would need every image; the library's fingerprint changes with the content instead.
    items = [Item(f"{n:06d}", f"{name}[{n}]", 0) for n in range(len(table))]
    notes = [
        f"column '{columns[0]}' of split '{split}', fingerprint {table._fingerprint}",
        "order and parts are the hub dataset's own, not CelebA's official ones",
    ]
    return Source(f"hub dataset {name}, split {split}", items, read, notes)
