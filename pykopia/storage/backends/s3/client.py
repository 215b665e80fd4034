"""The few requests of S3 that a repository needs, by the signer and the credentials of the SDK, without its service models.

The SDK reads megabytes of descriptions before its first request: a short command waits for that longer than for the service.
Methods, arguments, answers and errors are those of the SDK's client. Connections are urllib3's, as in the SDK.
"""

import base64
import email.utils
import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote_plus
from xml.etree.ElementTree import Element, ParseError, fromstring

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError

from pykopia.storage.backends.s3.address import S3Address
from pykopia.storage.backends.s3.sdk import SDK, Key
from pykopia.storage.http_connections import send
from pykopia.storage.service_errors import is_page_of_another, is_web_page

_USER_AGENT = "pykopia"
_UNSIGNED = SimpleNamespace(s3={"payload_signing_enabled": False})
"""Value that makes the SDK's signer rely on a signed checksum of the body."""
_HEADERS = {
    "ContentType": "Content-Type",
    "ContentMD5": "Content-MD5",
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "StorageClass": "x-amz-storage-class",
    "ObjectLockMode": "x-amz-object-lock-mode",
    "ObjectLockRetainUntilDate": "x-amz-object-lock-retain-until-date",
    "IfNoneMatch": "If-None-Match",
    "Range": "Range",
}
"""Headers by the SDK's names of arguments."""
_OTHER_REGION = frozenset({301, 307, 400, 403})
"""Statuses by which a service may say that a bucket is in another region."""

_REGIONS = 3
"""Regions that a request is tried with. Servers behind one address may name each other's region for ever."""


class OtherServerError(OSError):
    """The server is not an S3 service."""

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type
        super().__init__("what answers is no S3 service")


class S3Client:
    """Makes requests for one bucket; safe for threads.

    Args:
        address: The bucket.
        sdk: Finds credentials where there is no key.
        region: Of the bucket, as far as it is known; a service may name another one.
        pool: Connections, with time limits, TLS settings and proxy.
        key: Signs the requests; None: what the SDK finds.
    """

    def __init__(
        self, address: S3Address, *, sdk: SDK, region: str, pool: urllib3.PoolManager, key: Key | None
    ) -> None:
        self.sdk, self.region = sdk, region
        self._address, self._pool, self._key = address, pool, key

    def get_object(self, *, Key: str, Range: str = "", VersionId: str = "", **_: str) -> dict[str, Any]:  # noqa: N803
        """Return an object, or a range of it: ``Body`` is to be read and closed."""
        answer = self._request("GET", Key, {"versionId": VersionId}, {"Range": Range}, stream=True)
        return {"Body": answer, "ResponseMetadata": {"HTTPStatusCode": answer.status}}

    def put_object(self, *, Key: str, Body: Any, **more: Any) -> dict[str, str]:  # noqa: ANN401, N803
        """Create or replace an object; ``Body`` has a length and gives pieces."""
        headers = {_HEADERS[name]: _text(value) for name, value in more.items() if name in _HEADERS}
        answer = self._request("PUT", Key, {}, {**headers, "Content-Length": str(len(Body))}, body=Body)
        crc = answer.headers.get("x-amz-checksum-crc32")
        return {"ChecksumCRC32": crc} if crc else {}

    def head_object(self, *, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """Return length and time of an object."""
        headers = self._request("HEAD", Key, {}, {}).headers
        try:
            modified = email.utils.parsedate_to_datetime(headers["Last-Modified"])
            return {"ContentLength": int(headers["Content-Length"]), "LastModified": modified}
        except (KeyError, ValueError):
            raise OtherServerError(headers.get("Content-Type", "")) from None

    def delete_object(self, *, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """Delete an object."""
        self._request("DELETE", Key, {}, {})
        return {}

    def list_objects_v2(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a page of a listing."""
        tree = self._listing("ListBucketResult", {"list-type": "2"}, arguments)
        return {"Contents": _items(tree, "Contents"), **_where_to_go_on(tree, arguments)}

    def list_object_versions(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a page of a listing of all versions."""
        tree = self._listing("ListVersionsResult", {"versions": ""}, arguments)
        found = {"Versions": _items(tree, "Version"), "DeleteMarkers": _items(tree, "DeleteMarker")}
        return {**found, **_where_to_go_on(tree, arguments)}

    def get_bucket_versioning(self, **_: str) -> dict[str, str]:
        """Return whether the bucket keeps versions."""
        tree = _parsed(self._request("GET", "", {"versioning": ""}, {}), "VersioningConfiguration")
        return {"Status": tree.findtext("Status") or ""}

    def put_object_retention(self, *, Key: str, Retention: Mapping[str, Any], **_: str) -> dict[str, Any]:  # noqa: N803
        """Lock an object."""
        members = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in Retention.items())
        body = f'<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{members}</Retention>'.encode()
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")
        self._request("PUT", Key, {"retention": ""}, {"Content-MD5": digest}, body=body)
        return {}

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _listing(self, root: str, query: Mapping[str, str], arguments: Mapping[str, Any]) -> Element:
        names = {
            "Prefix": "prefix",
            "Delimiter": "delimiter",
            "MaxKeys": "max-keys",
            "ContinuationToken": "continuation-token",
            "KeyMarker": "key-marker",
            "VersionIdMarker": "version-id-marker",
        }
        asked = {names[name]: str(value) for name, value in arguments.items() if name in names and value != ""}
        return _parsed(self._request("GET", "", {**query, **asked, "encoding-type": "url"}, {}), root)

    def _request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        body: Any = None,  # noqa: ANN401 -- what urllib3 sends
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Make a request, and again if the service says that the bucket is in a region that was not tried yet.

        Raises:
            ClientError: What the service answered.
            OtherServerError: Something else answered.
            HTTPError: The connection failed.
        """
        region = self.region
        tried = {region}
        while True:
            answer = self._send(method, key, query, headers, body, region)
            if answer.status < 300:
                if is_web_page(answer.headers.get("Content-Type")):
                    answer.release_conn()
                    raise OtherServerError(answer.headers["Content-Type"])
                if not stream:
                    _ = answer.data
                return answer
            error = _error(method, answer)
            told = answer.headers.get("x-amz-bucket-region") or error.response["Error"].get("Region")
            if answer.status not in _OTHER_REGION or not told or told in tried or len(tried) == _REGIONS:
                raise error
            self.region = region = told
            tried.add(region)

    def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Any,  # noqa: ANN401 -- what urllib3 sends
        region: str,
    ) -> urllib3.BaseHTTPResponse:
        asked = "&".join(
            f"{name}={quote(value, safe='-_.~')}" for name, value in query.items() if value or name in _FLAGS
        )
        url = self._address.url(key, region) + (f"?{asked}" if asked else "")
        request = AWSRequest(method, url, headers={name: value for name, value in headers.items() if value})
        request.context["client_config"] = _UNSIGNED
        S3SigV4Auth(self._credentials(), "s3", region).add_auth(request)
        signed = {**dict(request.headers.items()), "User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        return send(self._pool, method, url, headers=signed, body=body)

    def _credentials(self) -> Any:  # noqa: ANN401 -- the SDK has no types
        if self._key is not None:
            return self._key
        found = self.sdk.session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()


_FLAGS = frozenset({"versions", "versioning", "retention"})
"""Parts of a query that have no value."""


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return str(value)


def _error(method: str, answer: urllib3.BaseHTTPResponse) -> ClientError:
    """Return the error of an answer, as the SDK raises it.

    Raises:
        OtherServerError: No S3 service answers so.
    """
    content = answer.data
    kind = answer.headers.get("Content-Type", "")
    told: dict[str, str] = {"Code": str(answer.status), "Message": answer.reason or ""}
    try:
        tree = _without_namespaces(fromstring(content)) if content else None  # noqa: S314 -- expat bounds what entities expand to
    except ParseError:
        tree = None
    if tree is not None and tree.tag == "Error":
        told |= {child.tag: child.text or "" for child in tree}
    elif is_page_of_another(answer.status, kind):
        raise OtherServerError(kind)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    described = {"HTTPStatusCode": answer.status, "HTTPHeaders": headers}
    return ClientError({"Error": told, "ResponseMetadata": described}, method)


def _parsed(answer: urllib3.BaseHTTPResponse, root: str) -> Element:
    try:
        tree = _without_namespaces(fromstring(answer.data))  # noqa: S314 -- expat bounds what entities expand to
    except ParseError:
        tree = None
    if tree is None or tree.tag != root:
        raise OtherServerError(answer.headers.get("Content-Type", ""))
    return tree


def _without_namespaces(tree: Element) -> Element:
    for item in tree.iter():
        item.tag = item.tag.rpartition("}")[2]
    return tree


def _items(tree: Element, tag: str) -> list[dict[str, Any]]:
    quoted = tree.findtext("EncodingType") == "url"
    found = []
    for item in tree.iter(tag):
        key = item.findtext("Key") or ""
        try:
            size = int(item.findtext("Size") or 0)
            modified = datetime.fromisoformat(item.findtext("LastModified") or "")
        except ValueError:
            raise OtherServerError("application/xml") from None
        found.append(
            {
                "Key": unquote_plus(key) if quoted else key,
                "Size": size,
                "LastModified": modified,
                "VersionId": item.findtext("VersionId") or "",
            }
        )
    return found


def _where_to_go_on(tree: Element, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether another page follows, and the arguments that ask for it, with the SDK's prefix ``Next``.

    Raises:
        OtherServerError: The next page would be this one again, without end.
    """
    marker = tree.findtext("NextKeyMarker") or ""
    markers = {
        "ContinuationToken": tree.findtext("NextContinuationToken") or "",
        "KeyMarker": unquote_plus(marker) if tree.findtext("EncodingType") == "url" else marker,
        "VersionIdMarker": tree.findtext("NextVersionIdMarker") or "",
    }
    truncated = (tree.findtext("IsTruncated") or "").strip().lower() == "true"
    if truncated and all(arguments.get(name, "") == value for name, value in markers.items()):
        raise OtherServerError("application/xml")
    return {"IsTruncated": truncated, **{f"Next{name}": value for name, value in markers.items()}}


__all__ = ["OtherServerError", "S3Client"]
