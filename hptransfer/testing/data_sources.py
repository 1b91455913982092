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
import torch
from pydantic import TypeAdapter

from hptransfer.data.base import Content, SplitText, read_data
from hptransfer.recipe.schema import Data
from hptransfer.training.batches import Batches, equal, examples_in
from hptransfer.training.data import load_batches

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
    def content(self, data: Data, tmp_path: Path) -> Content:
        """What is read of it."""
        return read_data(data, tmp_path)

    @pytest.fixture
    def batches(self, data: Data, tmp_path: Path) -> Batches:
        """What the loop gets of it."""
        return load_batches(data, tmp_path)

    def test_text_is_bytes_that_the_fingerprint_names(self, content: Content) -> None:
        """At least a window and what it predicts; sha256 over both parts with their lengths."""
        if not isinstance(content, SplitText):
            return
        parts = (content.train, content.validation)
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)

        assert min(map(len, parts)) >= 2
        assert content.fingerprint == hashlib.sha256(told).hexdigest()

    def test_batches_have_the_examples_that_are_asked_for(self, batches: Batches) -> None:
        """Training batches, and evaluation sets whose last batch has what is left."""
        sizes = [examples_in(batch) for batch in batches.validation_batches(2, 3, 1, 4)]

        assert examples_in(batches.batch(0, 0, 3, 1)) == 3
        assert sizes == [3, 1]

    def test_batches_are_a_pure_function_of_seed_and_step(self, batches: Batches) -> None:
        """A killed trial begins anew, and torch's own generator is in no trial's key."""
        first = batches.batch(1, 2, 3, 1)
        torch.rand(1)
        batches.batch(1, 3, 3, 1)

        assert equal(first, batches.batch(1, 2, 3, 1))
        assert equal(list(batches.validation_batches(2, 2, 1)), list(batches.validation_batches(2, 2, 1)))

    def test_reading_again_gives_the_same(self, data: Data, content: Content, tmp_path: Path) -> None:
        """Within a process and in another one: workers read the data themselves."""
        code = (
            "import json, sys; from pathlib import Path; from pydantic import TypeAdapter; "
            "from hptransfer.data.base import read_data; from hptransfer.recipe.schema import Data; "
            "data = TypeAdapter(Data).validate_json(sys.argv[1]); "
            "print(read_data(data, Path(sys.argv[2])).fingerprint)"
        )
        command = [sys.executable, "-c", code, data.model_dump_json(), str(tmp_path)]
        again = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        assert read_data(data, tmp_path).fingerprint == content.fingerprint
        assert again == content.fingerprint

    def test_another_byte_is_another_fingerprint(self, content: Content, tmp_path: Path) -> None:
        """Trials of other data are other trials."""
        changed = self.changed(tmp_path)
        if changed is None:
            return

        assert read_data(_DATA.validate_json(json.dumps(changed)), tmp_path).fingerprint != content.fingerprint

    def test_the_section_survives_a_payload(self, data: Data) -> None:
        """A worker gets the recipe as JSON; equal sections are one key of a cache."""
        again = _DATA.validate_json(data.model_dump_json())

        assert again == data
        assert hash(again) == hash(data)
