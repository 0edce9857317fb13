"""One manifest file: what it holds, what is wrong with it, and what of it stays when it breaks.

Nothing is taken away because of a mistake in a file. An object whose text went wrong keeps its last
good form; and as long as a part of the file cannot be read at all, so that nobody can tell which
objects were meant to be there, every object it last held stays.
"""

from collections.abc import Mapping

import msgspec

from onehop.cluster.kind import ClusterObject, ref_of
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity
from onehop.source.manifests_decode import Fault, decode_document, render_path
from onehop.source.manifests_text import TextFault, TextPosition, find_positions, parse_text


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says.

    Attributes:
        name: its path below the folder, with `/`.
        objects: in the file's order.
        problems: subject is always this file, field the line and column.
        broken: objects that are in the file but in no form that could be served.
        is_whole: False when the file may hold more objects than could be made out.
    """

    name: str
    objects: Mapping[ObjectRef, ClusterObject]
    problems: tuple[Problem, ...] = ()
    broken: frozenset[ObjectRef] = frozenset()
    is_whole: bool = True

    def after(self, previous: "ManifestFile") -> "ManifestFile":
        """Return this reading with what it leaves in doubt taken from the previous one."""
        kept = {
            ref: item
            for ref, item in previous.objects.items()
            if ref in self.broken or not self.is_whole
        }
        return msgspec.structs.replace(self, objects={**kept, **self.objects})


def read_manifest(name: str, content: bytes) -> ManifestFile:
    """Return what a file's bytes say; a fault is a Problem of the file, never an exception."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        return unreadable(name, f"not UTF-8 text: byte {err.start} fits no character")
    if not text.strip():
        # An editor or `>` truncates before it writes; a deleted file would be gone, not empty.
        message = "the file is empty; delete it if its objects shall go"
        return unreadable(name, message, severity=Severity.WARNING)
    documents = parse_text(text, is_json=name.endswith(".json"))
    if isinstance(documents, TextFault):
        return unreadable(name, documents.message, field=str(documents.position or ""))
    return _collect(name, text, documents)


def unreadable(
    name: str, message: str, *, field: str = "", severity: Severity = Severity.ERROR
) -> ManifestFile:
    """Return a file of which nothing can be said but why."""
    problem = file_problem(name, f"{message}; its last good state stays", field=field)
    problem = msgspec.structs.replace(problem, severity=severity)
    return ManifestFile(name=name, objects={}, problems=(problem,), is_whole=False)


def file_problem(
    name: str, message: str, *, field: str = "", reason: Reason = Reason.INVALID_OBJECT
) -> Problem:
    """Return a Problem whose subject is a file."""
    return Problem(subject=ObjectRef("File", "", name), field=field, reason=reason, message=message)


def _collect(name: str, text: str, documents: list[object]) -> ManifestFile:
    objects: dict[ObjectRef, ClusterObject] = {}
    faults: list[tuple[int, Fault]] = []
    for index, document in enumerate(documents):
        for found in decode_document(document):
            if isinstance(found, Fault):
                faults.append((index, found))
            elif (ref := ref_of(found)) in objects:
                twice = Fault(path=(), message="defined twice in this file; the first one counts")
                faults.append((index, msgspec.structs.replace(twice, ref=ref)))
            else:
                objects[ref] = found
    positions = find_positions(text, [(index, fault.path) for index, fault in faults])
    errors = [fault for _, fault in faults if fault.severity is Severity.ERROR]
    return ManifestFile(
        name=name,
        objects=objects,
        problems=tuple(
            _problem(name, fault, position)
            for (_, fault), position in zip(faults, positions, strict=True)
        ),
        broken=frozenset(fault.ref for fault in errors if fault.ref is not None),
        is_whole=all(fault.ref is not None for fault in errors),
    )


def _problem(name: str, fault: Fault, position: TextPosition | None) -> Problem:
    where = " ".join(part for part in (str(fault.ref or ""), render_path(fault.path)) if part)
    return Problem(
        subject=ObjectRef("File", "", name),
        field=str(position or ""),
        reason=Reason.INVALID_OBJECT,
        message=f"{where}: {fault.message}" if where else fault.message,
        severity=fault.severity,
    )
