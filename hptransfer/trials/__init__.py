"""Trials: one training run wanted, one finished, what tells it from others, and the messages about it.

spec      `TrialSpec`: a run that is wanted
trial     `Trial`: a finished run; phases, and causes of failure
identity  `Identity.key(spec)`: what determines a trial
code      digests of the user's own modules
messages  what coordinators and workers send each other
legacy    keys and rules of version 0.1
"""

__all__ = ["changed_parts", "code", "identity", "legacy", "messages", "run_cost", "spec", "trial"]
