"""What can go wrong with a training run while it runs, told in one line each."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from facedeblur_utils.errors import StudyError

SURE, SURE_EPOCHS = 0.9, 3  # a discriminator this sure for so many epochs leaves nothing to learn from


class Interrupted(StudyError):
    """Ctrl-C or the notebook's stop button; the exit code is the shell's for it."""

    exit_code = 130


@contextmanager
def one_line(job) -> Iterator[None]:
    """Turn an interruption or a lack of memory inside the block into a StudyError that says what to do."""
    lacking = False
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"{job.run.name}: interrupted in epoch {job.epoch + 1} of {job.run.epochs}; "
            f"start again to go on after epoch {job.epoch}"
        ) from None
    except (RuntimeError, MemoryError) as error:
        lacking = _is_memory(error)
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = " ".join(str(error).split())[:160]
            raise StudyError(
                f"{job.run.name}: torch.compile failed ({reason}); set compile to false"
            ) from None
        if not lacking:
            raise
    if lacking:  # outside the handler, so that the failed step's tensors are gone
        size = job.profile.batch_size
        fits = largest_batch(job, size)
        advice = f"a batch of {fits} fits: set batch_size to it" if fits else "not even one image fits"
        raise StudyError(f"{job.run.name}: out of memory with batches of {size} images; {advice}")


def largest_batch(job, size: int) -> int:
    """The first of half, a quarter, ... of `size` images that a step has memory for; 0 where none."""
    while size > 1:
        size //= 2
        try:
            _step_on_nothing(job, size)
            return size
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return 0


def discriminator_wins(history: list[dict]) -> bool:
    """True where it told sharp from deblurred almost always in each of the last epochs of `history`."""
    rows = history[-SURE_EPOCHS:]
    return len(rows) == SURE_EPOCHS and all(
        row.get("d_real", 0) > SURE and row.get("d_fake", 1) < 1 - SURE for row in rows
    )


def _step_on_nothing(job, size: int) -> None:
    """Forward and backward through all of the run's networks, on black images."""
    side = job.profile.image_size
    output = job.restorer(torch.zeros(size, 3, side, side, device=job.accelerator.device))
    loss = output.mean()
    if job.perceptual:
        loss = loss + job.perceptual(output).float().mean()
    for name, net in job.nets.items():
        if name == "discriminator":
            loss = loss + job.accelerator.unwrap_model(net)(output).mean()
    loss.backward()


def _is_memory(error: Exception) -> bool:
    text = str(error)
    cpu = "allocate memory" in text or "not enough memory" in text
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or cpu
