"""Tools that Anthropic defines and the client runs, as functions: what their definitions at Anthropic come to.

Claude knows them by their types alone. Any other model has to be told, in the words of Anthropic's documentation; its
calls then are what the client expects. What Anthropic counts for them (a shell 245 tokens, an editor 700) is less than
their functions are bounded with, so that bounds hold for Claude, too.
"""

from __future__ import annotations

from typing import Any, Final

_LINES: Final = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "For `view` of a file: the first and the last line to show, from 1; -1 is the end.",
}
_PATH: Final = {"type": "string", "description": "The absolute path of the file or directory."}
_OLD: Final = {
    "type": "string",
    "description": "For `str_replace`: the text to replace, exactly as it stands in the file, white space included. It "
    "must be there once only.",
}
_INSERTED: Final = {
    "file_text": {"type": "string", "description": "For `create`: what the file is to hold."},
    "old_str": _OLD,
    "new_str": {"type": "string", "description": "For `str_replace`: the text in its place."},
    "insert_line": {
        "type": "integer",
        "description": "For `insert`: the line behind which the text is put; 0 is the beginning of the file.",
    },
    "insert_text": {"type": "string", "description": "For `insert`: the text to put there."},
    "view_range": _LINES,
}


def _command(*names: str) -> dict[str, Any]:
    return {"type": "string", "enum": [*names], "description": "What to do."}


_BASH: Final = (
    "A shell that stays open: what one command sets, the next one finds. It takes no input while a command runs.",
    {
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command to run. Needed unless `restart` is true."},
            "restart": {"type": "boolean", "description": "True to start the shell anew, without a command."},
        },
    },
)
_EDITOR: Final = (
    "Shows, creates and edits text files. `view` shows a file with line numbers, or lists a directory; `create` writes "
    "a new file; `str_replace` replaces a text that is in the file once; `insert` puts a text behind a line.",
    {
        "type": "object",
        "properties": {
            "command": _command("view", "create", "str_replace", "insert"),
            "path": _PATH,
            **_INSERTED,
        },
        "required": ["command", "path"],
    },
)
_MEMORY: Final = (
    "Notes that last: files below the directory /memories, which are still there in later conversations. Look there "
    "before you begin, and write down what will be needed again. `view` shows a file, or lists a directory; `create` "
    "writes a file; `str_replace` and `insert` edit one; `delete` removes one; `rename` moves one.",
    {
        "type": "object",
        "properties": {
            "command": _command("view", "create", "str_replace", "insert", "delete", "rename"),
            "path": _PATH,
            **_INSERTED,
            "old_path": {"type": "string", "description": "For `rename`: the path it has."},
            "new_path": {"type": "string", "description": "For `rename`: the path it is to have."},
        },
        "required": ["command"],
    },
)
_KNOWN: Final = {"bash_": _BASH, "text_editor_": _EDITOR, "memory_": _MEMORY}


def function_of(kind: str, name: str) -> dict[str, Any] | None:
    """The function for a tool of the type `kind`, such as `bash_20250124`; None for one that is not known."""
    found = next((known for prefix, known in _KNOWN.items() if kind.startswith(prefix)), None)
    if found is None:
        return None
    description, parameters = found
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
