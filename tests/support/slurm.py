"""A Slurm cluster of one node, of the tests' own: real binaries, a temporary folder, loopback, gone at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

MISSING = (
    "no Slurm: install Debian's slurmctld, slurmd, slurm-client and munge, or unpack them (and libslurm, libmunge2, "
    "libhwloc15, slurm-wlm-basic-plugins) with `dpkg -x` into one folder and let HPTRANSFER_SLURM name it"
)
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def root() -> Path | None:
    """The folder under which Slurm's programs lie, if they are on this machine and may be started."""
    if os.geteuid() != 0:  # slurmd starts jobs as their users
        return None
    candidate = Path(os.environ.get("HPTRANSFER_SLURM", "/"))
    return candidate if (candidate / "usr/sbin/slurmctld-wlm").exists() else None


class Cluster:
    """One node that runs several one-processor jobs at a time."""

    def __init__(self, programs: Path, folder: Path, slots: int) -> None:
        self._programs, self._folder = programs, folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        libraries = programs / _LIBRARIES
        self.environment: Mapping[str, str] = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'slurm-wlm'}",
            "PATH": f"{programs / 'usr/bin'}:{os.environ['PATH']}",
        }
        ports = [_free_port(), _free_port()]
        host = socket.gethostname().partition(".")[0]
        (folder / "slurm.conf").write_text(
            f"""\
ClusterName=hptransfer
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=100000
PluginDir={libraries / "slurm-wlm"}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder / "state"}
SlurmdSpoolDir={folder / "spool"}
SlurmctldPidFile={folder / "ctld.pid"}
SlurmdPidFile={folder / "d.pid"}
SlurmctldLogFile={folder / "ctld.log"}
SlurmdLogFile={folder / "d.log"}
SlurmdParameters=config_overrides
KillWait=10
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={slots} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
        )
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self._daemon("slurmctld-wlm", "-D", "-c")
        self._daemon("slurmd-wlm", "-D", "-d", str(programs / "usr/sbin/slurmstepd-wlm"), "-N", host)
        deadline = time.monotonic() + 60
        while "idle" not in self.run("sinfo", "-h", "-o", "%t", check=False):
            if time.monotonic() > deadline:
                raise TimeoutError((folder / "ctld.log").read_text()[-2000:] + (folder / "d.log").read_text()[-2000:])
            time.sleep(0.3)

    def run(self, program: str, *arguments: str, check: bool = True) -> str:
        """What one of Slurm's client programs prints."""
        done = subprocess.run(
            [str(self._programs / "usr/bin" / program), *arguments],
            env=self.environment, check=check, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    def states(self, job: str) -> dict[str, str]:
        """State of each task of an array that Slurm still knows."""
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%i %T").splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def stop(self) -> None:
        """Ends the jobs, then the daemons."""
        self.run("scancel", "--full", "-u", "root", check=False)
        time.sleep(1)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()
            daemon.wait()

    def _daemon(self, program: str, *arguments: str) -> None:
        self._daemons.append(
            subprocess.Popen(
                [str(self._programs / "usr/sbin" / program), *arguments],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
            )
        )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def running_cluster(slots: int) -> Iterator[Cluster]:
    """A cluster in a folder of its own."""
    programs = root()
    if programs is None:
        raise RuntimeError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="hptransfer-slurm-"))
    cluster = None
    try:
        cluster = Cluster(programs, folder, slots)
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
