"""Files are opened only where they are regular ones."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from hptransfer import files
from hptransfer.files import bounded_content, open_regular


@pytest.mark.parametrize("place", ["/proc/kmsg", "/proc/self/mem", "/proc/version", "/dev/zero", "fifo", "."])
def test_what_is_no_file_of_a_disk_is_refused(place: str, tmp_path: Path) -> None:
    """A link to what the kernel makes up, a device, a pipe and a folder: one sentence, and nothing waits."""
    if not Path(place).exists() and place != "fifo":
        pytest.skip("this system has none")
    os.mkfifo(tmp_path / "fifo")
    link = tmp_path / "link.yaml"
    link.symlink_to(place)

    with pytest.raises(OSError, match=r"no regular file|Permission denied"):
        open_regular(link)


def test_a_read_that_would_wait_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that calls itself regular and gives None without waiting."""

    class Waiting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return None  # type: ignore[return-value]  # as a raw file does that would wait

    monkeypatch.setattr(files, "open_regular", lambda path, **_: Waiting())

    with pytest.raises(OSError, match="no regular file"):
        bounded_content(tmp_path, 10)


def test_a_file_of_a_disk_is_read(tmp_path: Path) -> None:
    """Through a link too, and up to the bound."""
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")

    assert bounded_content(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        bounded_content(tmp_path / "a", 4)
    with pytest.raises(OSError, match=r"link|Too many levels"):
        bounded_content(tmp_path / "link", 5, follow=False)
