"""A gRPC client made of the code generated from proto/: creates a job, runs it, follows the run, deletes the job.

    CHRONOS_API_KEY=$(cat .chronos/admin.key) python examples/grpc_client.py

The generated modules lie in gen/ and are installed with the project. For another language, generate them from proto/.
"""

import argparse
import os

import grpc
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.execution_service_pb2 import WatchExecutionsRequest
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceStub
from chronos.scheduler.v1.job_pb2 import Job
from chronos.scheduler.v1.job_service_pb2 import CreateJobRequest, DeleteJobRequest, TriggerJobRequest
from chronos.scheduler.v1.job_service_pb2_grpc import JobServiceStub
from chronos.scheduler.v1.target_pb2 import WebhookTarget

JOB = "grpc-example"
FINAL = (Execution.SUCCESS, Execution.FAILED, Execution.SKIPPED, Execution.TIMED_OUT)


def main() -> None:
    """Runs one job by hand and prints what becomes of it."""
    parser = argparse.ArgumentParser(description="Runs one job through the gRPC API.")
    parser.add_argument("--server", default="127.0.0.1:8080", help="host:port of the edge")
    parser.add_argument("--url", default="http://127.0.0.1:9000/grpc", help="address that the job calls")
    arguments = parser.parse_args()
    key = (("x-api-key", os.environ["CHRONOS_API_KEY"]),)
    with grpc.insecure_channel(arguments.server) as channel:
        jobs, executions = JobServiceStub(channel), ExecutionServiceStub(channel)
        job = Job(id=JOB, name="gRPC example", schedule="@daily", webhook=WebhookTarget(url=arguments.url))
        made = jobs.CreateJob(CreateJobRequest(job=job), metadata=key, timeout=10)
        print(f"created {made.id}, next run {made.next_run.ToJsonString()}")
        try:
            changes = executions.WatchExecutions(WatchExecutionsRequest(job_id=JOB), metadata=key, timeout=60)
            next(changes)  # the first message tells that the watch has begun
            promised = jobs.TriggerJob(TriggerJobRequest(id=JOB), metadata=key, timeout=10)
            print(f"promised {promised.id}")
            for change in changes:
                status = change.execution.status
                if change.execution.id == promised.id:
                    print(f"{Execution.Status.Name(status)} {change.execution.error}".rstrip())
                    if status in FINAL:
                        break
            changes.cancel()
        finally:
            jobs.DeleteJob(DeleteJobRequest(id=JOB), metadata=key, timeout=10)


if __name__ == "__main__":
    main()
