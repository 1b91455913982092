"""Plain YAML whose mappings have each key once: PyYAML keeps the last of several in silence."""

from __future__ import annotations

from typing import Any

import yaml

try:  # libyaml reads twenty times as fast; without it Python reads the same
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]  # either builds plain data

__all__ = ["OnceLoader", "SafeLoader", "yaml_content"]


class OnceLoader(SafeLoader):
    """Builds plain data; a key that a mapping has twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The content of a mapping.

        Args:
            node: as it was composed.
            deep: whether what lies in it is built at once.

        Raises:
            YAMLError: a key is there twice.
        """
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in seen:
                said = f"line {line}: the key `{key.value[:80]}` is in line {seen[name]} already"
                raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
            seen[name] = line
        return super().construct_mapping(node, deep)


def yaml_content(text: str) -> Any:
    """The one document of a text, as plain data.

    Args:
        text: YAML of a whole file.

    Raises:
        YAMLError: it is no YAML, or a mapping has a key twice.
    """
    return yaml.load(text, OnceLoader)  # noqa: S506 - a safe one
