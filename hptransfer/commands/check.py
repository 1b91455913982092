"""`hptransfer check`: does the tuned value carry over to the sizes of the ladder?"""

from __future__ import annotations

import json

from hptransfer.checking.check import check
from hptransfer.engine.dry_run import dry_run as forecast_command
from hptransfer.engine.options import TrainingOptions
from hptransfer.report.session import session_of


def check_command(options: TrainingOptions, *, sharpness: bool, noise_scale: bool = False, dry_run: bool) -> int:
    """Check transfer of the tuned values and print the verdict.

    Args:
        options: of the command line.
        sharpness: measure it whatever the recipe says.
        noise_scale: the same.
        dry_run: print what it would take instead.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.
    """
    if dry_run:
        return forecast_command("check", options)
    with session_of(options) as session:
        result = check(
            session,
            options.recipe,
            quiet=options.quiet,
            show=not options.as_json,
            sharpness=sharpness,
            noise_scale=noise_scale,
        )
    if options.as_json:
        print(json.dumps(result.document, indent=2, allow_nan=False))
    return result.report.verdict.exit_status
