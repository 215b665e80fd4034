"""Turns the output of ``pip list --format=json`` into a bill of materials in SPDX 2.3, for the image.

``python -m pykopia_mover.sbom packages.json > sbom.spdx.json``
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any


def document(packages: list[dict[str, str]]) -> dict[str, Any]:
    """Return the SPDX document of some packages; the same packages give the same document."""
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    entries = [
        {
            "SPDXID": f"SPDXRef-{re.sub('[^A-Za-z0-9.-]', '-', package['name'])}",
            "name": package["name"],
            "versionInfo": package["version"],
            "downloadLocation": "NOASSERTION",
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": f"pkg:pypi/{package['name'].lower()}@{package['version']}",
                }
            ],
        }
        for package in packages
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "pykopia-mover",
        "documentNamespace": f"https://pykopia.invalid/sbom/{digest}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: pykopia-mover-sbom"]},
        "packages": entries,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": entry["SPDXID"],
            }
            for entry in entries
        ],
    }


if __name__ == "__main__":
    json.dump(document(json.loads(Path(sys.argv[1]).read_text("utf-8"))), sys.stdout, indent=1)

__all__ = ["document"]
