"""The one exception for everything a user can mend."""


class BadInput(Exception):
    """Bad input, in one line: what is wrong, where, and how to mend it.

    The command line and the workflow's scripts print the line, leave nothing half-written and exit with 1; any other
    exception is a defect of the program and keeps its traceback.
    """

    def __init__(self, message: str):
        # Messages quote hostile files: nothing that would steer a terminal.
        shown = "".join(character if character.isprintable() else "?" for character in " ".join(message.split()))
        super().__init__(shown)


class Damaged(BadInput):
    """A file that is not what its source gave: getting it again may help."""


def nearest(name: str, known) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to ``name``, else the list of known names."""
    import difflib

    known = sorted(str(key) for key in known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known) or 'none'}"
