"""Sends stages to a Dask cluster (optional extra `dask`): the same graph, the same results.

Workers need the same checkout and output folder at the same paths (a shared file system).
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.execution import RUN_ID, STAGE, Interruption, Outcome, run_stage
from facedeblur_utils.running.pipeline import Stage

CONNECT_SECONDS = 20


@contextlib.contextmanager
def connect(address: str, paths: RunPaths) -> Iterator[tuple[Callable, int]]:
    """Yield (submit, number of stages that fit at once) for the cluster at `address`.

    Where workers declare a resource GPU, each stage takes one. A stage whose worker dies is sent to another
    one, where training goes on from its last checkpoint. Raises UsageError without the package
    `distributed`, StudyError where no scheduler or no worker answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "--dask needs the package distributed: pip install 'facedeblur-utils[dask]'"
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise StudyError(f"no Dask scheduler answers at {address} ({type(error).__name__})") from None
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            raise StudyError(f"the Dask scheduler at {address} has no workers")
        graphics = sum(int(worker["resources"].get("GPU", 0)) for worker in workers)
        needed = {"GPU": 1} if graphics else None

        def submit(stage: Stage, run_id: str) -> _Remote:
            key = f"{stage.name}-{uuid.uuid4().hex[:8]}"
            return _Remote(client.submit(_work, stage, paths, run_id, key=key, resources=needed, pure=False))

        yield submit, graphics or len(workers)


def _work(stage: Stage, paths: RunPaths, run_id: str) -> Outcome:
    """Runs on the worker; its lines go to the stage's log, which lies in the shared folder."""
    interruption = Interruption(paths.run / "stop")
    variables = {RUN_ID: run_id, STAGE: stage.name}
    return run_stage(stage, paths, Console("quiet"), interruption, variables=variables)


class _Remote:
    """A Dask future as the scheduler of stages expects it: failures of the cluster are one line."""

    def __init__(self, future):
        self._future = future

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Outcome:
        try:
            return self._future.result()
        except Exception as error:  # KilledWorker and whatever else the cluster raises
            reason = str(error).splitlines()[0]
            raise StudyError(f"the cluster gave it up ({type(error).__name__}: {reason})") from None
