"""Keys that are derived before they are asked for."""

import pytest

from pykopia.errors import DamagedFormatBlobError, UnsupportedFormatError
from pykopia.format import keys
from pykopia.repository import early_key


def test_a_derivation_that_began_early_is_used_once_and_for_the_same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def derive(password: bytes, salt: bytes, length: int) -> bytes:
        asked.append(password)
        return (password + salt)[:length]

    monkeypatch.setattr(keys, "KEY_DERIVATIONS", {"quick": derive})
    salt = bytes(range(32))
    early_key.begin("one", algorithm="quick", salt=salt)
    assert early_key.derive("one", algorithm="quick", salt=salt) == b"one" + salt[:29]
    assert early_key.derive("one", algorithm="quick", salt=salt) == b"one" + salt[:29]
    assert asked == [b"one", b"one"]
    for password, other in (("two", salt), ("one", salt[1:])):
        early_key.begin("one", algorithm="quick", salt=salt)
        assert early_key.derive(password, algorithm="quick", salt=other) == (password.encode() + other)[:32]


@pytest.mark.parametrize(("algorithm", "salt"), [("unknown", bytes(32)), (keys.DEFAULT_KEY_DERIVATION, bytes(3))])
def test_what_can_not_be_derived_early_is_told_when_it_is_asked_for(algorithm: str, salt: bytes) -> None:
    early_key.begin("one", algorithm=algorithm, salt=salt)
    with pytest.raises((UnsupportedFormatError, DamagedFormatBlobError)):
        early_key.derive("one", algorithm=algorithm, salt=salt)
