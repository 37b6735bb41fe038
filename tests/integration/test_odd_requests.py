"""Whatever the OpenAPI document allows, and what it does not: never a 500, never a traceback, always problem+json."""

import os
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis.errors import Unsatisfiable

from hoaban.access import Role
from tests.api_system import Api, running_api
from tests.integration.test_rights import ENDLESS, FOR

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
EACH = int(os.environ.get("HOABAN_ODD_REQUESTS", "4"))
"""requests an operation, the same ones each time; `make faults` asks more"""
KEPT = ("method", "url", "headers", "params", "json", "data", "content", "cookies")
WITHOUT_INPUT = {"GET /healthz", "GET /readyz"}
CASES = [(route, "positive") for route in sorted(set(FOR) - set(ENDLESS))]
CASES += [(route, "negative") for route in sorted(set(FOR) - set(ENDLESS) - WITHOUT_INPUT)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(folder := tmp_path_factory.mktemp("odd"), data_dir=str(folder)) as running:
        running.event("gate")
        yield running


@pytest.fixture(scope="module")
def schema(api: Api) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(api.app.openapi())


@pytest.mark.parametrize(("route", "mode"), CASES)
def test_no_request_breaks_the_server(api: Api, schema: schemathesis.BaseSchema, route: str, mode: str) -> None:
    method, path = route.split(" ")
    operation = schema[f"/api/v1{path}"][method]
    token = api.token(*Role)

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    @settings(
        max_examples=EACH,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.generate],
        database=None,
    )
    def ask(case: schemathesis.Case) -> None:
        wanted = case.as_transport_kwargs(base_url="http://testserver")
        wanted["headers"] = {**(wanted.get("headers") or {}), "Authorization": f"Bearer {token}"}
        try:
            answer = api.client.request(**{k: v for k, v in wanted.items() if k in KEPT})
        except httpx.InvalidURL:  # too long for the client that asks
            reject()
        assert answer.status_code < 500 or answer.status_code == 503, (wanted, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", answer.text

    try:
        ask()
    except Unsatisfiable:  # what takes nothing can be asked nothing wrong
        assert mode == "negative"
        pytest.skip("no request of this route can be wrong")
