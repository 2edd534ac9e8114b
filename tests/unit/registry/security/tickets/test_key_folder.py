"""Private keys on disk: for their owner's eyes only, whole or not there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from registry.runtime.errors import SettingsError
from registry.security.tickets.key_folder import KeyFolder, new_key


def test_keys_are_kept_the_oldest_first(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "deep" / "keys")
    for key in (old := new_key(1_000), new := new_key(2_000)):
        folder.add(key)
    kept = KeyFolder(tmp_path / "deep" / "keys").load()
    assert [key.key_id for key in kept] == [old.key_id, new.key_id]
    assert kept[0].private.private_bytes_raw() == old.private.private_bytes_raw()


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.add(new_key(0))
    (file,) = folder.path.iterdir()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_or_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.add(new_key(0))
    (file,) = folder.path.iterdir()
    file.chmod(0o640)
    with pytest.raises(SettingsError, match=r"others may read .*: chmod 0600 it"):
        folder.load()
    folder.path.chmod(0o750)
    with pytest.raises(SettingsError, match=r"others may read .*: chmod 0700 it"):
        KeyFolder(folder.path)


def test_a_file_that_holds_another_key_is_refused_without_its_content(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.add(new_key(0))
    (file,) = folder.path.iterdir()
    secret = file.read_text()
    file.rename(file.with_name("other.json"))
    with pytest.raises(SettingsError, match="does not hold the key of its name") as refused:
        folder.load()
    assert secret not in str(refused.value)
    file.with_name("other.json").write_text("broken")
    file.with_name("other.json").chmod(0o600)
    with pytest.raises(SettingsError, match="does not hold the key of its name"):
        folder.load()


def test_removing_twice_is_harmless(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.add(key := new_key(0))
    folder.remove(key.key_id)
    folder.remove(key.key_id)
    assert folder.load() == ()


def test_a_path_that_cannot_be_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"--ticket-keys: .* cannot be used"):
        KeyFolder(tmp_path / "file" / "keys")
