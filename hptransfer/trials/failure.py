"""Why a trial gave no result, and which reasons would come again."""

from __future__ import annotations

#: causes that would repeat themselves: such a trial is not run again before `hptransfer retry`
BLOCKING_CAUSES = ("error", "out of memory", "timeout")
