"""Packages: any change is found, keys rotate, timestamps hold, and openssl agrees."""

import io
import json
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from actors.proof.archive import NotAPackageError, folder, open_package, to_tar, to_zip, zipped
from actors.proof.keys import ENV, Keys
from actors.proof.tsa import Authority
from cli.main import app
from hoaban.evidence import manifest as m
from hoaban.evidence.signing import Signer, SigningKeyError, Trusted
from hoaban.evidence.stamps import StampError, read
from hoaban.evidence.verify import Verification, verify
from tests.evidence import RealAuthority, lay_out, red_light, sealed_files

SIGNER = Signer.make()
TRUSTED = Trusted([SIGNER.public_pem()])
FILES = sealed_files(SIGNER)


class InMemory:
    """A package that is just its files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.names, self.oddities = files, list(files), []

    def read(self, name: str) -> bytes:
        return self.files[name]


def looked_at(files: dict[str, bytes], trusted: Trusted = TRUSTED) -> Verification:
    return verify(InMemory(files), trusted)


def codes(found: Verification) -> set[tuple[str, str]]:
    return {(problem.code, problem.file) for problem in found.problems}


def test_a_whole_package_is_whole_and_says_what_it_is() -> None:
    found = looked_at(FILES)
    assert found.problems == []
    body = found.manifest.body
    assert FILES[m.MANIFEST] == m.canonical(body)
    assert body["provenance"]["model"]["digest"] == "ab" * 32
    assert body["provenance"]["calibration"] == "junction-2026"
    assert body["frames"]["at"]["seq"] is not None
    assert body["seconds_into_red"] == 1.25
    assert body["clip"]["wanted_from_s"] < body["clip"]["from_s"]
    assert set(body["files"]) == set(FILES) - m.ABOUT


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_of_any_file_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    at = data.draw(st.integers(0, len(FILES[name]) - 1))
    changed = bytearray(FILES[name])
    changed[at] ^= data.draw(st.integers(1, 255))
    assert not looked_at(FILES | {name: bytes(changed)}).ok


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_file_that_is_cut_lengthened_gone_added_or_swapped_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    cut = data.draw(st.integers(0, len(FILES[name]) - 1))
    assert not looked_at(FILES | {name: FILES[name][:cut]}).ok
    assert not looked_at(FILES | {name: FILES[name] + b"\0"}).ok
    assert not looked_at({n: d for n, d in FILES.items() if n != name}).ok
    assert not looked_at(FILES | {data.draw(st.text(min_size=1).filter(lambda n: n not in FILES)): b""}).ok
    other = data.draw(st.sampled_from(sorted(set(FILES) - {name})))
    assert not looked_at(FILES | {name: FILES[other], other: FILES[name]}).ok


def test_it_says_which_file_is_wrong_and_how() -> None:
    swapped = FILES | {"at.jpg": FILES["past.jpg"], "past.jpg": FILES["at.jpg"]}
    assert codes(looked_at(swapped)) == {("changed", "at.jpg"), ("changed", "past.jpg")}
    assert "it is past.jpg" in looked_at(swapped).problems[0].message
    assert codes(looked_at(FILES | {"x.jpg": b""})) == {("added", "x.jpg")}
    assert codes(looked_at({n: d for n, d in FILES.items() if n != "clip.mp4"})) == {("missing", "clip.mp4")}
    assert codes(looked_at({n: d for n, d in FILES.items() if n != m.MANIFEST})) == {("missing", m.MANIFEST)}
    assert codes(looked_at({n: d for n, d in FILES.items() if n != m.SIGNATURE})) == {("unsigned", m.MANIFEST)}


def test_another_key_is_not_trusted_and_a_manifest_signed_anew_by_it_neither() -> None:
    thief = Signer.make()
    assert codes(looked_at(sealed_files(thief))) == {("key", m.MANIFEST)}
    # The thief names our key and signs with theirs.
    assert codes(looked_at(FILES | {m.SIGNATURE: thief.sign(FILES[m.MANIFEST])})) == {("signature", m.MANIFEST)}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
@settings(max_examples=150, deadline=None)
def test_no_manifest_makes_verify_fail_with_anything_but_an_answer(body: object) -> None:
    data = json.dumps(body).encode()
    assert not looked_at(FILES | {m.MANIFEST: data, m.SIGNATURE: SIGNER.sign(data)}).ok


def test_a_name_that_stands_twice_in_a_manifest_is_no_manifest() -> None:
    data = FILES[m.MANIFEST][:-1] + b',"kind":"hoaban.evidence"}'
    assert ("manifest", m.MANIFEST) in codes(looked_at(FILES | {m.MANIFEST: data, m.SIGNATURE: SIGNER.sign(data)}))


def test_what_changed_before_it_was_sealed_is_not_sealed() -> None:
    files = {n: d for n, d in FILES.items() if n not in m.ABOUT}
    candidate = json.loads(files["candidate.json"])
    seal = partial(m.of_candidate, candidate, key="k", sealed="now", stamp_wanted=False)
    seal(files)
    with pytest.raises(m.ManifestError, match=r"changed since it was recorded: at\.jpg"):
        seal(files | {"at.jpg": b"other"})
    with pytest.raises(m.ManifestError, match=r"clip\.mp4"):
        seal({n: d for n, d in files.items() if n != "clip.mp4"})


# Folders and archives


def test_folder_zip_and_tar_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(to_zip("p", FILES))
    (tmp_path / "p.tar").write_bytes(to_tar("p", FILES))
    with zipfile.ZipFile(tmp_path / "flat.zip", "w", zipfile.ZIP_DEFLATED) as flat:
        for name, data in FILES.items():
            flat.writestr(name, data)
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as packed:
        packed.add(lay_out(tmp_path / "p", FILES), "p")
    for name in ("p", "p.zip", "p.tar", "flat.zip", "p.tar.gz"):
        assert verify(open_package(tmp_path / name), TRUSTED).problems == [], name
    assert to_zip("p", FILES) == to_zip("p", dict(reversed(FILES.items())))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_zip_with_a_changed_byte_is_refused_or_holds_the_same_files(data: st.DataObject) -> None:
    whole = to_zip("p", FILES)
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        package = zipped(io.BytesIO(bytes(changed)))
    except NotAPackageError:
        return
    if verify(package, TRUSTED).ok:
        assert {name: package.read(name) for name in package.names} == FILES


def zip_with(*members: tuple[zipfile.ZipInfo | str, bytes]) -> zipfile.ZipFile:
    out = io.BytesIO(to_zip("p", FILES))
    with zipfile.ZipFile(out, "a") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out


def symbolic(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("p/at.jpg", "duplicate"),
        ("p/../../etc/passwd", "path"),
        ("p/sub/at.jpg", "path"),
        ("p/a\\b", "path"),
        ("../x", "path"),
        ("/etc/passwd", "path"),
        ("p/extra.jpg", "added"),
        ("q/extra.jpg", "path"),
    ],
)
def test_what_a_zip_must_not_have_is_found(name: str, code: str) -> None:
    found = verify(zipped(zip_with((name, b"x"))), TRUSTED)
    assert code in {problem.code for problem in found.problems}


def test_what_a_zip_has_beside_its_members_is_found(tmp_path: Path) -> None:
    whole = to_zip("p", FILES)
    assert verify(zipped(io.BytesIO(whole)), TRUSTED).problems == []
    for odd in (whole + b"more", b"before" + whole, whole[:-2] + b"\x04\0more"):
        assert not verify(zipped(io.BytesIO(odd)), TRUSTED).ok
    for comment_of in ("archive", "member"):
        out = io.BytesIO(whole)
        with zipfile.ZipFile(out, "a") as archive:
            if comment_of == "archive":
                archive.comment = b"hidden"
            else:
                archive.infolist()[0].comment = b"hidden"
                archive._didModify = True
        assert ("comment", "") in codes(verify(zipped(out), TRUSTED))
    renamed = zipfile.ZipInfo("p/at.jpg")
    renamed.extra = b"\x75\x70\x05\0\x01\0\0\0\0"
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name, data in FILES.items():
            archive.writestr(renamed if name == "at.jpg" else f"p/{name}", data)
    assert ("path", "p/at.jpg") in codes(verify(zipped(out), TRUSTED))
    with zipfile.ZipFile(out := io.BytesIO(whole), "a") as archive:
        archive.writestr("p/../", b"")
    assert not verify(zipped(out), TRUSTED).ok


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_zip_with_bytes_changed_put_in_or_taken_out_is_refused_or_is_the_package_and_nothing_else(
    data: st.DataObject,
) -> None:
    whole = to_zip("p", FILES)
    at = data.draw(st.integers(0, len(whole)) | st.integers(len(whole) - 1200, len(whole)))
    bytes_ = data.draw(st.binary(min_size=1, max_size=30))
    cut = data.draw(st.sampled_from([0, 1, len(bytes_)]))
    changed = whole[:at] + bytes_ + whole[at + cut :]
    try:
        package = zipped(io.BytesIO(changed))
    except NotAPackageError:
        return
    if verify(package, TRUSTED).ok:
        assert {name: package.read(name) for name in package.names} == FILES
        assert len(changed) == len(whole)  # nothing rides along


def test_a_timestamp_that_was_wanted_and_is_not_there_is_missed(stamped: dict[str, bytes]) -> None:
    body = m.parse(FILES[m.MANIFEST]).body | {"timestamp": "wanted"}
    manifest = m.canonical(body)
    without = FILES | {m.MANIFEST: manifest, m.SIGNATURE: SIGNER.sign(manifest)}
    assert codes(looked_at(without)) == {("unstamped", m.STAMP)}


def test_an_erasure_record_of_another_package_is_none_of_this_one() -> None:
    gone = {"what": "file", "id": "another", "name": "clip.mp4", "sha256": "0"}
    about = {"key": SIGNER.id, "at": "2026-01-01T00:00:00Z", "rule": "r", "by": "b", "basis": "x", "previous": None}
    record = m.canonical(m.of_erasure("e", **about, erased=[gone]))
    dropped = {m.ERASED: record, m.ERASED_SIGNATURE: SIGNER.sign(record)}
    assert codes(looked_at(FILES | dropped)) == {("added", m.ERASED)}
    ours = gone | {"id": m.parse(FILES[m.MANIFEST]).id, "sha256": m.digest(FILES["clip.mp4"])}
    record = m.canonical(m.of_erasure("e", **about, erased=[ours]))
    told = {m.ERASED: record, m.ERASED_SIGNATURE: SIGNER.sign(record)}
    assert codes(looked_at(FILES | told)) == {("erased", "clip.mp4")}
    assert looked_at({n: d for n, d in FILES.items() if n != "clip.mp4"} | told).ok


def test_links_are_found_wherever_they_are(tmp_path: Path) -> None:
    assert ("link", "p/l") in codes(verify(zipped(zip_with((symbolic("p/l"), b"/etc/passwd"))), TRUSTED))
    path = lay_out(tmp_path / "p", FILES)
    kept = tmp_path / "elsewhere.jpg"
    (path / "at.jpg").rename(kept)
    (path / "at.jpg").symlink_to(kept)  # the same bytes, and yet anybody may change them from elsewhere
    assert codes(verify(folder(path), TRUSTED)) == {("link", "at.jpg"), ("missing", "at.jpg")}
    (path / "at.jpg").unlink()
    kept.rename(path / "at.jpg")
    (path / "sub").mkdir()
    assert codes(verify(folder(path), TRUSTED)) == {("added", "sub")}
    (path / "sub").rmdir()
    os.mkfifo(path / "pipe")
    assert codes(verify(folder(path), TRUSTED)) == {("added", "pipe")}
    with tarfile.open(tmp_path / "l.tar", "w") as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "at.jpg"
            archive.addfile(info)
    assert codes(verify(open_package(tmp_path / "l.tar"), TRUSTED)) == {("link", "soft"), ("link", "hard")}


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.proof.archive.MOST_BYTES", 10_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, bytes(50_000) if name == "clip.mp4" else data)
    assert ("unreadable", "clip.mp4") in codes(verify(zipped(out), TRUSTED))


# Keys


def test_the_key_is_made_once_for_its_owner_alone_and_rotates(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    first = keys.signer()
    private = tmp_path / "evidence-keys" / "private.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert Keys(tmp_path).signer().id == first.id
    old = sealed_files(first)
    second = keys.rotate()
    assert second.id != first.id == m.parse(old[m.MANIFEST]).key
    assert Keys(tmp_path).signer().id == second.id
    assert keys.trusted().ids == {first.id, second.id}
    assert looked_at(old, keys.trusted()).ok
    assert looked_at(sealed_files(second), keys.trusted()).ok
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    private.chmod(0o640)
    with pytest.raises(SigningKeyError, match="chmod 600"):
        keys.signer()


def test_the_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, SIGNER.private_pem().decode())
    assert Keys(tmp_path).signer().id == SIGNER.id
    assert not (tmp_path / "evidence-keys" / "private.pem").exists()
    assert Keys(tmp_path).trusted().ids == {SIGNER.id}
    with pytest.raises(SigningKeyError, match=ENV):
        Keys(tmp_path).rotate()
    monkeypatch.setenv(ENV, "nonsense")
    with pytest.raises(SigningKeyError, match=ENV):
        Keys(tmp_path).signer()


def test_openssl_verifies_a_package_without_this_software(tmp_path: Path) -> None:
    path = lay_out(tmp_path / "p", FILES)
    (tmp_path / "key.pem").write_bytes(SIGNER.public_pem())
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "../key.pem", "-rawin", "-in", m.MANIFEST]
    done = subprocess.run([*check, "-sigfile", m.SIGNATURE], cwd=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path / m.MANIFEST).write_bytes(FILES[m.MANIFEST] + b" ")
    assert subprocess.run([*check, "-sigfile", m.SIGNATURE], cwd=path, capture_output=True).returncode != 0


# Timestamps, by a real authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> RealAuthority:
    made = RealAuthority(tmp_path_factory.mktemp("tsa"))
    with made.serving():
        yield made


@pytest.fixture(scope="module")
def stamped(authority: RealAuthority) -> dict[str, bytes]:
    files = sealed_files(SIGNER, stamp_wanted=True)
    stamp, _ = Authority(authority.url, [authority.root]).stamp(files[m.SIGNATURE])
    return files | {m.STAMP: stamp, m.STAMP_SIGNATURE: SIGNER.sign(stamp)}


def test_a_real_authority_stamps_and_its_root_vouches(authority: RealAuthority, stamped: dict[str, bytes]) -> None:
    found = verify(InMemory(stamped), TRUSTED, [authority.root])
    assert found.problems == []
    assert found.stamp.checked
    assert found.stamp.policy == "1.2.3.4.1"
    unchecked = verify(InMemory(stamped), TRUSTED)
    assert unchecked.ok
    assert not unchecked.stamp.checked


def test_openssl_verifies_a_timestamp_without_this_software(
    authority: RealAuthority, stamped: dict[str, bytes], tmp_path: Path
) -> None:
    path = lay_out(tmp_path / "p", stamped)
    (tmp_path / "root.pem").write_bytes(authority.root)
    check = ["openssl", "ts", "-verify", "-in", m.STAMP, "-data", m.SIGNATURE, "-CAfile", "../root.pem"]
    done = subprocess.run(check, cwd=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_another_root_another_message_and_another_nonce_do_not_hold(
    authority: RealAuthority, stamped: dict[str, bytes], tmp_path: Path
) -> None:
    other = RealAuthority(tmp_path)
    assert ("timestamp", m.STAMP) in codes(verify(InMemory(stamped), TRUSTED, [other.root]))
    with pytest.raises(StampError, match="something else"):
        read(stamped[m.STAMP], b"another message", [authority.root])
    with pytest.raises(StampError, match="another request"):
        read(stamped[m.STAMP], stamped[m.SIGNATURE], [authority.root], nonce=1)
    with other.serving(), pytest.raises(StampError):
        Authority(other.url, [authority.root]).stamp(b"message")
    with pytest.raises(StampError):
        Authority("http://127.0.0.1:1/", [authority.root], timeout_s=1).stamp(b"message")


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_any_changed_byte_of_a_timestamp_is_found(stamped: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([m.STAMP, m.STAMP_SIGNATURE]))
    changed = bytearray(stamped[name])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    assert not looked_at(stamped | {name: bytes(changed)}).ok
    assert not looked_at({n: d for n, d in stamped.items() if n != name}).ok


# The command


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ours.pem").write_bytes(SIGNER.public_pem())

    def call(*arguments: object, keys: bool = True) -> tuple[int, str, str]:
        given_keys = ["--keys", str(tmp_path / "keys")] if keys else []
        done = CliRunner().invoke(app, ["evidence", "verify", *map(str, arguments), *given_keys])
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.exit_code, done.stdout, done.stderr

    return call


def test_the_command_answers_by_exit_code(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = lay_out(tmp_path / "p", FILES)
    archive = tmp_path / "p.zip"
    archive.write_bytes(to_zip("p", FILES))
    assert run(path)[0] == run(archive)[0] == 0
    code, out, err = run(archive, "--json")
    document = json.loads(out)
    assert (code, err, document["ok"], document["manifest"]["id"]) == (0, "", True, red_light().id)
    (path / "at.jpg").write_bytes(b"other")
    code, out, _ = run(path, "--json")
    assert code == 1
    assert [(p["code"], p["file"]) for p in json.loads(out)["problems"]] == [("changed", "at.jpg")]
    assert "NOT what was signed" in run(path)[1]
    archive.write_bytes(archive.read_bytes()[:1000])
    assert run(archive)[0] == 1


def test_the_command_refuses_what_is_no_package(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "note.txt"
    text.write_text("not a package")
    for arguments in ((tmp_path / "gone",), (text,), (lay_out(tmp_path / "p", FILES), "--require-timestamp")):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert ";" in err
    monkeypatch.setenv("HOABAN_EVIDENCE_KEYS", str(text))
    code, _, err = run(tmp_path / "p", keys=False)
    assert code == 2
    assert "note.txt" in err


def test_the_command_wants_a_timestamp_where_told_to(
    run: Callable[..., tuple[int, str, str]],
    authority: RealAuthority,
    stamped: dict[str, bytes],
    tmp_path: Path,
) -> None:
    roots = tmp_path / "root.pem"
    roots.write_bytes(authority.root)
    wanted = ("--require-timestamp", "--tsa-roots", roots)
    assert run(lay_out(tmp_path / "with", stamped), *wanted)[0] == 0
    assert run(lay_out(tmp_path / "without", FILES), *wanted)[0] == 1
