from collections.abc import Iterator

import pytest

from tests.faults.fault_proxy import FaultProxy
from tests.flows.conftest import study  # noqa: F401 (fixture)
from tests.tasks.conftest import _running_store, change_setting, store  # noqa: F401 (fixtures)


@pytest.fixture
def proxy(store, change_setting) -> Iterator[FaultProxy]:  # noqa: F811
    """The only way to the store."""
    proxy = FaultProxy(store.url)
    change_setting("AWS_ENDPOINT_URL", proxy.url)
    yield proxy
    proxy.close()
