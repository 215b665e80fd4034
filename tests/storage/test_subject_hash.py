"""The hash of a subject is that of OpenSSL, whatever the spelling."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pykopia.storage.subject_hash import subject_hash

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(subject: x509.Name) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )


def named(*parts: x509.NameAttribute[str]) -> x509.Name:
    return x509.Name([x509.RelativeDistinguishedName([part]) for part in parts])


ORGANIZATION, COUNTRY, COMMON = NameOID.ORGANIZATION_NAME, NameOID.COUNTRY_NAME, NameOID.COMMON_NAME


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
@pytest.mark.parametrize(
    "subject",
    [
        named(x509.NameAttribute(COMMON, "pykopia test authority")),
        named(x509.NameAttribute(COMMON, "  Two  Blanks\t and\n a TAB ")),
        named(x509.NameAttribute(COMMON, "ÄÖÜ Größe ŻÓŁW"), x509.NameAttribute(COUNTRY, "DE")),
        named(x509.NameAttribute(COMMON, "ascii", _ASN1Type.PrintableString)),
        named(x509.NameAttribute(COMMON, "Ünder", _ASN1Type.BMPString)),
        named(x509.NameAttribute(COMMON, "x" * 64), *[x509.NameAttribute(ORGANIZATION, f"unit {n}") for n in range(9)]),
        x509.Name(
            [x509.RelativeDistinguishedName([x509.NameAttribute(COMMON, "b"), x509.NameAttribute(ORGANIZATION, "a")])]
        ),
        x509.Name([]),
    ],
)
def test_the_hash_is_that_of_openssl(subject: x509.Name) -> None:
    made = certificate(subject)
    words = ["openssl", "x509", "-subject_hash", "-noout"]
    expected = subprocess.run(words, input=made.public_bytes(Encoding.PEM), check=True, capture_output=True).stdout
    assert subject_hash(made.public_bytes(Encoding.DER)) == expected.decode().strip()


@given(st.binary(max_size=60) | st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=3)))
def test_what_is_no_certificate_is_a_value_error(text: bytes | tuple[int, bytes]) -> None:
    if isinstance(text, tuple):
        whole = certificate(named(x509.NameAttribute(COMMON, "a"))).public_bytes(Encoding.DER)
        position, other = text
        text = whole[:position] + other + whole[position + len(other) :]
    try:
        assert len(subject_hash(text)) == 8
    except ValueError:
        return
