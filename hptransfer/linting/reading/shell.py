"""Shell scripts: the words of their commands, with variables and arrays as far as they are static.

Nothing is run. A word that holds `$(...)`, a variable that is set elsewhere or below an `if`, is not known; what such a
word might add to a command is said in `unread`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hptransfer.errors import Place
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.text import shown

MAX_CHARACTERS = 2_000_000
"""of a script after expansion; a variable that holds itself many times ends here"""

#: stands in a word for what is not known
UNKNOWN = "\ufffd"

_DEEPER = {"if", "case", "for", "while", "until", "select"}
_OUT = {"fi", "esac", "done"}
_KEYWORDS = _DEEPER | _OUT | {"then", "else", "elif", "do", "{", "}", "!", "export"}
_BREAKS = ";&|()"
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<more>\+?)=", re.ASCII)
_VARIABLE = re.compile(
    r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<all>\[[@*]\])?(?::?-(?P<default>[^}$`]*))?\})", re.ASCII
)
_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word before expansion: its pieces, each with whether quotes keep it in one, and where it begins."""

    pieces: tuple[tuple[str, str], ...]  # (text, kind): kind is "" unquoted, '"' or "'"
    line: int
    column: int

    @property
    def raw(self) -> str:
        return "".join(text for text, _ in self.pieces)


@dataclass(frozen=True, slots=True)
class _Expanded:
    """A word after expansion: as it is, as it was written, whether more words than one may stand there, and whence."""

    text: str
    raw: str
    line: int
    column: int
    certain: bool = True
    open: bool = False
    many: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Assignment:
    """`name=word` or `name=(words)`, `more` with `+=`; `perhaps` behind `&&` or `||`."""

    name: str
    more: bool
    words: list[_Word]
    perhaps: bool
    array: bool = False


@dataclass
class _Script:
    """One pass over a script's words."""

    path: str
    variables: dict[str, list[_Expanded] | None] = field(default_factory=dict)
    commands: list[list[_Expanded]] = field(default_factory=list)
    depth: int = 0
    total: int = 0
    used: set[str] = field(default_factory=set)
    replaced: list[Setting] = field(default_factory=list)

    def read(self, lines: Iterator[list[_Word] | _Assignment]) -> None:
        for line in lines:
            if isinstance(line, _Assignment):
                self._assign(line)
            elif words := self._opened(line):
                self.commands.append(self._expanded(words))

    def _opened(self, words: list[_Word]) -> list[_Word]:
        """The words after keywords, with blocks counted."""
        for index, word in enumerate(words):
            if word.raw not in _KEYWORDS:
                return words[index:]
            self.depth += (word.raw in _DEEPER) - (word.raw in _OUT)
            if word.raw in {"for", "case", "select"}:
                self.variables |= {each.raw: None for each in words[index + 1 : index + 2]}
                return []
        return []

    def _assign(self, line: _Assignment) -> None:
        expanded = self._expanded(line.words)
        before = self.variables.get(line.name, self._set_elsewhere(line)) if line.more else []
        perhaps = self.depth > 0 or line.perhaps
        anew = line.array and not line.more and not perhaps and line.name not in self.used
        if anew and line.words and self.variables.get(line.name):
            place = Place(self.path, line.words[0].line, line.words[0].column)
            self.replaced.append(Setting(line.name, None, f"{line.name}=(", place, known=False))
        if self.total > MAX_CHARACTERS:
            self.variables[line.name] = None
        elif perhaps and not line.more:
            same = self.variables.get(line.name)
            texts = [each.text for each in expanded]
            self.variables[line.name] = same if same and [each.text for each in same] == texts else None
        elif before is not None:
            if perhaps:
                expanded = [replace(each, certain=False) for each in expanded]
            if line.more and not line.array and before and expanded and not expanded[0].text.startswith(" "):
                last, first, *expanded = before.pop(), *expanded  # one text, continued
                self.total += len(last.text)
                certain = last.certain and first.certain
                before.append(replace(last, text=last.text + first.text, raw=last.raw + first.raw, certain=certain))
            before.extend(expanded)
            self.variables[line.name] = before

    def _set_elsewhere(self, line: _Assignment) -> list[_Expanded]:
        """What an array that this script only adds to may hold before: it is another file's."""
        if not line.array or not line.words:
            return []
        first, said = line.words[0], f"${{{line.name}[@]}}"
        return [_Expanded(UNKNOWN, said, first.line, first.column, open=True, many=True, source=line.name)]

    def _expanded(self, words: list[_Word]) -> list[_Expanded]:
        found: list[_Expanded] = []
        for word in words:
            if self.total > MAX_CHARACTERS:
                found.append(_Expanded(UNKNOWN, "the rest", word.line, word.column, open=True, many=True))
                break
            new = list(self._expand(word))
            self.total += sum(len(each.text) + 1 for each in new)
            found += new
        return found

    def _expand(self, word: _Word) -> Iterator[_Expanded]:
        """The words that one becomes; an array or a variable alone in it gives its own words with their places."""
        alone = _VARIABLE.fullmatch(word.raw)
        if alone is not None and word.pieces[0][1] != "'":
            name = alone["plain"] or alone["name"]
            self.used.add(name)
            value = self.variables.get(name)
            if value is not None:
                whole = word.pieces[0][1] == '"' and not alone["all"]
                for each in self._words_of(value, word, whole=whole):
                    yield each if each.source else replace(each, source=name)
                return
        text, split = "", False
        for piece, kind in word.pieces:
            said = piece if kind == "'" else self._substituted(piece)
            split = split or (kind == "" and said != piece)
            text += said
        unquoted = word.pieces[0][1] == ""
        many = bool(re.fullmatch(r"\$[@*]|\$\{([@*]|\w+\[[@*]\])[^}]*\}", word.raw))
        for part in text.split() if split else [text]:
            unknown = UNKNOWN in part
            raw = word.raw if unknown else part
            alone_there = unknown and (many or (unquoted and part == UNKNOWN))
            source = alone["plain"] or alone["name"] if alone is not None else ""
            yield _Expanded(part, raw, word.line, word.column, open=alone_there, many=unknown and many, source=source)

    def _words_of(self, value: list[_Expanded], word: _Word, *, whole: bool) -> Iterator[_Expanded]:
        for each in value:
            if whole or " " not in each.text.strip():
                yield each
            else:
                yield from _split([each])
        if not value and whole:
            yield _Expanded("", "", word.line, word.column)

    def _substituted(self, text: str) -> str:
        """The text with variables put in, and what is not static marked."""

        def put(match: re.Match[str]) -> str:
            name = match["plain"] or match["name"]
            self.used.add(name)
            if name in self.variables:
                value = self.variables[name]
                return UNKNOWN if value is None else self._joined(value)
            return UNKNOWN

        said = _VARIABLE.sub(put, text)
        return re.sub(r"\$\(.*|`.*|\$[{@*#?!0-9$].*", UNKNOWN, said, flags=re.DOTALL)

    def _joined(self, value: list[_Expanded]) -> str:
        """A variable's words as one text; what is longer than any configuration's counts as unknown."""
        self.total += sum(len(each.text) + 1 for each in value)
        return UNKNOWN if self.total > MAX_CHARACTERS else " ".join(each.text for each in value)


class _Lexer:
    """Characters -> simple commands and assignments."""

    def __init__(self, text: str) -> None:
        self.perhaps = False
        self.text, self.at = text, 0
        self.line, self.start = 1, 0
        self.heredocs: list[str] = []

    def commands(self) -> Iterator[list[_Word] | _Assignment]:
        """Yields each simple command's words, or an assignment."""
        words: list[_Word] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in " \t":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self._step(2)
            elif character == "#":
                self._skip_line()
            elif character == "\n" or character in _BREAKS:
                if character == "(" and words and (match := _ASSIGNMENT.fullmatch(words[-1].raw)):
                    words.pop()
                    self._step(1)
                    yield _Assignment(match["name"], bool(match["more"]), self._array(), self.perhaps, array=True)
                    continue
                yield from _told(words, perhaps=self.perhaps)
                words = []
                self.perhaps = self.text.startswith(("&&", "||"), self.at)
                self._step(2 if self.perhaps else 1)
                if character == "\n" and self.heredocs:
                    self._skip_heredocs()
            elif self.text.startswith("<<", self.at) and not self.text.startswith("<<<", self.at):
                self._heredoc()
            else:
                words.append(self._word())
        yield from _told(words, perhaps=self.perhaps)

    def _array(self) -> list[_Word]:
        words: list[_Word] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == ")":
                self._step(1)
                break
            if character in " \t\n":
                self._step(1)
            elif self.text.startswith("\\\n", self.at):
                self._step(2)
            elif character == "#":
                self._skip_line()
            elif character in ";&|(":
                self._step(1)
            else:
                words.append(self._word())
        return words

    def _step(self, count: int) -> None:
        for character in self.text[self.at : self.at + count]:
            self.at += 1
            if character == "\n":
                self.line, self.start = self.line + 1, self.at

    def _skip_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _heredoc(self) -> None:
        match = re.compile(r"<<-?\s*(['\"]?)([\w.]+)\1").match(self.text, self.at)
        if match:
            self.heredocs.append(match[2])
            self._step(match.end() - match.start())
        else:
            self._step(2)

    def _skip_heredocs(self) -> None:
        for end in self.heredocs:
            match = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(self.text, self.at)
            self._step((match.end() if match else len(self.text)) - self.at)
        self.heredocs = []

    def _word(self) -> _Word:
        line, column, begin = self.line, self.at - self.start + 1, self.at
        pieces: list[tuple[str, str]] = []
        plain = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in " \t\n;&|)" or (character == "(" and not plain.endswith("$")):
                break
            if self.text.startswith("\\\n", self.at):
                self._step(2)
            elif character == "\\":
                plain += self.text[self.at + 1 : self.at + 2]
                self._step(2)
            elif character in "'\"":
                if plain:
                    pieces.append((plain, ""))
                    plain = ""
                pieces.append((self._quoted(character), character))
            elif character == "`" or self.text.startswith("$(", self.at):
                plain += "$("
                self._skip_substitution(character)
            elif self.text.startswith("${", self.at):
                end = self.text.find("}", self.at)
                stop = len(self.text) if end < 0 else end + 1
                plain += self.text[self.at : stop]
                self._step(stop - self.at)
            else:
                plain += character
                self._step(1)
        if plain:
            pieces.append((plain, ""))
        if self.at == begin:  # nothing that begins a word
            self._step(1)
        return _Word(tuple(pieces) or (("", ""),), line, column)

    def _quoted(self, quote: str) -> str:
        self._step(1)
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] != quote:
            self._step(2 if self.text[self.at] == "\\" and quote == '"' else 1)
        content = self.text[begin : self.at]
        self._step(1)
        return re.sub(r"\\\n", "", content) if quote == '"' else content

    def _skip_substitution(self, opening: str) -> None:
        """Past `$(...)` or backticks, which are never run."""
        if opening == "`":
            end = self.text.find("`", self.at + 1)
            self._step((len(self.text) if end < 0 else end + 1) - self.at)
            return
        depth, at, quote = 0, self.at + 1, ""
        while at < len(self.text):
            character = self.text[at]
            at += 2 if character == "\\" and quote != "'" else 1
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            else:
                depth += (character == "(") - (character == ")")
                if depth == 0:
                    break
        self._step(min(at, len(self.text)) - self.at)


def _told(words: list[_Word], *, perhaps: bool) -> Iterator[list[_Word] | _Assignment]:
    """Assignments at the start of a command, then the rest."""
    keyword = bool(words) and words[0].raw in {"export", "declare", "local", "readonly", "then", "else", "do"}
    head, rest = (words[:1], words[1:]) if keyword else ([], words)
    if head and head[0].raw in {"then", "else", "do"}:
        yield head
    while rest and rest[0].pieces[0][1] == "" and (match := _ASSIGNMENT.match(rest[0].pieces[0][0])):
        first, *others = rest[0].pieces
        remains = first[0][match.end() :]
        pieces = (*([(remains, "")] if remains else []), *others) or (("", ""),)
        column = rest[0].column + match.end() + (pieces[0][1] != "")
        yield _Assignment(match["name"], bool(match["more"]), [_Word(pieces, rest[0].line, column)], perhaps)
        rest = rest[1:]
    if rest:
        yield rest


def read_script(text: str, path: str) -> ForeignFile:
    """What a script's commands are given.

    Args:
        text: of the whole script.
        path: as it was named, for places.
    """
    script = _Script(path)
    script.read(_Lexer(text).commands())
    commands = [_command(path, text, words) for words in script.commands]
    commands = [replace(each, replaced=tuple(script.replaced), _by_name={}) for each in commands if each.settings]
    unused = [each for name, value in script.variables.items() if name not in script.used for each in value or ()]
    if not commands:
        leftover = replace(_command(path, text, _split(unused)), unread=("the script that uses these variables",))
        commands = [replace(leftover, replaced=tuple(script.replaced), _by_name={})] if leftover.settings else []
    return ForeignFile(
        path,
        "shell",
        text,
        settings=tuple(each for command in commands for each in command.settings),
        words=tuple(word for command in commands for word in command.words),
        unread=tuple(dict.fromkeys(said for command in commands for said in command.unread)),
        commands=tuple(commands),
        replaced=tuple(script.replaced),
    )


def _split(words: list[_Expanded]) -> list[_Expanded]:
    return [
        replace(each, text=part, raw=each.raw if UNKNOWN in part else part, open=each.open or part == UNKNOWN)
        for each in words
        for part in each.text.split()
    ]


def _command(path: str, text: str, words: list[_Expanded]) -> ForeignFile:
    """One command's flags; each takes the words up to the next one."""
    settings, index = [], 0
    unread = [f"line {word.line}: {shown(word.raw)}" for word in words if word.many]
    while index < len(words):
        word = words[index]
        index += 1
        if not word.text.startswith("--") or len(word.text) < 3:
            if word.open and not word.many:
                unread.append(f"line {word.line}: {shown(word.raw)}")
            continue
        name, equals, value = word.text[2:].partition("=")
        values = [value] if equals else []
        said = [word.raw]
        while not equals and index < len(words) and _is_value(words[index].text):
            if values and words[index].open:  # after a value of its own, it may be anything
                break
            values.append(words[index].text)
            said.append(words[index].raw)
            index += 1
        if not re.fullmatch(r"[\w.:-]+", name):
            continue
        joined = " ".join(values)
        known = UNKNOWN not in joined
        settings.append(
            Setting(
                name.replace("-", "_"),
                (joined if values else True) if known else None,
                " ".join(said),
                Place(path, word.line, word.column),
                known,
                word.certain,
            )
        )
    return ForeignFile(
        path,
        "shell",
        text,
        tuple(settings),
        tuple(word.text for word in words),
        tuple(word.source for word in words),
        unread=tuple(unread),
    )


def _is_value(word: str) -> bool:
    return not word.startswith("-") or word == "-" or bool(_NUMBER.fullmatch(word))
