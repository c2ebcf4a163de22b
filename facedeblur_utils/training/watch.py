"""Watches a training run: adds up what its steps report, and tells in one line what goes wrong."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from torch import Tensor, nn

from facedeblur_utils.errors import StudyError
from facedeblur_utils.progress import Progress

SURE, SURE_EPOCHS = 0.9, 3  # a discriminator this sure for so many epochs leaves nothing to learn from
LOOK_EVERY = 16  # steps between looks at the sums: each look makes a GPU wait


class EpochLog:
    """Means of named values over the steps of one epoch, weighted equally (all batches have one size).

    The sums stay on the device; every `LOOK_EVERY` steps they are read for the progress line and checked.
    """

    def __init__(self, accelerator, progress: Progress, where: str, batch_size: int):
        self.accelerator, self.progress, self.where = accelerator, progress, where
        self.batch_size = batch_size
        self.sums: Tensor | None = None
        self.broken: Tensor | None = None  # by value: the first step at which it was not finite
        self.names: list[str] = []
        self.steps = self.seen = 0
        self.norms: dict[str, Tensor] = {}
        self.start = time.perf_counter()

    @property
    def looking(self) -> bool:
        return self.steps % LOOK_EVERY == 0

    def gradients(self, name: str, net: nn.Module, optimizer) -> None:
        """Note the gradients' norm after `backward`, at every look: it costs a pass over the weights."""
        if self.looking:
            self.accelerator.unscale_gradients(optimizer)
            grads = [p.grad for p in net.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(grads)
            self.norms[name] = self.norms.get(name, 0) + norm

    def step(self, values: dict[str, Tensor]) -> None:
        """Add one batch's values (scalars); raises StudyError where one is not finite."""
        stacked = torch.stack([value.detach() for value in values.values()]).double()
        if self.sums is None:
            self.sums, self.broken = torch.zeros_like(stacked), torch.full_like(stacked, torch.inf)
        self.sums = self.sums + stacked
        at = torch.where(stacked.isfinite(), torch.inf, self.steps)
        self.broken = torch.minimum(self.broken, at)
        self.names = list(values)
        if self.looking:
            note = f"{self.names[0]} {self._checked()[0] / (self.steps + 1):.4f}"
            self.progress.advance(self.steps * self.batch_size - self.seen, note)
            self.seen = self.steps * self.batch_size
        self.steps += 1

    def means(self) -> dict[str, float]:
        """The epoch's means over all processes, gradient norms, images/s and memory (MB)."""
        looks = (self.steps + LOOK_EVERY - 1) // LOOK_EVERY
        totals = self._checked()
        seconds = time.perf_counter() - self.start
        self.progress.advance(self.steps * self.batch_size - self.seen)
        values = dict(zip(self.names, (total / self.steps for total in totals), strict=True))
        values |= {name: float(norm) / looks for name, norm in self.norms.items()}
        values["seconds"] = seconds
        values["images_per_s"] = self.steps * self.batch_size / seconds
        values["memory_mb"] = memory_mb()
        return values

    def _checked(self) -> list[float]:
        sums = self.accelerator.reduce(self.sums, "mean").tolist()
        if not all(math.isfinite(value) for value in sums):
            raise StudyError(
                f"{self.where}: {self._first_broken()} became NaN or infinite; training stopped and the "
                "last good checkpoint is kept; try a lower learning rate or precision fp32"
            )
        return sums

    def _first_broken(self) -> str:
        """The term that broke first; one broken term soon breaks all others through the weights."""
        steps = self.broken.tolist()
        earliest = [name for name, step in zip(self.names, steps, strict=True) if step == min(steps)]
        # The loss itself is listed first and is a sum: its broken term says more.
        return earliest[min(1, len(earliest) - 1)]


def memory_mb() -> float:
    """Memory in use: the GPU's peak where there is one, else what this process holds now."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return psutil.Process().memory_info().rss / 1e6


class Interrupted(StudyError):
    """Ctrl-C or the notebook's stop button; the exit code is the shell's for it."""

    exit_code = 130


@contextmanager
def one_line(trainer) -> Iterator[None]:
    """Turn an interruption or a lack of memory inside the block into a StudyError that says what to do."""
    lacking = False
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"{trainer.run.name}: interrupted in epoch {trainer.epoch + 1} of {trainer.run.epochs}; "
            f"start again to go on after epoch {trainer.epoch}"
        ) from None
    except (RuntimeError, MemoryError) as error:
        lacking = _is_memory(error)
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = " ".join(str(error).split())[:160]
            raise StudyError(
                f"{trainer.run.name}: torch.compile failed ({reason}); set compile to false"
            ) from None
        if not lacking:
            raise
    if lacking:  # outside the handler, so that the failed step's tensors are gone
        size = trainer.profile.batch_size
        fits = largest_batch(trainer, size)
        advice = f"a batch of {fits} fits: set batch_size to it" if fits else "not even one image fits"
        raise StudyError(f"{trainer.run.name}: out of memory with batches of {size} images; {advice}")


def largest_batch(trainer, size: int) -> int:
    """The first of half, a quarter, ... of `size` images that a step has memory for; 0 where none."""
    while size > 1:
        size //= 2
        try:
            _step_on_nothing(trainer, size)
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


def _step_on_nothing(trainer, size: int) -> None:
    """Forward and backward through all of the run's networks, on black images."""
    side = trainer.profile.image_size
    output = trainer.restorer(torch.zeros(size, 3, side, side, device=trainer.accelerator.device))
    loss = output.mean()
    if trainer.perceptual:
        loss = loss + trainer.perceptual(output).float().mean()
    for name, net in trainer.nets.items():
        if name == "discriminator":
            loss = loss + trainer.accelerator.unwrap_model(net)(output).mean()
    loss.backward()


def _is_memory(error: Exception) -> bool:
    text = str(error)
    cpu = "allocate memory" in text or "not enough memory" in text
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or cpu
