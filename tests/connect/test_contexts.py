"""Contexts: named servers in a file of the user's own."""

import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.client.address import HttpAddress, SocketAddress
from trunkline.config import Config, load
from trunkline.connect.contexts import (
    Context,
    _quoted,
    add_context,
    list_contexts,
    remove_context,
    set_project,
    use_context,
)
from trunkline.connect.opening import connect, open_client, project_in_force
from trunkline.errors import AlreadyExists, InvalidInput, InvalidName, NotFound


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def config_of(file: Path, **variables: str) -> Config:
    names = {"HOME": str(file.parent), "TRUNKLINE_CONFIG": str(file), **variables}
    return load({key.upper(): value for key, value in names.items()})


def test_without_a_file_there_is_only_the_local_server(file: Path) -> None:
    contexts = list_contexts(file)

    assert contexts.active == "local"
    assert contexts.named == {}
    assert contexts.get("local") is None


def test_a_context_is_kept_with_its_token_for_the_user_alone(file: Path) -> None:
    add_context(file, "team", "data.example.com:8080", token="s3cret")

    assert list_contexts(file).named == {
        "team": Context(address="http://data.example.com:8080", token="s3cret")
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "s3cret" not in repr(list_contexts(file))


def test_the_active_context_is_the_one_that_was_chosen(file: Path) -> None:
    add_context(file, "a", "http://a:1")
    add_context(file, "b", "http://b:1")

    use_context(file, "b")
    chosen = list_contexts(file).active
    remove_context(file, "b")

    assert chosen == "b"
    assert list_contexts(file).active == "local"
    assert set(list_contexts(file).named) == {"a"}


def test_a_name_is_not_taken_twice_unless_it_is_meant(file: Path) -> None:
    add_context(file, "a", "http://a:1", token="t")

    with pytest.raises(AlreadyExists, match="context 'a' already exists"):
        add_context(file, "a", "http://b:1")
    add_context(file, "a", "http://c:1", replace=True)

    assert list_contexts(file).named["a"] == Context(address="http://c:1")


def test_an_unknown_context_names_the_known_ones(file: Path) -> None:
    add_context(file, "team", "http://a:1")

    with pytest.raises(NotFound, match="did you mean 'team'"):
        use_context(file, "taem")
    with pytest.raises(NotFound, match="there are local, team"):
        remove_context(file, "x")


def test_local_always_exists_and_is_nobody_elses_name(file: Path) -> None:
    with pytest.raises(InvalidInput):
        add_context(file, "local", "http://a:1")
    with pytest.raises(InvalidInput, match="always exists"):
        remove_context(file, "local")
    use_context(file, "local")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 200, 'a"'])
def test_a_name_that_is_none_is_refused(file: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        add_context(file, name, "http://a:1")

    assert not file.exists()


@pytest.mark.parametrize(
    "text",
    ["active = ", "active = 5", "active = []", "other = 1", "contexts = 1", "[contexts.a]",
     "[contexts.a]\naddress = 1", "[contexts.a]\naddress = 'x'\ntoken = 1", "\xff"],
)  # fmt: skip
def test_a_file_that_is_not_right_is_said_and_never_overwritten(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_bytes(text.encode("latin-1"))

    with pytest.raises(InvalidInput, match="config.toml"):
        add_context(file, "b", "http://b:1")

    assert file.read_bytes() == text.encode("latin-1")


def test_names_that_somebody_wrote_by_hand_stay(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(
        '[projects]\n"a b" = "vision"\n[contexts."a.example.org"]\naddress = "http://a:1"\n'
    )

    use_context(file, "a.example.org")

    found = list_contexts(file)
    assert found.active == "a.example.org"
    assert found.named == {"a.example.org": Context(address="http://a:1")}
    assert found.projects == {"a b": "vision"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back_as_it_was_written(text: str) -> None:
    assert tomllib.loads(f"a = {_quoted(text)}")["a"] == text


def test_the_nearest_wish_decides_where_to_connect(file: Path) -> None:
    add_context(file, "team", "http://team:1", token="t")
    use_context(file, "team")

    def address(config: Config, **wishes: str) -> str:
        return str(open_client(config, **wishes).transport.address)

    plain = config_of(file)
    from_environment = config_of(file, trunkline_address="env:2")
    assert address(plain) == "http://team:1"
    assert address(from_environment) == "http://env:2"
    assert address(from_environment, context="team") == "http://team:1"
    assert address(from_environment, address="mine:3") == "http://mine:3"
    assert address(from_environment, context="local") == f"unix://{plain.socket}"


def test_connect_finds_the_local_server_of_a_home(tmp_path: Path, home: Path) -> None:
    with connect(home=tmp_path / "other") as connection, connect() as usual:
        assert connection.address == f"unix://{load(home=tmp_path / 'other').socket}"
        assert usual.address == f"unix://{load().socket}"


def test_connect_wants_one_wish_only(home: Path) -> None:
    with pytest.raises(InvalidInput, match="not several of them"):
        connect("http://a:1", context="team")


def test_the_package_is_the_function(home: Path) -> None:
    import trunkline
    import trunkline.connect.contexts  # binds the package to the function's name

    with trunkline.connect("unix:///tmp/x") as connection:
        assert connection.address == "unix:///tmp/x"
    assert trunkline.errors.NotFound is NotFound
    assert trunkline.__version__


def test_addresses_are_of_the_two_kinds() -> None:
    assert isinstance(connect("h:1")._client.transport.address, HttpAddress)
    assert isinstance(connect("unix:///s")._client.transport.address, SocketAddress)


def test_each_context_keeps_a_project_of_its_own(file: Path) -> None:
    add_context(file, "team", "data.example.com")
    set_project(file, "team", "vision")
    set_project(file, "local", "speech")
    use_context(file, "team")

    assert project_in_force(config_of(file)) == "vision"
    assert project_in_force(config_of(file), context="local") == "speech"
    assert project_in_force(config_of(file, trunkline_project="other")) == "other"
    assert project_in_force(config_of(file, trunkline_address="elsewhere")) == "default"
    assert project_in_force(config_of(file, trunkline_address="x"), context="team") == "vision"


def test_the_project_goes_with_its_context_or_server(file: Path) -> None:
    for name in ("one", "two", "three"):
        add_context(file, name, "data.example.com")
        set_project(file, name, "vision")
    remove_context(file, "one")
    add_context(file, "two", "other.example.com", replace=True)
    add_context(file, "three", "data.example.com", token="new", replace=True)
    set_project(file, "local", "vision")
    set_project(file, "local", "default")

    assert dict(list_contexts(file).projects) == {"three": "vision"}


def test_a_project_that_can_not_be_one_is_refused(file: Path) -> None:
    with pytest.raises(InvalidName):
        set_project(file, "local", "_x")
    with pytest.raises(NotFound, match="there is no context 'none'"):
        set_project(file, "none", "vision")
    with pytest.raises(InvalidName):
        project_in_force(config_of(file, trunkline_project="a b"))
    file.parent.mkdir(exist_ok=True)
    file.write_text("projects = 3")
    with pytest.raises(InvalidInput, match="projects must be a table"):
        list_contexts(file)


def test_contexts_that_many_add_at_once_are_all_there(file: Path) -> None:
    names = [f"team-{n}" for n in range(24)]
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(add_context, file, name, "http://a:1") for name in names]:
            done.result()
    assert sorted(list_contexts(file).named) == sorted(names)
