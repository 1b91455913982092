"""Regenerate the lock files: `make lock`. Needs uv (`pip install uv`), which is not part of the environment itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

HEADER = (
    "# Complete and pinned; regenerate with `make lock`. "
    "Installed with --no-deps after torch.txt (requirements/install.sh).\n"
)
INPUTS = {
    "build": ["requirements/build.in"],
    "runtime": ["pyproject.toml", "requirements/build.in"],
    "dev": ["pyproject.toml", "requirements/build.in", "requirements/dev.in"],
    # frameworks.in names all that is needed: their own dependencies conflict with the other locks
    "frameworks": ["--no-deps", "requirements/frameworks.in"],
}


def main() -> None:
    """Resolve each lock for every platform and Python >= 3.11, with hashes, the later constrained by the earlier."""
    constraints: list[str] = []
    for name, inputs in INPUTS.items():
        output = Path(f"requirements/{name}.lock")
        subprocess.run(
            [
                "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
                "--no-header", "--no-annotate", "--upgrade", "--overrides", "requirements/overrides.txt",
                *inputs, *constraints, "--output-file", str(output),
            ],
            check=True,
        )  # fmt: skip
        output.write_text(HEADER + output.read_text())
        constraints = ["--constraints", str(output)]


if __name__ == "__main__":
    main()
