"""Adds up what one epoch's steps report: loss terms, gradient norms, throughput; stops at NaN."""

import resource
import time

import torch
from torch import Tensor, nn

from facedeblur_utils.errors import StudyError
from facedeblur_utils.progress import Progress

LOOK_EVERY = 16  # steps between looks at the sums: each look makes a GPU wait


class EpochLog:
    """Means of named values over the steps of one epoch, weighted equally (all batches have one size).

    The sums stay on the device; every `LOOK_EVERY` steps they are read for the progress line and checked.
    """

    def __init__(self, accelerator, progress: Progress, where: str, batch_size: int):
        self.accelerator, self.progress, self.where = accelerator, progress, where
        self.batch_size = batch_size
        self.sums: Tensor | None = None
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
        self.sums = stacked if self.sums is None else self.sums + stacked
        self.names = list(values)
        if self.looking:
            note = f"{self.names[0]} {self._checked()[0] / (self.steps + 1):.4f}"
            self.progress.advance(self.steps * self.batch_size - self.seen, note)
            self.seen = self.steps * self.batch_size
        self.steps += 1

    def means(self) -> dict[str, float]:
        """The epoch's means over all processes, gradient norms, images/s and peak memory (MB)."""
        looks = (self.steps + LOOK_EVERY - 1) // LOOK_EVERY
        totals = self._checked()
        seconds = time.perf_counter() - self.start
        self.progress.advance(self.steps * self.batch_size - self.seen)
        values = dict(zip(self.names, (total / self.steps for total in totals), strict=True))
        values |= {name: float(norm) / looks for name, norm in self.norms.items()}
        values["seconds"] = seconds
        values["images_per_s"] = self.steps * self.batch_size / seconds
        values["memory_mb"] = peak_memory_mb()
        return values

    def _checked(self) -> list[float]:
        sums = self.accelerator.reduce(self.sums, "mean").tolist()
        bad = [name for name, value in zip(self.names, sums, strict=True) if not abs(value) < float("inf")]
        if bad:
            # The loss itself is listed first and is a sum: its broken term says more.
            raise StudyError(
                f"{self.where}: {bad[-1]} became NaN or infinite; training stopped and the last good "
                "checkpoint is kept; try a lower learning rate or precision fp32"
            )
        return sums


def peak_memory_mb() -> float:
    """Peak memory of this process: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
