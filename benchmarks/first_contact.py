"""How fast the sample run's networks train here, alone and beside a busy program, by kind of threading.

Run `python benchmarks/first_contact.py` with nothing else running (three minutes). Each row is the
profile's own loop on made-up faces. Two threads `as they come` spin while they wait for each other;
`passive` ones sleep; `side by side` is what `run_all.py` does with two cores: two processes of one thread,
counted together. Goal: side by side loses at most a factor 2.2 to one competitor.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from facedeblur_utils import machine
from facedeblur_utils.profiles import load_profile, save_profile
from facedeblur_utils.training.experiments import THESIS

SAMPLE = load_profile("sample")
TRAINED = (*THESIS, *SAMPLE.architectures)  # kinds of network that the sample run trains
GOAL = 2.2
MODES = {  # name -> threads, processes, environment
    "2 threads as they come": (2, 1, {}),
    "2 threads passive": (2, 1, {"OMP_WAIT_POLICY": "PASSIVE"}),
    "1 thread": (1, 1, {}),
    "side by side": (1, 2, {}),
}
BUSY = "while True: pass"


def measure(folder: Path, threads: int, processes: int, variables: dict) -> dict[str, float]:
    """Images/s of each network, summed over `processes` that train at once."""
    file = save_profile(load_profile("sample", {"threads": threads}), folder / "profile.yaml")
    command = [sys.executable, "-m", "facedeblur_utils.running.estimate", str(file), *TRAINED]
    environment = {**os.environ, **variables, "OMP_NUM_THREADS": str(threads)}
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        for _ in range(processes)
    ]
    answers = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    return {name: sum(answer[name] for answer in answers) for name in TRAINED}


def main() -> int:
    print(f"{machine.cpu_name()}, {machine.available_cpus()} cores, {', '.join(machine.cpu_features())}")
    print(f"{'images/s':<36}" + "".join(f"{name:>14}" for name in TRAINED))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for beside in ("alone", "with a busy program"):
            busy = subprocess.Popen([sys.executable, "-c", BUSY]) if beside != "alone" else None
            try:
                for mode, how in MODES.items():
                    found[beside, mode] = measure(Path(folder), *how)
                    values = "".join(f"{value:14.1f}" for value in found[beside, mode].values())
                    print(f"{mode + ', ' + beside:<36}{values}", flush=True)
            finally:
                if busy:
                    busy.kill()
    met = []
    for name in TRAINED:
        alone, crowded = (found[beside, "side by side"][name] for beside in ("alone", "with a busy program"))
        met.append(alone / crowded <= GOAL)
        word = "ok" if met[-1] else "MISS"
        print(f"{name}: {alone / crowded:.2f} x slower beside a busy program (goal {GOAL}): {word}")
    print(f"{sum(met)} of {len(met)} goals reached")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
