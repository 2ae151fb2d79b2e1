"""The error a user can mend."""


class UserError(Exception):
    """A mistake in what the user gave: a flag, a file, an annotation, a setting.

    Its message is one line that names what is wrong, where, what was expected, what was found and the remedy.
    The tools print it as `error: <message>` and exit with 1; anything else is a bug of ours and keeps its traceback.
    """
