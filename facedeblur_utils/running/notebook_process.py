"""Child process that runs one notebook with papermill: `python -m …running.notebook_process SPEC`.

SPEC is a JSON file with `notebook`, `copy`, `parameters`, `status` and `parent` (process id). What happens
is written to the status file as it happens, because papermill's own exit says too little: a dead kernel
leaves every cell marked as completed, and `sys.exit(0)` in a cell counts as success.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty

# jsonschema would build a grammar of Unicode addresses from it for a second, which no notebook has.
sys.modules.setdefault("rfc3987_syntax", None)

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError, strip_color

from facedeblur_utils.machine import die_with_parent

KERNEL_START_SECONDS = 120
LAST_LINES = 12
LOOK_SECONDS = 1.0


class Status:
    """The status file: cell being run, then the outcome."""

    def __init__(self, path: Path):
        self.path = path
        self.facts: dict = {"outcome": "running", "cell": None, "source": ""}
        self.kernel = None  # the kernel's process, once it runs

    def update(self, **facts) -> None:
        self.facts |= facts
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.facts), encoding="utf-8")
        os.replace(partial, self.path)


class PatientClient(PapermillNotebookClient):
    """papermill's client, which looks again for an answer that it wasn't told of."""

    def start_new_kernel_client(self):
        client = super().start_new_kernel_client()
        client.shell_channel.get_msg = looking_again(client.shell_channel.get_msg)
        return client


def looking_again(get_msg: Callable) -> Callable:
    """`get_msg(timeout)` of a channel, asked anew every LOOK_SECONDS.

    nbclient answers a widget on the socket on which it waits for the cell's own answer. When that arrives
    just then, the sending swallows its announcement, and the notebook would wait for ever.
    """

    async def asked_anew(timeout: float | None = None) -> dict:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, max(0.0, end - time.monotonic()))
            try:
                return await get_msg(timeout=left)
            except Empty:
                if end is not None and time.monotonic() >= end:
                    raise

    return asked_anew


class TrackedEngine(NBClientEngine):
    """papermill's engine, which also reports each cell as it starts."""

    status: Status

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
        client = PatientClient(
            nb_man,
            kernel_name=kernel_name,
            timeout=None,  # a whole-notebook limit is kept by the parent
            startup_timeout=KERNEL_START_SECONDS,
            stdout_file=kwargs["stdout_file"],
            stderr_file=kwargs["stderr_file"],
        )
        start, count = nb_man.cell_start, 0

        def cell_start(cell, cell_index=None, **rest):
            nonlocal count
            if cell.cell_type == "code" and cell.source.strip():
                count += 1
                cls.status.kernel = client.km.provisioner.process
                cls.status.update(cell=count, source=cell.source)
            start(cell, cell_index, **rest)

        nb_man.cell_start = cell_start
        client.execute()


def main(spec_file: str) -> int:
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    status = TrackedEngine.status = Status(Path(spec["status"]))
    die_with_parent(spec["parent"])
    papermill_engines.register("tracked", TrackedEngine)
    try:
        executed = papermill.execute_notebook(
            spec["notebook"],
            spec["copy"].replace("{", "{{").replace("}", "}}"),  # papermill formats paths
            parameters=spec["parameters"],
            engine_name="tracked",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stdout,  # one order of lines for terminal and log
            cwd=str(Path(spec["notebook"]).parent),
        )
        _look_for_exit(executed, status)
    except PapermillExecutionError as error:
        trace = strip_color("\n".join(error.traceback)).splitlines()
        status.update(
            outcome="exception",
            cell=error.exec_count or status.facts["cell"],
            source=error.source,
            name=error.ename,
            message=strip_color(error.evalue),
            trace=trace[-LAST_LINES:],
        )
    except DeadKernelError:
        code = status.kernel.poll() if status.kernel else None
        status.update(outcome="kernel died", kernel_exit=code)
    except Exception as error:
        status.update(outcome="papermill failed", name=type(error).__name__, message=str(error))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    status.update(peak_bytes=peak)
    return 0 if status.facts["outcome"] == "completed" else 1


def _look_for_exit(executed, status: Status) -> None:
    """papermill lets `sys.exit(0)` pass; here a notebook that ended itself has not done its work."""
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in code:
        stopped = [output for output in cell.outputs if output.output_type == "error"]
        if stopped:
            status.update(
                outcome="exception",
                cell=cell.execution_count,
                source=cell.source,
                name=stopped[0].ename,
                message=stopped[0].evalue,
                trace=[],
            )
            return
    not_run = [cell for cell in code if cell.execution_count is None]
    if not_run:
        status.update(outcome="cell not run", source=not_run[0].source)
    else:
        status.update(outcome="completed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
