"""What is wrong in a definition file, told so that its author finds the place.

Knows files, lines and elements; nothing of what a correct file would contain.
"""

from gateway.errors import ConfigError


class DefinitionError(ConfigError):
    """A definition file can't be used. Nothing of it was loaded."""

    def __init__(self, file: str, line: int | None, element: str, problem: str) -> None:
        at = f"{file}, line {line}" if line else file
        super().__init__(f"{at}: {element}: {problem}" if element else f"{at}: {problem}")
        self.file = file
        self.line = line
        self.element = element
        self.problem = problem
