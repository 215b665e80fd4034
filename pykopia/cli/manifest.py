"""`manifest list`, `manifest show`, `manifest delete`."""

from pykopia.cli import jsontext
from pykopia.cli.flags.manifest import ManifestDeleteOptions, ManifestListOptions, ManifestShowOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.format import gojson
from pykopia.format.manifest import ManifestEntry


def list_manifests(session: Session, options: ManifestListOptions) -> None:
    """List manifests."""
    labels = dict(_label(text) for text in options.filter)
    with session.open() as repository:
        entries = repository.manifests.find(labels)
    entries.sort(key=lambda entry: ([entry.labels.get(key, "") for key in options.sort], entry.modified_ns))
    if options.json:
        printer = options.json_list(session)
        for entry in entries:
            printer.add(_as_json(entry))
        printer.end()
        return
    for entry in entries:
        others = " ".join(sorted(f"{key}:{value}" for key, value in entry.labels.items() if key != "type"))
        when = session.time(entry.modified_ns)
        session.write(f"{entry.id} {len(entry.data):>10} {when} type:{entry.type} {others}")


def _label(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not key or not colon:
        message = f"--filter must be KEY:VALUE; it is {text!r}"
        raise CommandLineError(message)
    return key, value


def _as_json(entry: ManifestEntry) -> dict[str, object]:
    return {
        "id": entry.id,
        "length": len(entry.data),
        "labels": dict(sorted(entry.labels.items())),
        "mtime": gojson.format_time(entry.modified_ns),
    }


def show(session: Session, options: ManifestShowOptions) -> None:
    """Print manifests with their labels."""
    with session.open() as repository:
        for manifest_id in options.item:
            entry = repository.manifests.get(manifest_id)
            session.write(f"// id: {entry.id}")
            session.write(f"// length: {len(entry.data)}")
            session.write(f"// modified: {session.time(entry.modified_ns)}")
            for key, value in sorted(entry.labels.items()):
                session.write(f"// label {key}:{value}")
            session.write(jsontext.indent(entry.data.decode("utf-8", "surrogateescape")), end="")


def delete(session: Session, options: ManifestDeleteOptions) -> None:
    """Delete manifests; what only they refer to is collected later."""
    session.require_dangerous_commands()
    with session.open() as repository, repository.writer() as writer:
        for manifest_id in options.item:
            writer.manifests.delete(manifest_id)


__all__ = ["delete", "list_manifests", "show"]
