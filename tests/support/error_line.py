"""What a tool says about a mistake of its user."""


def assert_error(result, *words):
    """The process failed with exactly one error line, which holds all the words."""
    said = result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1, said
    assert len(lines) == 1 and "Traceback" not in said, said
    assert [word for word in words if word not in lines[0]] == [], lines[0]
