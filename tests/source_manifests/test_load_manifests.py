"""What a folder of manifests says when it is read once."""

import base64
import errno
import os
from pathlib import Path
from typing import Final

import pytest

from onehop.base.errors import ConfigError
from onehop.cluster import ClusterObject, Ingress, Node, Secret, Service, ref_of
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity
from onehop.source.manifests_folder import Folder, load_manifests, merge, read_folder

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
"""


def load_text(
    tmp_path: Path, text: str, name: str = "a.yaml"
) -> tuple[tuple[ClusterObject, ...], tuple[Problem, ...]]:
    (tmp_path / name).write_text(text)
    return load_manifests(tmp_path)


def only_problem(tmp_path: Path, text: str, name: str = "a.yaml") -> Problem:
    _, problems = load_text(tmp_path, text, name)
    (problem,) = problems
    return problem


def test_every_document_of_every_file_is_read_in_path_order(tmp_path: Path) -> None:
    """Folders, all three suffixes, multi-document files and lists of both forms are read."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "z.yml").write_text(SERVICE)
    (tmp_path / "b.json").write_text(
        '{\n\t"apiVersion": "v1", "kind": "NodeList", "items": [{"metadata": {"name": "n1"}}]}'
    )
    (tmp_path / "a.yaml").write_text(
        "---\n---\napiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: Node, metadata: {name: n2, namespace: ignored}}\n"
        "- {apiVersion: v1, kind: Service, metadata: {name: api}}\n"
        "---\napiVersion: v1\nkind: List\nitems: null\n"
    )
    (tmp_path / "notes.txt").write_text("not a manifest")
    (tmp_path / ".hidden.yaml").write_text("also: not")

    objects, problems = load_manifests(tmp_path)

    assert problems == ()
    assert [str(ref_of(item)) for item in objects] == [
        "Node/n2",
        "Service/default/api",
        "Node/n1",
        "Service/shop/web",
    ]


def test_a_single_file_can_be_loaded(tmp_path: Path) -> None:
    """A path to a file is as good as one to a folder."""
    (tmp_path / "a.yaml").write_text(SERVICE)

    objects, problems = load_manifests(tmp_path / "a.yaml")

    assert [type(item) for item in objects] == [Service]
    assert problems == ()


def test_a_path_where_nothing_is_is_the_operators_mistake(tmp_path: Path) -> None:
    """A missing path raises, for it was named on a command line or in the configuration."""
    with pytest.raises(ConfigError, match="No such file"):
        load_manifests(tmp_path / "absent")


def test_kinds_that_others_serve_are_passed_over(tmp_path: Path) -> None:
    """A Deployment, and a `Service` of another API group, say nothing to us."""
    text = (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}\n---\n"
        "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}}\n"
    )

    assert load_text(tmp_path, text) == ((), ())


def test_uid_and_version_depend_on_nothing_but_the_object(tmp_path: Path) -> None:
    """The uid stays when the content changes, the resourceVersion does not; no time is made up."""
    (first,), _ = load_text(tmp_path, SERVICE)
    (again,), _ = load_text(tmp_path, "# a comment\n" + SERVICE)
    (other,), _ = load_text(tmp_path, SERVICE.replace("80", "81"))

    assert isinstance(first, Service)
    assert isinstance(other, Service)
    assert again == first
    assert first.metadata.uid == other.metadata.uid != ""
    assert first.metadata.resource_version != other.metadata.resource_version
    assert first.metadata.creation_timestamp == ""


def test_null_means_absent_as_it_does_to_the_api(tmp_path: Path) -> None:
    """`kubectl create --dry-run` writes nulls; an annotation without a value is an empty one."""
    text = SERVICE.replace(
        "namespace: shop", "creationTimestamp: null, labels: null, annotations: {a: null}"
    )

    (item,), problems = load_text(tmp_path, text + "status: null\n")

    assert problems == ()
    assert isinstance(item, Service)
    assert item.metadata.labels is None
    assert item.metadata.annotation("a") == ""


def test_an_unquoted_time_or_address_stays_text(tmp_path: Path) -> None:
    """YAML 1.1 would make a datetime and a number in base sixty of these two."""
    text = (
        "apiVersion: v1\nkind: Service\n"
        "metadata: {name: web, creationTimestamp: 2026-01-02T03:04:05Z}\n"
        "spec:\n  clusterIP: 1:2:3:4:5:6:7:8\n"
    )

    (item,), problems = load_text(tmp_path, text)

    assert problems == ()
    assert isinstance(item, Service)
    assert item.metadata.creation_timestamp == "2026-01-02T03:04:05Z"
    assert item.spec.cluster_ip == "1:2:3:4:5:6:7:8"


def test_a_secret_takes_data_and_string_data(tmp_path: Path) -> None:
    """`stringData` wins over `data`, and base64 may be wrapped into lines."""
    wrapped = base64.encodebytes(b"k" * 100).decode().replace("\n", "\n    ")
    text = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\n"
        f"data:\n  long: |\n    {wrapped}\n  a: b2xk\nstringData: {{a: new}}\n"
    )

    (item,), problems = load_text(tmp_path, text)

    assert problems == ()
    assert isinstance(item, Secret)
    assert item.data == {"long": b"k" * 100, "a": b"new"}


LAUGHS: Final = (
    "[&a0 [x, x]" + "".join(f", &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)) + "]"
)
"""Unfolds to more values than any memory holds."""


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("a: [1\n", "line 2, column 1", "did not find expected ',' or ']'"),
        ("a: 1\na: 2\n", "line 2, column 1", "the key 'a' stands twice"),
        ("- 1\n", "line 1, column 1", "not a Kubernetes object"),
        ("a: !!int secret\n", "", "does not fit the tag"),
        ("a: " + "[" * 5000, "", "nested more than"),
        (
            "{apiVersion: v1, kind: Ingres, metadata: {name: a}}",
            "line 1, column 18",
            "did you mean 'Ingress'?",
        ),
        (
            "{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: a}}",
            "line 1, column 2",
            "write 'networking.k8s.io/v1'",
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a/b}}",
            "line 1, column 44",
            "Service needs a name of lower-case letters",
        ),
        ("{apiVersion: v1, kind: Service}", "line 1, column 1", "Service needs a name"),
        (
            "{apiVersion: v1, kind: Node, metadata: {name: a}, spec: &s [*s]}",
            "line 1, column 1",
            "aliases that contain themselves",
        ),
        (
            "{apiVersion: v1, kind: Node, metadata: {name: a}, spec: " + LAUGHS + "}",
            "line 1, column 1",
            "aliases that contain themselves, or each other",
        ),
    ],
    ids=[
        "cut-short",
        "twice",
        "no-mapping",
        "tag",
        "deep",
        "kind",
        "version",
        "name",
        "unnamed",
        "cycle",
        "laughs",
    ],
)
def test_what_is_no_manifest_is_said_with_its_place(
    tmp_path: Path, text: str, field: str, message: str
) -> None:
    """The Problem's subject is the file, its field the line and column, its message the fault."""
    problem = only_problem(tmp_path, text)

    assert problem.subject == ObjectRef("File", "", "a.yaml")
    assert message in problem.message
    assert problem.field == field
    assert "secret" not in problem.message


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", "not UTF-8"), (b"a: \x00", "a character that no text may hold")],
)
def test_bytes_that_are_no_text_are_said(tmp_path: Path, content: bytes, message: str) -> None:
    """Binary content is a Problem of its file."""
    (tmp_path / "a.yaml").write_bytes(content)

    _, (problem,) = load_manifests(tmp_path)

    assert message in problem.message


def test_json_that_is_cut_short_names_its_line(tmp_path: Path) -> None:
    """JSON is parsed as JSON, so tabs are fine and positions are JSON's."""
    problem = only_problem(tmp_path, '{\n\t"kind": \n', "a.json")

    assert problem.field == "line 3, column 1"


@pytest.mark.parametrize(
    ("metadata_and_spec", "place", "message"),
    [
        (
            "metadata: {name: web}\nspec:\n  ports:\n  - port: '80'\n",
            "line 6, column 5",
            "Service/default/web spec.ports[0].port: expected `int`, got `str`",
        ),
        (
            "metadata:\n  name: web\n  annotations:\n    ok: fine\n    a.b/c: true\n",
            "line 7, column 5",
            'metadata.annotations["a.b/c"]: expected `str`, got `bool`; put it in quotes',
        ),
        (
            "metadata:\n  name: web\n  annotations:\n    yes: fine\n",
            "line 5, column 3",
            "metadata.annotations: expected `str`, got `bool` as a key; put it in quotes",
        ),
        (
            "metadata: {name: web}\nspec:\n  ports: [{name: http}]\n",
            "line 5, column 11",
            "spec.ports[0]: object missing required field `port`",
        ),
    ],
    ids=["value", "annotation", "key", "missing"],
)
def test_a_value_of_the_wrong_type_is_named_with_its_path(
    tmp_path: Path, metadata_and_spec: str, place: str, message: str
) -> None:
    """The message carries the object and the path, the field carries the place in the file."""
    problem = only_problem(tmp_path, "apiVersion: v1\nkind: Service\n" + metadata_and_spec)

    assert message in problem.message
    assert problem.field == place


def test_a_secret_that_does_not_decode_is_not_quoted(tmp_path: Path) -> None:
    """No message repeats a Secret's value."""
    text = "{apiVersion: v1, kind: Secret, metadata: {name: tls}, data: {ok: b2s=, key: hunter2}}"

    problem = only_problem(tmp_path, text)

    assert "Secret/default/tls data.key: invalid base64" in problem.message
    assert "hunter2" not in problem.message


def test_one_bad_object_harms_only_itself(tmp_path: Path) -> None:
    """The other documents of its file are served."""
    text = SERVICE + "---\n{apiVersion: v1, kind: Node, metadata: {name: n1, labels: []}}\n"

    objects, problems = load_text(tmp_path, text)

    assert [type(item) for item in objects] == [Service]
    assert len(problems) == 1


def test_a_slip_of_the_pen_is_a_warning_and_the_object_is_served(tmp_path: Path) -> None:
    """`pahtType` where `pathType` is missing is pointed at."""
    text = (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n"
        "  rules:\n  - http:\n      paths:\n      - pahtType: Prefix\n"
        "        backend: {service: {name: web, port: {number: 80}}}\n"
    )

    (item,), (problem,) = load_text(tmp_path, text)

    assert isinstance(item, Ingress)
    assert problem.severity is Severity.WARNING
    assert problem.field == "line 8, column 9"
    assert "did you mean 'pathType'?" in problem.message


def test_of_two_definitions_the_first_by_path_counts(tmp_path: Path) -> None:
    """The later file gets the Problem; within a file the first document counts."""
    (tmp_path / "b.yaml").write_text(SERVICE.replace("80", "8080"))

    (item,), problems = load_text(tmp_path, SERVICE + "---" + SERVICE.replace("80", "81"))

    assert isinstance(item, Service)
    assert item.spec.ports is not None
    assert item.spec.ports[0].port == 80
    assert [(problem.subject.name, problem.reason) for problem in problems] == [
        ("a.yaml", Reason.INVALID_OBJECT),
        ("b.yaml", Reason.NOT_UNIQUE),
    ]


def test_links_are_followed_and_loops_of_them_end(tmp_path: Path) -> None:
    """A linked directory is read once, under the first path that leads to it."""
    outside = tmp_path / "outside"
    folder = tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "a.yaml").write_text("{apiVersion: v1, kind: Node, metadata: {name: n1}}")
    (outside / "loop").symlink_to(folder)
    (folder / "linked").symlink_to(outside)

    (item,), problems = load_manifests(folder)

    assert isinstance(item, Node)
    assert problems == ()


def test_a_folder_that_may_not_be_listed_keeps_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lost+found` of a volume is reported and harms nothing; what was known below stays."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(SERVICE)
    before = read_folder(tmp_path, Folder(), now_ns=0)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path == tmp_path / "sub":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    after = merge(entry.file for entry in read_folder(tmp_path, before, now_ns=0).entries.values())

    assert list(after.objects) == [ObjectRef("Service", "shop", "web")]
    (problem,) = after.problems
    assert problem.subject.name == "sub/"
    assert "Permission denied" in problem.message
