"""Recipes that a stranger's pull request might bring; reading any of them must end soon, in findings."""

from __future__ import annotations

from tests.support.recipe_texts import MLP, edited


def _bomb(first: str, line: str, levels: int) -> str:
    return first + "".join(line.format(n=n, m=n - 1) for n in range(1, levels))


_TEN = ", ".join(["*a{m}"] * 10)

_TEXTS: dict[str, str | bytes] = {
    "alias-bomb": _bomb("a0: &a0 [x, x]\n", f"a{{n}}: &a{{n}} [{_TEN}]\n", 12),
    "merge-bomb": _bomb("a0: &a0 {x: 1}\n", f"a{{n}}: &a{{n}} {{{{<<: [{_TEN}]}}}}\n", 12),
    "recursive-alias": "a: &a [*a]\n",
    "deep-brackets": "[" * 30_000,
    "deep-braces": "{a: " * 15_000,
    "deep-dashes": "- " * 30_000,
    "deep-keys": "? " * 30_000,
    "deep-indentation": "".join(f"{' ' * n}a:\n" for n in range(300)),
    "many-entries": f"a: [{'1,' * 30_000}]",
    "many-keys": "".join(f"k{n}: 1\n" for n in range(6000)),
    "many-documents": "---\n" * 15_000,
    "many-anchors": "".join(f"k{n}: &a{n} 1\n" for n in range(3000)),
    "many-flow-keys": f"{{{'a: 1, ' * 4000}}}",
    "python-function": "a: !!python/name:os.system\n",
    "python-call": "a: !!python/object/apply:os.system ['touch owned']\n",
    "python-object": "!!python/object/new:type {args: ['z', [], {extend: !!python/name:exec }]}\n",
    "local-tag": "a: !include /etc/passwd\n",
    "tag-directive": "%TAG ! tag:evil.example,2000:\n---\na: !x 1\n",
    "duplicate-keys": edited(MLP, ("  steps: 100", "  steps: 100\n  steps: 100000000")),
    "nul": "name: a\0b\n",
    "nul-escape": 'name: "a\\0b"\n',
    "terminal-escape": "name: \x1b]0;owned\x07\n",
    "terminal-escape-quoted": 'name: "\\e[2J"\n',
    "byte-order-mark": b"\xef\xbb\xbf" + MLP.encode(),
    "utf-16": MLP.encode("utf-16"),
    "utf-32": MLP.encode("utf-32"),
    "latin-1": edited(MLP, ("name: small", "description: café\nname: small")).encode("latin-1"),
    "surrogate": b"name: \xed\xa0\x80\n",
    "bidi": edited(MLP, ("name: small", "name: small # \u202e txet\u202c")),
    "zero-width": edited(MLP, ("steps: 100", "steps\u200b: 100")),
    "line-separator": "name: a\u2028model: b\n",
    "long-scalar": "name: " + "x" * 1_000_000,
    "long-scalar-below-the-limit": "name: " + "x" * 60_000,
    "long-key": "k" * 60_000 + ": 1\n",
    "long-block": "a: |\n" + "  text\n" * 8_000,
    "long-quotes": "a: '" + "''" * 30_000 + "'\n",
    "unclosed-quote": 'a: "' + "x" * 60_000,
    "long-number": "a: " + "9" * 60_000,
    "long-fraction": "a: 0." + "9" * 60_000,
    "huge-sizes": edited(MLP, ("width: 1024, depth: 4", f"width: {'9' * 60}, depth: {'9' * 60}")),
    "huge-search": edited(MLP, ("tune:", "tune:\n  trials: 1000000000")),
    "endless-grid": MLP + "check: {spacing: 1e-300, octaves: 1e300}\n",
    "climbing-path": edited(MLP, ("{kind: stdlib-text}", "{kind: text, files: [../../etc/passwd]}")),
    "absolute-path": edited(MLP, ("{kind: stdlib-text}", "{kind: text, files: [/etc/passwd]}")),
    "run-folder-escape": edited(MLP, ("name: small", "name: ../../small")),
    "workflow-command": 'name: "x\\n::error file=a::owned"\n',
    "bad-escape": 'a: "\\UFFFFFFFF"\n',
    "binary": bytes(range(256)) * 200,
    "empty": b"",
}
CORPUS = {name: text.encode() if isinstance(text, str) else text for name, text in _TEXTS.items()}
