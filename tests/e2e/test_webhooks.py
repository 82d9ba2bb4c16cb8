"""Deliveries, seen from the receiving end."""

import ssl
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import trustme

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually, running_mesh
from tests.e2e.receiver import Receiver, running_receiver

pytestmark = pytest.mark.mesh
QUICK = {"max_attempts": 3, "initial_interval": "0.2s", "max_interval": "1s"}
ONCE = {"max_attempts": 1}
SECOND = timedelta(seconds=1)


def run(api: httpx.Client, job_id: str, *, within: float = 20) -> dict[str, object]:
    """Runs a job once, and gives the execution when it is over."""
    return finished(api, triggered(api, job_id)["id"], within=within)


def test_a_cron_job_fires_every_second_and_each_is_recorded_once(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("cron")
    created(api, job(name, receiver.url("/ok"), schedule="* * * * * *"))
    eventually(lambda: len(receiver.of_job(name)) >= 5)
    api.post(f"/api/v1/jobs/{name}/disable", json={})
    deliveries = receiver.of_job(name)
    times = [delivery.scheduled_time for delivery in deliveries]
    assert all(later - earlier == SECOND for earlier, later in pairwise(times))
    assert all(delivery.at >= delivery.scheduled_time.timestamp() for delivery in deliveries)
    ids = {delivery.headers["x-chronos-execution-id"] for delivery in deliveries}
    path = f"/api/v1/jobs/{name}/executions"
    recorded = eventually(lambda: all_done(api, path, ids))
    assert {execution["status"] for execution in recorded} == {"SUCCESS"}
    assert len({execution["scheduled_time"] for execution in recorded}) == len(recorded)


def all_done(api: httpx.Client, path: str, ids: set[str]) -> list[dict[str, str]]:
    """The recorded executions, once those with `ids` are among them and all have ended."""
    executions: list[dict[str, str]] = api.get(path).json()["executions"]
    is_over = all(execution["status"] not in ("PENDING", "RUNNING") for execution in executions)
    return executions if is_over and ids <= {execution["id"] for execution in executions} else []


def test_a_failed_attempt_is_repeated_after_a_growing_wait(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("retry")
    created(api, job(name, receiver.url("/fail-first/2"), retry_policy=QUICK))
    execution = run(api, name)
    assert (execution["status"], execution["attempt_count"]) == ("SUCCESS", 3)
    deliveries = receiver.of_job(name)
    assert [delivery.attempt for delivery in deliveries] == [1, 2, 3]
    assert len({delivery.headers["idempotency-key"] for delivery in deliveries}) == 1


def test_the_last_failed_attempt_fails_the_execution(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("fail")
    created(api, job(name, receiver.url("/status/503"), retry_policy=QUICK))
    execution = run(api, name)
    assert (execution["status"], execution["attempt_count"], execution["status_code"]) == ("FAILED", 3, 503)
    assert "503" in str(execution["error"])


def test_a_refusal_that_will_not_mend_is_not_repeated(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("gone")
    created(api, job(name, receiver.url("/status/404"), retry_policy=QUICK))
    execution = run(api, name)
    assert (execution["status"], len(receiver.of_job(name))) == ("FAILED", 1)
    assert execution["response"] == "as you wish"


def test_a_target_may_ask_for_a_longer_wait(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("patience")
    created(api, job(name, receiver.url("/retry-after/2"), retry_policy=QUICK))
    assert run(api, name)["status"] == "SUCCESS"
    first, second = receiver.of_job(name)
    assert second.at - first.at >= 2


def test_own_success_codes_are_kept_to(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("codes")
    document = job(name, receiver.url("/status/404"))
    document["webhook"]["success_codes"] = [404]
    created(api, document)
    assert run(api, name)["status"] == "SUCCESS"


def test_method_headers_and_credentials_are_sent(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("headers")
    document = job(name, receiver.url("/ok?x=1"))
    document["webhook"] |= {
        "method": "PUT",
        "headers": {"X-Own": "yes"},
        "body": "run {{.Attempt}}",
        "auth": {"basic": {"username": "ann", "password": "secret"}},
    }
    created(api, document)
    run(api, name)
    [delivery] = receiver.of_job(name)
    assert (delivery.method, delivery.path, delivery.body) == ("PUT", "/ok?x=1", "run 1")
    assert delivery.headers["x-own"] == "yes"
    assert delivery.headers["authorization"] == "Basic YW5uOnNlY3JldA=="


def test_a_target_that_is_not_there_fails_with_a_reason(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("nobody")
    created(api, job(name, "http://127.0.0.1:1/", retry_policy=ONCE))
    execution = run(api, name)
    assert (execution["status"], execution["status_code"]) == ("FAILED", 0)
    assert execution["error"]


def test_a_name_that_does_not_exist_fails_with_a_reason(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("nowhere")
    created(api, job(name, "http://no-such-host.invalid/", retry_policy=ONCE))
    execution = run(api, name)
    assert execution["status"] == "FAILED"
    assert "no-such-host.invalid" in str(execution["error"])


def test_a_target_that_is_too_slow_times_out(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("slow")
    created(api, job(name, receiver.url("/slow/20"), retry_policy=ONCE, timeout="0.5s"))
    execution = run(api, name)
    assert execution["status"] == "TIMED_OUT"
    assert "0.5" in str(execution["error"]) or "500" in str(execution["error"])


def test_an_answer_that_is_too_long_is_kept_in_part(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("large")
    created(api, job(name, receiver.url("/large/500000")))
    execution = run(api, name)
    assert execution["is_response_truncated"] is True
    assert set(str(execution["response"])) == {"x"}
    assert len(str(execution["response"])) == 16 * 1024


def test_an_oversized_answer_fails_with_a_reason(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("oversized")
    created(api, job(name, receiver.url("/large/5000000")))
    execution = run(api, name)
    assert execution["status"] == "FAILED"
    assert "more than 1,048,576 bytes" in str(execution["error"])


def test_an_answer_that_breaks_off_fails_with_a_reason(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("cut")
    created(api, job(name, receiver.url("/cut"), retry_policy=ONCE))
    execution = run(api, name)
    assert execution["status"] == "FAILED"
    assert execution["error"]


def test_a_redirect_is_not_followed(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("redirect")
    created(api, job(name, receiver.url("/redirect"), retry_policy=ONCE))
    execution = run(api, name)
    assert execution["status"] == "FAILED"
    assert "redirect" in str(execution["error"])
    assert len(receiver.of_job(name)) == 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure_receiver(authority: trustme.CA) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with running_receiver(context) as running:
        yield running


def test_a_certificate_that_nobody_trusts_fails_with_a_reason(
    api: httpx.Client, fresh: Fresh, secure_receiver: Receiver
) -> None:
    name = fresh("tls")
    created(api, job(name, secure_receiver.url("/ok"), retry_policy=ONCE))
    execution = run(api, name)
    assert execution["status"] == "FAILED"
    assert "certificate" in str(execution["error"])
    assert secure_receiver.of_job(name) == []


def test_plain_text_where_tls_is_wanted_fails_with_a_reason(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("no-tls")
    created(api, job(name, receiver.url("/ok").replace("http:", "https:"), retry_policy=ONCE))
    execution = run(api, name)
    assert execution["status"] == "FAILED"
    assert execution["error"]


@pytest.fixture(scope="module")
def strict_mesh(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[RunningMesh]:
    """A mesh that keeps away from private addresses, and that trusts the authority."""
    folder = tmp_path_factory.mktemp("strict")
    ca_file = Path(folder / "ca.pem")
    authority.cert_pem.write_to_path(str(ca_file))
    flags = ("--set", "dispatcher.allow_private_addresses=false", "--set", f"dispatcher.ca_file={ca_file}")
    with running_mesh(folder / "data", *flags) as running:
        yield running


def test_private_addresses_are_refused_where_the_policy_says_so(
    strict_mesh: RunningMesh, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("private")
    with strict_mesh.http() as api:
        created(api, job(name, receiver.url("/ok")))
        execution = run(api, name)
        assert (execution["status"], execution["attempt_count"]) == ("FAILED", 1)
        assert "private" in str(execution["error"]) or "not allowed" in str(execution["error"])
        # A name that leads to a private address is one, too.
        created(api, job(f"{name}-2", receiver.url("/ok").replace("127.0.0.1", "localhost")))
        assert run(api, f"{name}-2")["status"] == "FAILED"
    assert receiver.of_job(name) == receiver.of_job(f"{name}-2") == []
