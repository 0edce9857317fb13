"""Secrets beside a folder of manifests: whose eyes, which bytes, and what outlives a crash."""

import os
import stat
from pathlib import Path

import msgspec
import pytest
import yaml
from structlog.testing import capture_logs

from onehop.acme.port import Foreign, Held
from onehop.base.errors import TransientError
from onehop.cluster import ClusterObject
from onehop.cluster.secret import Secret
from onehop.control.issuing.folder import FolderSecrets
from onehop.control.issuing.secrets import secret_ref
from onehop.control.issuing.vault import SecretVault
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef
from onehop.source.manifests import ManifestSource
from tests.issuing.stage import NAMESPACE, OURS, WEB_TLS, FolderPlace
from tests.source_manifests.hearing import Hearing, listening

BUNDLE = Held("CHAIN\n", SecretText("KEY\n"))
OTHER = Held("OTHER CHAIN\n", SecretText("OTHER KEY\n"))


def vault_of(store: FolderSecrets) -> SecretVault:
    return SecretVault(store, NAMESPACE, NAMESPACE)


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "state" / "secrets")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_files_are_for_our_eyes_only_whatever_the_umask(place: FolderPlace) -> None:
    """0600 in 0700; a directory that somebody made for us is closed as well."""
    place.directory.mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        vault = vault_of(place.process())
        await vault.store(WEB_TLS, BUNDLE)
        await vault.store(WEB_TLS, OTHER)
    finally:
        os.umask(before)

    (file,) = place.directory.iterdir()
    assert mode(place.directory) == 0o700
    assert mode(file) == 0o600


async def test_a_file_is_a_manifest_that_people_can_take_elsewhere(place: FolderPlace) -> None:
    """Its name says what it is; kubectl would take it as it is."""
    await vault_of(place.process()).store(WEB_TLS, BUNDLE)

    (file,) = place.directory.iterdir()
    assert file.name == "shop.web-tls.json"
    manifest = yaml.safe_load(file.read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("v1", "Secret")
    assert manifest["type"] == "kubernetes.io/tls"
    assert manifest["metadata"]["labels"] == OURS["labels"]


async def test_a_crash_before_the_rename_leaves_what_was_there(
    place: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it left behind is in nobody's way."""
    vault = vault_of(place.process())
    await vault.store(WEB_TLS, BUNDLE)

    def power_cut(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", power_cut)
        with pytest.raises(TransientError, match="No space left on device"):
            await vault.store(WEB_TLS, OTHER)

    assert await vault.look(WEB_TLS) == BUNDLE
    again = vault_of(place.process())
    assert await again.look(WEB_TLS) == BUNDLE
    assert await again.store(WEB_TLS, OTHER) is None
    assert [file.name for file in place.directory.iterdir()] == ["shop.web-tls.json"]


async def test_a_directory_that_cannot_be_written_is_named(place: FolderPlace) -> None:
    """The operator reads which one; it does not keep anything from starting."""
    place.directory.parent.mkdir()
    place.directory.write_text("a file, not a directory")
    with capture_logs() as logged:
        place.process()
    assert [line["event"] for line in logged] == ["kept_secrets_unreadable"]

    with pytest.raises(TransientError, match=str(place.directory)):
        await vault_of(place.process()).store(WEB_TLS, BUNDLE)


async def test_a_damaged_file_harms_no_other(place: FolderPlace) -> None:
    """It stays for whoever looks into it, until its Secret is written again."""
    await vault_of(place.process()).store(WEB_TLS, BUNDLE)
    damaged = place.directory / "shop.api-tls.json"
    damaged.write_bytes(b"{")

    store = place.process()

    assert set(place.told) == {WEB_TLS}
    assert damaged.exists()
    await vault_of(store).store(secret_ref("shop", "api-tls"), OTHER)
    assert await vault_of(place.process()).look(secret_ref("shop", "api-tls")) == OTHER


@pytest.mark.parametrize("name", ["../../etc/passwd", "s" * 253, "UPPER", "a b"])
async def test_no_name_leads_out_of_the_directory(name: str, place: FolderPlace) -> None:
    """Names come from manifests that nobody has checked."""
    ref = ObjectRef("Secret", "shop", name)

    await vault_of(place.process()).store(ref, BUNDLE)

    assert len(list(place.directory.iterdir())) == 1
    assert await vault_of(place.process()).look(ref) == BUNDLE


# --- with the source that tells them ---


def certificate(hearing: Hearing, ref: ObjectRef = WEB_TLS) -> bytes:
    found: ClusterObject | None = hearing.objects.get(ref)
    return (found.data or {}).get("tls.crt", b"") if isinstance(found, Secret) else b""


def manifest(name: str, text: str) -> str:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "shop", **OURS},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": text, "tls.key": text},
    }
    return yaml.safe_dump(secret)


async def test_a_stored_certificate_comes_back_as_an_object_if_it_is_wanted(
    tmp_path: Path, place: FolderPlace
) -> None:
    """Each change of it, and soon; accounts and records are never told."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    source = ManifestSource(folder)
    vault = vault_of(FolderSecrets(place.directory, source))
    source.want(frozenset({WEB_TLS}))

    async with listening(source) as hearing:
        await hearing.until(lambda: WEB_TLS in hearing.absent)
        await vault.store(WEB_TLS, BUNDLE)
        await hearing.until(lambda: certificate(hearing) == b"CHAIN\n")
        await vault.store(WEB_TLS, OTHER)
        await hearing.until(lambda: certificate(hearing) == b"OTHER CHAIN\n")
        await vault.store(secret_ref("shop", "unwanted"), BUNDLE)
        (folder / "last.yaml").write_text(manifest("other", "x"))
        source.want(frozenset({WEB_TLS, secret_ref("shop", "other")}))
        await hearing.until(lambda: certificate(hearing, secret_ref("shop", "other")) == b"x")

        assert hearing.names == ["Secret/shop/other", "Secret/shop/web-tls"]


async def test_what_was_written_before_a_restart_is_in_the_first_batch(
    tmp_path: Path, place: FolderPlace
) -> None:
    """No host is without its certificate for a moment."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    first = ManifestSource(folder)
    store = FolderSecrets(place.directory, first)
    async with listening(first) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        await vault_of(store).store(WEB_TLS, BUNDLE)

    source = ManifestSource(folder)
    FolderSecrets(place.directory, source)
    source.want(frozenset({WEB_TLS}))
    async with listening(source) as hearing:
        await hearing.until(lambda: hearing.is_complete)

        assert len(hearing.batches) == 1
        assert certificate(hearing) == b"CHAIN\n"


async def test_the_users_manifest_wins_over_ours_and_is_foreign(
    tmp_path: Path, place: FolderPlace
) -> None:
    """Even if it carries our marks; when it goes, ours is told again."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    source = ManifestSource(folder)
    vault = vault_of(FolderSecrets(place.directory, source))
    source.want(frozenset({WEB_TLS}))

    async with listening(source) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        await vault.store(WEB_TLS, BUNDLE)
        await hearing.until(lambda: certificate(hearing) == b"CHAIN\n")
        file = folder / "mine.yaml"
        file.write_text(manifest("web-tls", "theirs"))
        await hearing.until(lambda: certificate(hearing) == b"theirs")

        assert isinstance(await vault.look(WEB_TLS), Foreign)
        assert isinstance(await vault.store(WEB_TLS, OTHER), Foreign)

        file.unlink()
        await hearing.until(lambda: certificate(hearing) == b"CHAIN\n")
        assert await vault.look(WEB_TLS) == BUNDLE


async def test_nothing_is_said_of_a_folder_that_was_not_read_yet(
    tmp_path: Path, place: FolderPlace
) -> None:
    """It may hold the very Secret."""
    vault = vault_of(FolderSecrets(place.directory, ManifestSource(tmp_path)))

    with pytest.raises(TransientError, match="has not been read yet"):
        await vault.store(WEB_TLS, BUNDLE)


def test_a_secret_of_ours_is_a_secret_like_any_other(place: FolderPlace) -> None:
    """Nothing of it is lost between file and object."""
    place.put_foreign(WEB_TLS, "x")
    secret = place.theirs[WEB_TLS]

    assert msgspec.json.decode(msgspec.json.encode(secret), type=Secret) == secret
