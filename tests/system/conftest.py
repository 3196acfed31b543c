"""Drive a built Postern from outside: each test has an instance of its own."""
import contextlib

import pytest
from instance import Instance, ensure_accounts, temporary
from mode import SLOW
from nsd import Nsd
from sink import Sink
from stage import Stage


def pytest_collection_modifyitems(config, items):
    """The time that a test may take, from its mark or --timeout, is a release's."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        limit = mark.args[0] if mark else config.getoption("timeout", None)
        if limit and SLOW > 1:
            item.add_marker(pytest.mark.timeout(limit * SLOW), append=False)


@pytest.fixture(scope="session", autouse=True)
def accounts():
    ensure_accounts()


@pytest.fixture
def instance():
    """An instance that is configured but not started."""
    with temporary(Instance) as made:
        yield made


@pytest.fixture
def running(instance):
    """An instance that is up."""
    return instance.start()


@pytest.fixture
def stage():
    """An instance with actors for daemons, not started."""
    with temporary(Stage) as made:
        yield made


@pytest.fixture
def sink():
    """A factory of sinks: sink(replies={...}, lmtp=False, host=...)."""
    made = []

    def make(**kwargs):
        made.append(Sink(**kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def nsd(tmp_path):
    """A factory of name servers: nsd({zone: text of its file})."""
    with contextlib.ExitStack() as stack:
        yield lambda zones: stack.enter_context(Nsd(tmp_path, zones))
