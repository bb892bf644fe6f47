"""Where a setting comes from: defaults < homeport.toml < environment < options."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from homeport import config
from homeport.config import FILE, Settings
from homeport.kernel.limits import Quotas


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_stronger_source_wins_over_a_weaker_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()

    assert config.load(data=data).port == 5000
    (data / FILE).write_text("port = 1001\nworkers = 3\n")
    assert config.load(data=data).port == 1001
    monkeypatch.setenv("HOMEPORT_PORT", "1002")
    assert config.load(data=data).port == 1002
    assert config.load(data=data, port=1003).port == 1003
    assert config.load(data=data, port=1003).workers == 3


def test_an_option_that_was_not_given_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_REGION", "eu-central-1")

    assert config.load(data=tmp_path, region=None).region == "eu-central-1"


def test_the_data_folder_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text('region = "eu-west-1"\n')
    monkeypatch.setenv("HOMEPORT_DATA", str(tmp_path))

    found = config.load()

    assert (found.data, found.region) == (tmp_path, "eu-west-1")


def test_a_list_in_the_environment_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_HOST_SUFFIXES", "registry.example, localhost,")

    assert config.load().host_suffixes == ["registry.example", "localhost"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", "70000"),
        ("workers", "0"),
        ("workers", "65"),
        ("drain_seconds", "-1"),
        ("log_format", "xml"),
        ("download_mode", "teleport"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HOMEPORT_{name.upper()}", value)

    with pytest.raises(ValidationError) as refused:
        config.load()

    assert [error["loc"] for error in refused.value.errors()] == [(name,)]


def test_a_misspelt_setting_in_the_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("prot = 5000\n")

    with pytest.raises(ValidationError, match="prot"):
        config.load(data=tmp_path)


def test_what_init_writes_is_what_the_next_start_reads(tmp_path: Path) -> None:
    config.write(config.load(data=tmp_path, account="123456789012", region="eu-north-1"))

    found = config.load(data=tmp_path)

    assert (found.account, found.region) == ("123456789012", "eu-north-1")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_settings_file_that_was_not_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.load(data=tmp_path, account="123456789012")
    config.write(settings)

    def power_cut(_: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("os.fsync", power_cut)
    with pytest.raises(OSError, match="power cut"):
        config.write(settings.model_copy(update={"account": "999999999999"}))

    assert tomllib.loads((tmp_path / FILE).read_text())["account"] == "123456789012"


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_networks_that_may_be_contacted_are_checked_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_OUTBOUND_ALLOW", "10.2.0.0/16, ::1/128")

    assert config.load().outbound_allow == ["10.2.0.0/16", "::1/128"]
    with pytest.raises(ValidationError, match="has host bits set"):
        config.load(outbound_allow=["10.2.3.4/16"])


def test_quotas_come_from_a_table_of_the_file_or_from_one_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text('throttling = "ecr"\n[quotas]\nrepositories = 5\n')

    found = config.load(data=tmp_path)
    monkeypatch.setenv("HOMEPORT_QUOTAS", "tags_per_image=7, repositories=9")
    stronger = config.load(data=tmp_path)

    assert found.quotas == Quotas(repositories=5)
    assert found.throttling == "ecr"
    assert stronger.quotas == Quotas(repositories=9, tags_per_image=7)


def test_a_setting_may_lie_in_a_file_and_what_is_given_itself_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("postgresql://homeport:word@db/homeport\n")
    (tmp_path / FILE).write_text('database = "postgresql://other/"\n')
    monkeypatch.setenv("HOMEPORT_DATABASE_FILE", str(tmp_path / "secret"))

    assert config.load(data=tmp_path).database == "postgresql://homeport:word@db/homeport"
    monkeypatch.setenv("HOMEPORT_DATABASE", "postgresql://environment/")
    assert config.load(data=tmp_path).database == "postgresql://environment/"
    assert config.load(data=tmp_path, database="postgresql://option/").database == "postgresql://option/"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("administrator_access_key_id", "admin"),
        ("administrator_access_key_id", "ASIA" + "A" * 16),
        ("administrator_secret_access_key", "correct-horse"),
        ("administrator_secret_access_key", "a" * 40),
        ("administrator_secret_access_key", "0123456789abcdef0123456789 bcdef01234567"),
        ("node", 'a"b'),
        ("node", ""),
        ("nodes", "0"),
        ("trusted_proxies", "10.0.0.1/8"),
    ],
)
def test_a_secret_that_a_person_thought_of_and_other_nonsense_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HOMEPORT_{name.upper()}", value)

    with pytest.raises(ValidationError) as refused:
        config.load()

    (error,) = refused.value.errors()
    assert error["loc"] == (name,)
    assert "secret" not in name or value not in error["msg"]
