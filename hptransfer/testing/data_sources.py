"""What every data source must do; subclass `DataSourceConformance`, name it and give sections of it.

class TestMyTable(DataSourceConformance):
    def section(self, folder):
        (folder / "rows.csv").write_bytes(b"..." * 1000)
        return {"kind": "my_data:source", "arguments": {"file": "rows.csv"}}
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from hptransfer.data.base import SplitText, read_text
from hptransfer.recipe.schema import Data

_DATA: TypeAdapter[Data] = TypeAdapter(Data)


class DataSourceConformance:
    """Behaviour that keys of trials and batches count on."""

    def section(self, folder: Path) -> Mapping[str, Any]:
        """A recipe's `data` section, and whatever it names.

        Args:
            folder: the recipe's, where files may be written.

        Returns:
            The section as plain data, `kind` included.
        """
        raise NotImplementedError

    def changed(self, folder: Path) -> Mapping[str, Any] | None:
        """The same section after a byte of its data has changed; None where data cannot be changed.

        Args:
            folder: that of `section`, as it left it.
        """
        return None

    @pytest.fixture
    def data(self, tmp_path: Path) -> Data:
        """The section as a recipe holds it."""
        return _DATA.validate_json(json.dumps(self.section(tmp_path)))

    @pytest.fixture
    def text(self, data: Data, tmp_path: Path) -> SplitText:
        """What is read of it."""
        return read_text(data, tmp_path)

    def test_both_parts_hold_bytes(self, text: SplitText) -> None:
        """At least two each: a window and what it predicts."""
        assert isinstance(text.train, bytes)
        assert isinstance(text.validation, bytes)
        assert min(len(text.train), len(text.validation)) >= 2

    def test_the_fingerprint_names_the_bytes(self, text: SplitText) -> None:
        """Sha256 over both parts with their lengths: no source can give other bytes the same name."""
        parts = (text.train, text.validation)
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)

        assert text.fingerprint == hashlib.sha256(told).hexdigest()

    def test_reading_again_gives_the_same(self, data: Data, text: SplitText, tmp_path: Path) -> None:
        """Within a process and in another one: workers read the data themselves."""
        code = (
            "import json, sys; from pathlib import Path; from pydantic import TypeAdapter; "
            "from hptransfer.data.base import read_text; from hptransfer.recipe.schema import Data; "
            "data = TypeAdapter(Data).validate_json(sys.argv[1]); "
            "print(read_text(data, Path(sys.argv[2])).fingerprint)"
        )
        command = [sys.executable, "-c", code, data.model_dump_json(), str(tmp_path)]

        assert read_text(data, tmp_path) == text
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == text.fingerprint

    def test_another_byte_is_another_fingerprint(self, text: SplitText, tmp_path: Path) -> None:
        """Trials of other data are other trials."""
        changed = self.changed(tmp_path)
        if changed is None:
            return

        assert read_text(_DATA.validate_json(json.dumps(changed)), tmp_path).fingerprint != text.fingerprint

    def test_the_section_survives_a_payload(self, data: Data) -> None:
        """A worker gets the recipe as JSON; equal sections are one key of a cache."""
        again = _DATA.validate_json(data.model_dump_json())

        assert again == data
        assert hash(again) == hash(data)
