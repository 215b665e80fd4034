"""Address of an S3 bucket: host name or path, and the server of its region.

The rules are those of Kopia's client (minio-go): the bucket stands in the host name at Amazon, Google and Alibaba, whose services
want it there, and in the path everywhere else. A dot in the name of the bucket makes it the path, as no certificate covers it.
"""

import re
from urllib.parse import quote

from pykopia.dataclass import dataclass

DEFAULT_REGION = "us-east-1"
STYLES = ("", "path", "virtual")
"""Values of ``addressingStyle``: by the rules, always in the path, always in the host name."""

_REGIONAL = re.compile(
    r"s3(?:[.-](?P<dualstack>dualstack\.)?(?P<region>[a-z]{2,}(?:-[a-z0-9]+)+-\d))?\.amazonaws\.com(?P<china>\.cn)?"
)
"""Endpoints of Amazon that have one server per region."""
_AMAZON = re.compile(
    r"s3-external-1\.amazonaws\.com|s3[.-](?!outposts|control\.|website)[a-z0-9.-]+\.amazonaws\.com(\.cn)?"
    r"|(?:bucket|accesspoint)\.vpce-[a-z0-9.-]+\.s3\.[a-z0-9-]+\.vpce\.amazonaws\.com"
)
_GOOGLE = "storage.googleapis.com"
_ALIBABA = re.compile(r"(?:.*\.)?aliyuncs\.com")
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Address:
    """A bucket at an endpoint."""

    endpoint: str
    """Host, or host and port."""
    bucket: str
    tls: bool = True
    style: str = ""
    """One of ``STYLES``."""

    @property
    def region(self) -> str:
        """The region that the endpoint names; empty if it names none."""
        match = _REGIONAL.fullmatch(self._host)
        return (match and match["region"]) or ""

    @property
    def in_host_name(self) -> bool:
        """Whether the host name holds the bucket."""
        if self.style:
            return self.style == "virtual"
        if (self.tls and "." in self.bucket) or not _HOST_LABEL.fullmatch(self.bucket):
            return False
        host = self._host
        return bool(_REGIONAL.fullmatch(host) or _AMAZON.fullmatch(host) or host == _GOOGLE or _ALIBABA.fullmatch(host))

    def url(self, key: str, region: str) -> str:
        """Return the URL of an object, or of the bucket where ``key`` is empty.

        Args:
            key: Name of the object.
            region: Of the bucket; Amazon has a server for each.
        """
        host = self._regional(region)
        path = quote(key, safe="/-_.~")
        scheme = "https" if self.tls else "http"
        if self.in_host_name:
            return f"{scheme}://{self.bucket}.{host}/{path}"
        bucket = quote(self.bucket, safe="-_.~")
        return f"{scheme}://{host}/{bucket}/{path}" if key else f"{scheme}://{host}/{bucket}"

    @property
    def _host(self) -> str:
        return self.endpoint.rpartition(":")[0] if re.search(r":\d+$", self.endpoint) else self.endpoint

    def _regional(self, region: str) -> str:
        match = _REGIONAL.fullmatch(self.endpoint)
        if match is None or (region == DEFAULT_REGION and not match["dualstack"]):
            return self.endpoint if match is None else f"s3.amazonaws.com{match['china'] or ''}"
        china = ".cn" if region.startswith("cn-") else ""
        return f"s3.{match['dualstack'] or ''}{region}.amazonaws.com{china}"


__all__ = ["DEFAULT_REGION", "STYLES", "S3Address"]
