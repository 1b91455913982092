"""RunFolder and write_atomically: who may work in a folder, and files that are whole or absent."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hptransfer.errors import MachineError, UsageError
from hptransfer.files import write_atomically
from hptransfer.storage.run_folder import RunFolder

HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from hptransfer.storage.run_folder import RunFolder\n"
    "folder = RunFolder.open(Path(sys.argv[1]), 'demo')\n"
    "print('locked', flush=True)\n"
    "time.sleep(120)\n"
)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 KiB: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_opening_creates_the_folder_and_names_its_files(tmp_path: Path) -> None:
    """The folder runs/<name>/ exists afterwards and every result has its place in it."""
    with RunFolder.open(tmp_path / "runs", "demo") as folder:
        assert folder.path == tmp_path / "runs" / "demo"
        assert folder.path.is_dir()
        assert [folder.study.name, folder.tuned.name, folder.transfer.name, folder.target.name] == [
            "study.db",
            "tuned.yaml",
            "transfer.json",
            "target.yaml",
        ]


def test_looking_creates_nothing(tmp_path: Path) -> None:
    """Constructing a run folder without opening it leaves the disk alone."""
    RunFolder(tmp_path / "runs" / "demo")

    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused_and_told_the_owner(tmp_path: Path) -> None:
    """The refusal names process and host of the owner, and the way out."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(MachineError) as refusal:
            RunFolder.open(tmp_path, "demo")
        owner.kill()

    finding = refusal.value.findings[0]
    assert f"process {owner.pid} on {socket.gethostname()}" in (finding.received or "")
    assert "--runs" in (finding.hint or "")
    assert refusal.value.exit_status == 4


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """SIGKILL of the owner releases the lock, whatever the lock file says."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        owner.kill()
        owner.wait()

    with RunFolder.open(tmp_path, "demo") as folder:
        assert f'"pid": {os.getpid()}' in (folder.path / "lock").read_text()


def test_closing_releases_the_lock(tmp_path: Path) -> None:
    """A folder can be opened again after its context ended."""
    with RunFolder.open(tmp_path, "demo"):
        pass

    with RunFolder.open(tmp_path, "demo"):
        pass


def test_two_recipes_do_not_lock_each_other(tmp_path: Path) -> None:
    """Each run folder has its own lock."""
    with RunFolder.open(tmp_path, "one"), RunFolder.open(tmp_path, "two"):
        pass


@pytest.mark.parametrize("runs", ["/proc/nowhere", "/dev/null"], ids=["no folder can be made", "a device in the way"])
def test_a_folder_that_cannot_be_made_is_a_usage_error(runs: str) -> None:
    """The message names the path and says how to choose another; these paths refuse even root."""
    with pytest.raises(UsageError) as refusal:
        RunFolder.open(Path(runs), "demo")

    finding = refusal.value.findings[0]
    assert runs in (finding.received or "")
    assert "--runs" in (finding.hint or "")
    assert refusal.value.exit_status == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission_is_a_usage_error(tmp_path: Path) -> None:
    """A folder that exists but takes no files is refused before anything is trained."""
    (tmp_path / "demo").mkdir(mode=0o500)

    with pytest.raises(UsageError):
        RunFolder.open(tmp_path, "demo")


def test_a_file_in_the_way_is_a_usage_error(tmp_path: Path) -> None:
    """runs/<name> may not be a file."""
    (tmp_path / "demo").write_text("mine")

    with pytest.raises(UsageError):
        RunFolder.open(tmp_path, "demo")

    assert (tmp_path / "demo").read_text() == "mine"


def test_writing_replaces_the_whole_content(tmp_path: Path) -> None:
    """The new content stands alone and no temporary file is left."""
    path = tmp_path / "sub" / "tuned.yaml"
    write_atomically(path, "a much longer text than the second\n")
    write_atomically(path, "short: ü\n")

    assert path.read_bytes() == b"short: \xc3\xbc\n"
    assert [file.name for file in path.parent.iterdir()] == ["tuned.yaml"]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, small_files: None) -> None:
    """A write that fails leaves the old content, no rest, and says what to do."""
    path = tmp_path / "tuned.yaml"
    write_atomically(path, "old\n")
    with pytest.raises(MachineError) as failure:
        write_atomically(path, "x" * 100_000)

    assert path.read_text() == "old\n"
    assert [file.name for file in tmp_path.iterdir()] == ["tuned.yaml"]
    assert "free some space" in (failure.value.findings[0].hint or "")


def test_a_folder_in_the_way_of_a_file_is_a_usage_error(tmp_path: Path) -> None:
    """A result cannot replace a folder."""
    (tmp_path / "tuned.yaml" / "sub").mkdir(parents=True)

    with pytest.raises(UsageError):
        write_atomically(tmp_path / "tuned.yaml", "text")


def test_space_is_not_a_worry_where_there_is_plenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning comes below the limit and not above it."""
    with RunFolder.open(tmp_path, "demo") as folder:
        monkeypatch.setattr("hptransfer.storage.run_folder.SMALL_SPACE", 0)
        assert folder.space_warning() is None
        monkeypatch.setattr("hptransfer.storage.run_folder.SMALL_SPACE", 2**62)
        assert "MB are free" in (folder.space_warning() or "")


def test_a_link_in_the_locks_place_is_refused(tmp_path: Path) -> None:
    """A run folder is not trusted: the owner's record must not be written over a file elsewhere."""
    (tmp_path / "run").mkdir()
    precious = tmp_path / "precious"
    precious.write_text("content")
    (tmp_path / "run" / "lock").symlink_to(precious)

    with pytest.raises(MachineError, match="regular files and folders"):
        RunFolder.open(tmp_path, "run")
    assert precious.read_text() == "content"


@pytest.mark.parametrize("name", ["study.db", "study.db-wal", "tuned.yaml", "costs.json", "figures/a.svg", "stop"])
def test_nothing_that_is_written_goes_through_a_link(tmp_path: Path, name: str) -> None:
    """Whatever lies in a run folder, and in the folders where names of files can be guessed, is a file or a folder."""
    place = tmp_path / "run" / name
    place.parent.mkdir(parents=True)
    (tmp_path / "precious").write_text("content")
    place.symlink_to(tmp_path / "precious")

    with pytest.raises(MachineError, match="regular files and folders") as refused:
        RunFolder.open(tmp_path, "run")
    assert refused.value.findings[0].code == "path/not-plain"
    assert not (tmp_path / "run" / "lock").exists()


def test_a_name_of_a_file_under_way_that_was_guessed_is_not_followed(tmp_path: Path) -> None:
    """What is written first beside a file is made anew: a link in its place is taken away, not written through."""
    (tmp_path / "precious").write_text("content")
    (tmp_path / f".out.{os.getpid()}.tmp").symlink_to(tmp_path / "precious")

    write_atomically(tmp_path / "out", "text")

    assert (tmp_path / "precious").read_text() == "content"
    assert (tmp_path / "out").read_text() == "text"
    assert not (tmp_path / "out").is_symlink()


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """What is no regular file is refused: renaming over it would destroy it."""
    pipe = tmp_path / "out"
    os.mkfifo(pipe)

    with pytest.raises(UsageError, match="regular file"):
        write_atomically(pipe, "text")
    assert pipe.is_fifo()
