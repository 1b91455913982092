"""Tasks in PostgreSQL that workers on any machine pull: run at least once, recorded exactly once.

A claim is a lease with a fencing token: a number that grows with every claim of the task. Whoever holds the newest
token may renew, record and release; everybody else is refused by the same statement that would have written. Leases
are measured by the server's clock alone. Every method is one statement, so there is no state between two of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hptransfer.cluster.postgres import Address, connect, server_faults
from hptransfer.execution.limits import UNLIMITED, TaskLimits
from hptransfer.execution.outcome import Failure, Success, outcome_from_dict, outcome_to_dict

#: seconds for which a claim holds unless it is renewed
LEASE = 60.0
#: a task whose workers vanished as often is not given to another: it may be what kills them
MOST_LEASES = 3

#: the key of a payload that holds the task's limits, in the database
_LIMITS = "limits"

#: a task is "waiting" for a worker, "leased" to one, then "done" (with a value) or "failed" (with a cause)
SCHEMA = """
CREATE TABLE IF NOT EXISTS hptransfer_study (
    study_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    terms text NOT NULL,
    ended text,
    endings integer NOT NULL DEFAULT 0,
    lead_end timestamptz NOT NULL DEFAULT '-infinity',
    created timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS hptransfer_task (
    task_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_id integer NOT NULL REFERENCES hptransfer_study,
    key text NOT NULL,
    payload text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'leased', 'done', 'failed')),
    token bigint NOT NULL DEFAULT 0,
    leases integer NOT NULL DEFAULT 0,
    lease_end timestamptz,
    worker text,
    result text,
    UNIQUE (study_id, key)
);
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that this worker holds.

    Attributes:
        task_id: the queue's number of the task.
        key: identifies the task by content.
        payload: what to run, as submitted.
        limits: what the task may take.
        token: the fencing token, a number that grows with every claim of the task.
    """

    task_id: int
    key: str
    payload: dict[str, Any]
    limits: TaskLimits
    token: int


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How many tasks of a study are in each state.

    Attributes:
        waiting: tasks that no worker has begun.
        leased: tasks that a worker holds.
        done: tasks with a value.
        failed: tasks with a cause instead.
    """

    waiting: int
    leased: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A task that a worker holds.

    Attributes:
        task_id: the queue's number of the task.
        worker: name of the worker that took it, host and process id.
        seconds: until the lease ends; negative when it ended and nobody noticed yet.
    """

    task_id: int
    worker: str
    seconds: float


class TaskQueue:
    """The tasks of one study. The connection is made when first needed, and again after it broke.

    Args:
        address: address of the database.
        study_id: the study's number there.

    Raises:
        ServerAwayError: in every method; doing it again later is safe.
    """

    def __init__(self, address: Address, study_id: int) -> None:
        self._address, self._study_id = address, study_id
        self._connection: Any = None

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def submit(self, key: str, payload: dict[str, Any], limits: TaskLimits = UNLIMITED) -> None:
        """Queues a task; one that failed is queued again, one that runs or is done stays as it is.

        Payload and limits are the newest ones wherever nobody has begun: the old limits may be why the task failed.

        Args:
            key: identifies the task by content.
            payload: what to run, JSON-able.
            limits: what the task may take.
        """
        self._run(
            """
            INSERT INTO hptransfer_task AS task (study_id, key, payload) VALUES (%s, %s, %s)
            ON CONFLICT (study_id, key) DO UPDATE SET state = 'waiting', payload = EXCLUDED.payload, result = NULL,
                leases = CASE task.state WHEN 'failed' THEN 0 ELSE task.leases END
            WHERE task.state IN ('failed', 'waiting')
            """,
            (self._study_id, key, json.dumps(payload | {_LIMITS: asdict(limits)})),
        )

    def claim(self, worker: str, lease: float, terms: str) -> Claim | None:
        """Takes the oldest waiting task.

        Args:
            worker: name of who takes it, for people.
            lease: seconds until another worker may have it, unless `renew` is called before.
            terms: `SharedStudy.terms` at joining; a study whose terms changed since gives nothing.

        Returns:
            The claim, None where nothing waits.
        """
        row = self._run(
            """
            UPDATE hptransfer_task AS task SET state = 'leased', token = token + 1, leases = leases + 1, worker = %s,
                lease_end = clock_timestamp() + make_interval(secs => %s)
            WHERE task_id = (
                SELECT task_id FROM hptransfer_task JOIN hptransfer_study AS study USING (study_id)
                WHERE study_id = %s AND state = 'waiting' AND study.terms = %s
                ORDER BY task_id LIMIT 1 FOR UPDATE OF hptransfer_task SKIP LOCKED
            )
            RETURNING task_id, key, payload, token
            """,
            (worker, lease, self._study_id, terms),
        )
        if not row:
            return None
        task_id, key, text, token = row[0]
        payload = json.loads(text)
        return Claim(task_id, key, payload, TaskLimits(**payload.pop(_LIMITS, {})), token)

    def renew(self, claim: Claim, lease: float) -> bool:
        """Holds the task for `lease` seconds from now; False when the lease was lost."""
        return bool(
            self._run(
                """
                UPDATE hptransfer_task SET lease_end = clock_timestamp() + make_interval(secs => %s)
                WHERE task_id = %s AND token = %s AND state = 'leased' RETURNING 1
                """,
                (lease, claim.task_id, claim.token),
            )
        )

    def record(self, task_id: int, token: int, outcome: Success | Failure) -> bool:
        """Writes the result of a task, once.

        A lease that ran out is still good as long as nobody else claimed the task: the token is then the newest.

        Args:
            task_id: the queue's number of the task.
            token: of the claim under which it was run.
            outcome: how it ended; a value must be JSON-able.

        Returns:
            Whether the result counts, now or because it was recorded before; False when the lease was lost.
        """
        text, state = json.dumps(outcome_to_dict(outcome)), "done" if isinstance(outcome, Success) else "failed"
        return bool(
            self._run(
                """
                UPDATE hptransfer_task SET state = %(state)s, result = %(text)s, lease_end = NULL
                WHERE task_id = %(task)s AND token = %(token)s
                    AND (state IN ('waiting', 'leased') OR (state = %(state)s AND result = %(text)s))
                RETURNING 1
                """,
                {"state": state, "text": text, "task": task_id, "token": token},
            )
        )

    def release(self, claim: Claim) -> None:
        """Gives a task back unfinished, for example before a preemption; it does not count among `MOST_LEASES`."""
        self._run(
            """
            UPDATE hptransfer_task SET state = 'waiting', leases = leases - 1, lease_end = NULL
            WHERE task_id = %s AND token = %s AND state = 'leased' RETURNING 1
            """,
            (claim.task_id, claim.token),
        )

    def reap(self) -> int:
        """Frees tasks whose lease ran out; those that lost `MOST_LEASES` workers fail. Returns how many there were."""
        lost = outcome_to_dict(Failure("", "killed", f"its workers vanished {MOST_LEASES} times"))
        return len(
            self._run(
                """
                UPDATE hptransfer_task SET lease_end = NULL,
                    state = CASE WHEN leases >= %s THEN 'failed' ELSE 'waiting' END,
                    result = CASE WHEN leases >= %s THEN %s END
                WHERE study_id = %s AND state = 'leased' AND lease_end < clock_timestamp() RETURNING 1
                """,
                (MOST_LEASES, MOST_LEASES, json.dumps(lost), self._study_id),
            )
        )

    def take_finished(self, keys: Sequence[str]) -> Success | Failure | None:
        """How one of these tasks ended, with its key as `task_id`; None when none has yet."""
        row = self._run(
            """
            SELECT key, state, result FROM hptransfer_task
            WHERE study_id = %s AND key = ANY(%s) AND state IN ('done', 'failed') ORDER BY task_id LIMIT 1
            """,
            (self._study_id, list(keys)),
        )
        return outcome_from_dict(row[0][0], row[0][1] == "done", json.loads(row[0][2])) if row else None

    def withdraw(self, keys: Sequence[str]) -> list[str]:
        """Removes those that no worker has begun; returns them."""
        rows = self._run(
            "DELETE FROM hptransfer_task WHERE study_id = %s AND key = ANY(%s) AND state = 'waiting' RETURNING key",
            (self._study_id, list(keys)),
        )
        return [row[0] for row in rows]

    def leases(self) -> list[Lease]:
        """Tasks that workers hold, oldest first."""
        rows = self._run(
            """
            SELECT task_id, worker, extract(epoch FROM lease_end - clock_timestamp())::float8 FROM hptransfer_task
            WHERE study_id = %s AND state = 'leased' ORDER BY task_id
            """,
            (self._study_id,),
        )
        return [Lease(*row) for row in rows]

    def count(self) -> QueueCount:
        """Tasks by state."""
        rows = dict(
            self._run(
                "SELECT state, count(*) FROM hptransfer_task WHERE study_id = %s GROUP BY state", (self._study_id,)
            )
        )
        return QueueCount(*(rows.get(state, 0) for state in ("waiting", "leased", "done", "failed")))

    def _run(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(self._address)
        try:
            with server_faults(self._address):
                cursor = self._connection.execute(statement, values)
                return list(cursor.fetchall()) if cursor.description else []
        except BaseException:  # Ctrl-C in the middle too: the connection may be anywhere in the protocol
            self.close()
            raise
