"""Comments by which a recipe excuses findings: `# hptransfer: ignore[HPT202] reason`, found without a YAML comment API.

A comment excuses what is found on its own line; one that stands alone on a line, what is found on the next line that is
no comment; `ignore-file[...]` above the first key, what is found anywhere in the recipe and in its evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import yaml
from yaml.events import ScalarEvent

from hptransfer.errors import Finding, Place
from hptransfer.linting.base import Level
from hptransfer.linting.catalogue import RuleText, all_rules, explanations, other_rules, rule_of
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.recipe import suggestion
from hptransfer.recipe.rule_text import explained

_MARK = re.compile(r"#+\s*hptransfer\s*:\s*(?P<said>.*)", re.IGNORECASE)
_FORM = re.compile(r"(?P<verb>ignore|ignore-file)\[(?P<names>[^\]]*)\](?P<reason>.*)")
_NUMBER = re.compile(r"HPT[0-9]{3}", re.IGNORECASE)
#: names in one comment, and such comments in one recipe: nobody reads more, and a stranger's file must end soon
_NAMED, _MOST = 32, 100


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of a YAML text.

    Attributes:
        text: from its `#` to the end of the line.
        line: on which it stands, from 1.
        column: of its `#`, from 1.
        alone: whether nothing stands before it on the line.
    """

    text: str
    line: int
    column: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Excused:
    """A finding that a comment excuses.

    Attributes:
        finding: as it would have been reported.
        level: how severe it would have been.
        reason: what the comment says, as it is written.
        comment: where the comment stands.
    """

    finding: Finding
    level: Level
    reason: str
    comment: Place


@dataclass(frozen=True, slots=True)
class Ignore:
    """One rule that a comment names, with a reason.

    Attributes:
        rule: one that the comment names.
        reason: why, in the author's words.
        place: where the comment stands.
        line: on which findings are excused; None for every line.
    """

    rule: RuleText
    reason: str
    place: Place
    line: int | None


def comments(text: str) -> list[Comment]:
    """Every comment of a valid YAML text; a `#` in a quoted text, a plain one or a block is none.

    Args:
        text: that the YAML gate let through.
    """
    inside = [False] * (len(text) + 1)
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, ScalarEvent) and event.start_mark is not None and event.end_mark is not None:
            start, end = event.start_mark.index, event.end_mark.index
            if event.style in ("|", ">"):  # its first line may end with a comment
                header = re.compile("[^\r\n]*").match(text, start)
                start = min(header.end() if header else start, end)
            inside[start:end] = [True] * (end - start)
    found, start = [], 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        for column, character in enumerate(line):
            if character == "#" and not inside[start + column] and line[column - 1 : column] in ("", " ", "\t"):
                found.append(Comment(line[column:].rstrip(), number, column + 1, not line[:column].strip()))
                break
        start += len(line)
    return found


def stated(text: str) -> tuple[str, ...]:
    """The comments of a recipe that are for this tool, each with the key of the line that it is on or above.

    Args:
        text: of the whole recipe, which is valid YAML.
    """
    if "hptransfer" not in text.casefold():
        return ()
    every = comments(text)
    alone = {comment.line for comment in every if comment.alone}
    lines = text.splitlines()
    found = []
    for comment in every:
        marked = _MARK.fullmatch(comment.text)
        if marked is None:
            continue
        below = (line for line in range(comment.line, len(lines) + 1) if line not in alone and lines[line - 1].strip())
        whole = marked["said"].lower().startswith("ignore-file")
        key = "" if whole else lines[next(below, len(lines)) - 1].partition(":")[0].strip()
        found.append(f"{comment.text} (at `{key[:60]}`)" if key else comment.text)
    return tuple(found)


@dataclass
class Ignores:
    """What the comments of one recipe excuse, and what is wrong with the comments.

    Attributes:
        named: rules that are excused, with their reasons.
        faults: findings on the comments themselves.
        excused: findings that were excused so far.
    """

    named: list[Ignore] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    excused: list[Excused] = field(default_factory=list)
    _topics: tuple[str, ...] = ()
    _others: dict[str, RuleText] | None = None
    _used: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, text: str, file: str, topics: tuple[str, ...] = ()) -> Ignores:
        """Reads the comments of a recipe.

        Args:
            text: of the whole recipe, which is valid YAML.
            file: its path, for messages.
            topics: rules of the user's own, `module:attribute` each, that comments may name.
        """
        read = cls(_topics=topics)
        if "hptransfer" not in text.casefold():
            return read
        every = comments(text)
        marked = [(each, found["said"].strip()) for each in every if (found := _MARK.fullmatch(each.text))]
        alone = {comment.line for comment in every if comment.alone}
        lines = text.splitlines()
        passed = [number for number, line in enumerate(lines, 1) if number not in alone and line.strip(" -")]
        for comment, said in marked[:_MOST]:
            read._read(comment, said, Place(file, comment.line, comment.column), passed)
        for comment, _ in marked[_MOST : _MOST + 1]:
            hint = "write one `ignore-file[...]` above the first key instead"
            place = Place(file, comment.line, comment.column)
            read._fault("ignore/form", f"{len(marked)} such comments, of which {_MOST} are read", place, hint)
        return read

    def _read(self, comment: Comment, said: str, place: Place, content: list[int]) -> None:
        form = _FORM.fullmatch(said)
        names = [name.strip() for name in form["names"].split(",")] if form else []
        whole = form is not None and form["verb"] == "ignore-file"
        misplaced = whole and (not comment.alone or any(line < comment.line for line in content))
        if form is None or misplaced or not all(names) or len(names) > _NAMED:
            self._fault("ignore/form", said[:60], place, _hint(said, misplaced=misplaced))
            return
        following = next((line for line in content if line > comment.line), 0)  # 0: below everything, for nothing
        line = None if whole else following if comment.alone else comment.line
        reason = form["reason"].strip(" \t:-\u2013\u2014")
        if not re.search(r"\w", reason):
            self._fault("ignore/reason", said[:60], place, f"write `# hptransfer: {said[:60]} REASON`, with the reason")
            return
        for name in dict.fromkeys(names):
            rule = self._rule(name)
            if rule is not None and rule.held is None:
                self.named.append(Ignore(rule, reason, place, line))
            elif rule is not None:
                self._fault("ignore/held", f"{name} ({rule.code}): {rule.held}", place)
            elif _NUMBER.fullmatch(name) or name.partition("/")[0] in _topics() or "/" not in name:
                guess = suggestion.closest(name, [each.code for each in all_rules()]) if "/" in name else None
                self._fault("ignore/unknown", name[:60], place, f"did you mean `{guess}`?" if guess else None)

    def _rule(self, name: str) -> RuleText | None:
        found = rule_of(name)
        if found is None and "/" in name:
            self._others = other_rules(self._topics) if self._others is None else self._others
            found = self._others.get(name)
        return found

    def _fault(self, code: str, received: str, place: Place, hint: str | None = None) -> None:
        self.faults.append(self._made(code, received, place, hint))

    @staticmethod
    def _made(code: str, received: str, place: Place, hint: str | None = None) -> Finding:
        summary = next(rule.summary for rule in all_rules() if rule.code == code)
        return next(iter(explained([Finding(summary, received, hint, place, code)], explanations())))

    def applied(self, outcome: LevelOutcome) -> LevelOutcome:
        """What a level found, without what is excused.

        Args:
            outcome: what one level found.
        """
        before = len(self.excused)
        errors = tuple(self._kept(outcome.errors, "error"))
        kept = replace(outcome, errors=errors, warnings=tuple(self._kept(outcome.warnings, "warning")))
        if errors or not (outcome.errors and outcome.unasked):
            return kept
        ended = self._ended(self.excused[before : before + len(outcome.errors)], "; ".join(outcome.unasked))
        return replace(kept, open=(*kept.open, *ended), decided=False)

    def _ended(self, excused: Iterable[Excused], unasked: str) -> list[Finding]:
        """That a level is not decided, at the comment of each error that ended it and was excused."""
        by_comment = {each.comment: each.finding for each in excused}
        return [
            self._made(
                "ignore/ends-level", f"{finding.id or finding.code} is excused, so it is not known {unasked}", place
            )
            for place, finding in by_comment.items()
        ]

    def _kept(self, findings: Iterable[Finding], level: Level) -> Iterator[Finding]:
        for finding in findings:
            excusing = [index for index, each in enumerate(self.named) if _excuses(each, finding)]
            self._used.update(excusing)
            if excusing:
                first = self.named[excusing[0]]
                self.excused.append(Excused(finding, level, first.reason, first.place))
            else:
                yield finding

    def unused(self, ran: Iterable[str]) -> list[Finding]:
        """Findings on comments that excuse nothing, of rules that were asked.

        Args:
            ran: names of the levels that ran.
        """
        asked = set(ran)
        idle = [each for index, each in enumerate(self.named) if index not in self._used and each.rule.level in asked]
        before, self.faults = self.faults, []
        for each in idle:
            where = "anywhere in the recipe" if each.line is None else f"on line {each.line}"
            self._fault("ignore/unused", f"{each.rule.id or each.rule.code} finds nothing {where}", each.place)
        found, self.faults = self.faults, before
        return found


def _excuses(ignore: Ignore, finding: Finding) -> bool:
    if finding.code != ignore.rule.code:
        return False
    place = finding.place
    return ignore.line is None or (place is not None and (place.file, place.line) == (ignore.place.file, ignore.line))


def _hint(said: str, *, misplaced: bool) -> str | None:
    if misplaced:
        return "put `ignore-file[...]` on a line of its own above the first key, or write `ignore[...]`"
    guess = re.match(r"(ignore(?:-file)?)\s*:?\s*[\[(]?\s*(HPT[0-9]{3}|[a-z]+/[a-z-]+)[\])]?[\s:-]*(.*)", said, re.I)
    return guess and f"write `# hptransfer: {guess[1].lower()}[{guess[2]}] {guess[3][:60] or 'REASON'}`"


def _topics() -> set[str]:
    return {rule.code.partition("/")[0] for rule in all_rules()}
