"""Errors as values: they go to other processes whole."""

import pickle

import pytest

from pykopia import errors

MADE: dict[type, dict[str, object]] = {
    errors.ActionFailedError: {"message": "it ended", "status": 3, "output": ("last line",)},
    errors.CollidingNamesError: {"groups": [["a\udcff", "a\udcfe"]]},
    errors.ContradictedViewError: {"what": "delete", "location": "here", "contradictions": ["one"]},
    errors.UnreadableFileError: {"path": "a/b", "cause": errors.BlobNotFoundError("p1", "here")},
}


def every_error() -> list[errors.PykopiaError]:
    made = []
    for name in errors.__all__:
        kind = getattr(errors, name)
        code = getattr(kind.__init__, "__code__", None)
        named = code.co_varnames[1 : code.co_argcount] if code is not None else ()
        arguments = MADE.get(kind) or {each: 7 if each in ("offset", "length") else f"the {each}" for each in named}
        made.append(kind(**arguments) if arguments else kind("what happened"))
    return made


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_an_error_is_whole_after_a_journey_to_another_process(error: errors.PykopiaError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.exit_code, again.temporary) == (error.exit_code, error.temporary)
    assert again.__dict__.keys() == error.__dict__.keys()
    if isinstance(error, OSError):
        assert isinstance(again, OSError)
        assert again.errno == error.errno
