"""Targets that only accept the work."""

from collections.abc import Iterator

from chronos.scheduler.v1 import job_pb2

from libs.faults import Violation


def violations(job: job_pb2.Job) -> Iterator[Violation]:
    """What is wrong with the way in which executions are completed, beyond its shape."""
    codes = job.completion.accepted_codes
    if not codes:
        return
    if not job.HasField("webhook"):
        description = "is for webhooks; with other targets every success is an acceptance: leave it out"
        yield Violation(field="completion.accepted_codes", description=description)
        return
    successes = job.webhook.success_codes or range(200, 300)
    for place, code in enumerate(codes):
        if code not in successes:
            description = f"is {code}, which is no success: add it to webhook.success_codes, or leave it out"
            yield Violation(field=f"completion.accepted_codes[{place}]", description=description)
