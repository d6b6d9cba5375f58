"""How an import says no to a file: which file, which column, why, and what to do.

Belongs here: the exception and the texts in it. Does not: the reasons (``reading.py``, ``archives.py``,
``books.py``), refused rows (``imports.py``).
"""

from __future__ import annotations


class ImportRefused(Exception):
    """A file cannot be imported; nothing of it nor of the files beside it has landed.

    Parameters
    ----------
    file : str
        The file's name.
    field : str
        The column at fault; empty where the file as a whole is.
    reason : str
    what_to_do : str
    """

    def __init__(self, file: str, field: str, reason: str, what_to_do: str) -> None:
        self.file = printable(file)
        self.field = printable(field)
        self.reason = printable(reason)
        self.what_to_do = what_to_do
        column = f", column {self.field!r}" if field else ""
        super().__init__(f"{self.file}{column}: {self.reason}: {what_to_do}")


def short(error: BaseException) -> str:
    """Return an error's text in one line of bounded length."""
    return f"{' '.join(str(error).split()) or type(error).__name__:.200}"


def printable(text: str) -> str:
    """Return a text with everything that a terminal or a line-based reader could misread written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
