"""A bucket that speaks S3: the variables of the environment that name it."""

import re

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.s3.options import DEFAULT_S3_ENDPOINT, S3Options
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables, parse_ini

_AMAZON = ".amazonaws.com"
_STRICT_BUCKET = re.compile(r"(?=.{3,63}$)[a-z0-9](?:[a-z0-9-]|\.(?!\.))*[a-z0-9]")
_LOOSE_BUCKET = re.compile(r"(?=.{3,63}$)[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*[A-Za-z0-9]")


def _options(variables: Variables, url: URLConfig) -> S3Options:
    endpoint, plain = _endpoint(variables)
    bucket = variables.over(url.get("bucket", ""), "KOPIA_S3_BUCKET")
    if not bucket:
        raise InvalidEnvironmentError("KOPIA_S3_BUCKET", "must be defined, or a URL s3://BUCKET in KOPIA_REPOSITORY")
    if not _STRICT_BUCKET.fullmatch(bucket):
        name = variables.set_name("KOPIA_S3_BUCKET", "KOPIA_REPOSITORY")
        reason = f"names the bucket {bucket!r}; a name has 3 to 63 lower-case letters, digits, dots and hyphens"
        if endpoint.partition(":")[0].endswith(_AMAZON) or not _LOOSE_BUCKET.fullmatch(bucket):
            raise InvalidEnvironmentError(name, reason)
        variables.warn(f"{name} {reason}: not every server takes it")
    key_id, key, token, region = _aws_keys(variables)
    return S3Options(
        bucket=bucket,
        prefix=variables.over(url.get("prefix", ""), "KOPIA_S3_PREFIX", normal=_prefix),
        endpoint=endpoint,
        do_not_use_tls=plain,
        access_key_id=key_id,
        secret_access_key=key,
        session_token=token,
        role_arn="" if key_id else variables.text("AWS_ROLE_ARN"),
        session_name="" if key_id else variables.text("AWS_ROLE_SESSION_NAME"),
        web_identity_token_file="" if key_id else variables.text("AWS_WEB_IDENTITY_TOKEN_FILE"),
        addressing_style=variables.text("KOPIA_S3_ADDRESSING_STYLE").lower(),
        region=variables.text("KOPIA_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION") or region,
    )


def _prefix(text: str) -> str:
    """Return a folder in a bucket as object names start: one slash after each part, none before."""
    return "".join(f"{part}/" for part in text.strip().split("/") if part)


def _endpoint(variables: Variables) -> tuple[str, bool]:
    """Return host and port, and whether to speak plain HTTP."""
    names = ("KOPIA_S3_ENDPOINT", "AWS_S3_ENDPOINT")
    text, name = variables.text(*names).strip(), variables.set_name(*names)
    plain_flags = [flag for flag in ("KOPIA_S3_DISABLE_TLS", "AWS_S3_DISABLE_TLS") if variables.flag(flag)]
    if not text:
        return DEFAULT_S3_ENDPOINT, bool(plain_flags)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    elif scheme.lower() not in {"http", "https"}:
        raise InvalidEnvironmentError(name, "must be a host, a host with a port, or a URL of http or https")
    host = rest.removesuffix("/")
    if "@" in host:
        raise InvalidEnvironmentError(
            name, "can't hold a user or password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not host or "/" in host or any(mark in host for mark in "?# "):
        raise InvalidEnvironmentError(name, "must be a host, a host with a port, or their URL, without a path")
    if plain_flags and scheme.lower() == "https":
        variables.warn(f"{plain_flags[0]} is set: the storage is reached without TLS although {name} says https")
    return host, bool(plain_flags) or scheme.lower() == "http"


def _aws_keys(variables: Variables) -> tuple[str, str, str, str]:
    """Return key ID, secret key, session token and region: of variables, else of the named profile."""
    key_id, key = variables.text("AWS_ACCESS_KEY_ID"), variables.text("AWS_SECRET_ACCESS_KEY")
    if bool(key_id) != bool(key):
        missing = "AWS_SECRET_ACCESS_KEY" if key_id else "AWS_ACCESS_KEY_ID"
        raise InvalidEnvironmentError(missing, "must be defined: a static key has an ID and a secret, and one is set")
    profile = variables.text("AWS_PROFILE")
    if key_id or not profile:
        return key_id, key, variables.text("AWS_SESSION_TOKEN") if key_id else "", ""
    home = variables.text("HOME") or "~"
    files = {
        variables.text("AWS_SHARED_CREDENTIALS_FILE") or f"{home}/.aws/credentials": profile,
        variables.text("AWS_CONFIG_FILE") or f"{home}/.aws/config": profile
        if profile == "default"
        else f"profile {profile}",
    }
    values: dict[str, str] = {}
    for path, section in files.items():
        values = {**_section(variables.file(path), section), **values}
    looked = " and ".join(files)
    if not values:
        raise InvalidEnvironmentError("AWS_PROFILE", f"names the profile {profile}, which is in none of {looked}")
    if not (values.get("aws_access_key_id") and values.get("aws_secret_access_key")):
        raise InvalidEnvironmentError(
            "AWS_PROFILE", f"names the profile {profile}, which has no static key in {looked}; others are not supported"
        )
    return (
        values["aws_access_key_id"],
        values["aws_secret_access_key"],
        values.get("aws_session_token", ""),
        values.get("region", ""),
    )


def _section(text: str | None, name: str) -> dict[str, str]:
    """Return one section of an INI file; an empty one if it is not there."""
    parser = parse_ini(text or "")
    return dict(parser[name]) if parser is not None and parser.has_section(name) else {}


ENVIRONMENT = EnvironmentBackend(
    rank=0,
    variables=(
        "KOPIA_S3_BUCKET", "KOPIA_S3_PREFIX", "KOPIA_S3_ADDRESSING_STYLE",
        "KOPIA_S3_ENDPOINT", "AWS_S3_ENDPOINT", "KOPIA_S3_DISABLE_TLS",
        "AWS_S3_DISABLE_TLS", "KOPIA_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    needs=(("KOPIA_S3_BUCKET",),),
    make=_options,
    ambient=frozenset(
        {
            "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
            "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
        }
    ),
    legacy=lambda prefix: prefix.rstrip("/"),
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
