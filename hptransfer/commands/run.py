"""`hptransfer run`: tune, check and scale in one go. Every step is resumable, so running it again continues."""

from __future__ import annotations

import json

from rich.console import Console

from hptransfer.checking.check import check
from hptransfer.engine.options import TrainingOptions
from hptransfer.files import write_atomically
from hptransfer.report.json_documents import to_document
from hptransfer.report.scale import describe_scaled
from hptransfer.report.session import session_of
from hptransfer.scaling.scale import scale
from hptransfer.transfer.verdict import Verdict
from hptransfer.tuning.result import tuned_document
from hptransfer.tuning.tune import print_tuned, tune


def run_command(options: TrainingOptions, *, force: bool) -> int:
    """Tune the proxy, check transfer and, if the verdict allows it, write the target's configuration.

    Args:
        options: of the command line.
        force: write the target's configuration whatever the verdict; the file then says so.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.
    """
    console = Console(highlight=False, quiet=options.as_json)
    with session_of(options) as session:
        tuned = tune(session, quiet=options.quiet)
        print_tuned(tuned, console, session.folder.tuned)
        console.print()
        checked = check(session, options.recipe, quiet=options.quiet, show=not options.as_json)
        verdict = checked.report.verdict
        target = None
        if force or verdict is Verdict.TRANSFERS:
            scaled = scale(session.loaded, session.folder, options.recipe, force=force)
            write_atomically(session.folder.target, scaled.text)
            target = scaled.target
            console.print(describe_scaled(session.folder.target, target), markup=False, soft_wrap=True)
        else:
            console.print(f"no target.yaml: a {verdict} verdict does not support one (--force writes it all the same)")
        console.print(f"results in {session.folder.path}", soft_wrap=True)
    if options.as_json:
        document = {
            "tuned": tuned_document(tuned),
            "transfer": checked.document,
            "target": None if target is None else to_document(target.document),
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    return verdict.exit_status
