"""Puts the services of the API together."""

from chronos.scheduler.v1 import (
    calendar_service_pb2_grpc,
    dead_letter_replay_service_pb2_grpc,
    job_service_pb2_grpc,
    job_version_service_pb2_grpc,
    namespace_service_pb2_grpc,
    policy_trial_service_pb2_grpc,
    run_service_pb2_grpc,
    schedule_service_pb2_grpc,
)

from libs.clock import Clock
from libs.rpc.server import Service
from services.scheduler.adapters.icalendar_text import ICalendarText
from services.scheduler.app.policies import PolicyParts
from services.scheduler.app.stores import Stores
from services.scheduler.jobs.dependencies import Dependencies
from services.scheduler.jobs.jobs import Jobs
from services.scheduler.jobs.versions import JobVersions
from services.scheduler.namespaces import Namespaces
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Questions
from services.scheduler.policies.trials import PolicyTrials
from services.scheduler.ports.dead_letters import DeadLetterFinder
from services.scheduler.ports.ledger import Ledger
from services.scheduler.ports.policies import Loads
from services.scheduler.runs.backfills import Backfills
from services.scheduler.runs.cancellations import Cancellations
from services.scheduler.runs.completions import ExecutionCompletions
from services.scheduler.runs.dead_letters import DeadLetterReplays
from services.scheduler.runs.explanations import Explanations
from services.scheduler.runs.replays import Replays
from services.scheduler.runs.triggers import Triggers
from services.scheduler.servicer.calendars import CalendarServicer
from services.scheduler.servicer.dead_letters import DeadLetterReplayServicer
from services.scheduler.servicer.jobs import JobServicer
from services.scheduler.servicer.namespaces import NamespaceServicer
from services.scheduler.servicer.policy_trials import PolicyTrialServicer
from services.scheduler.servicer.runs import RunServicer
from services.scheduler.servicer.schedules import ScheduleServicer
from services.scheduler.servicer.versions import JobVersionServicer
from services.scheduler.timing.calendars import Calendars
from services.scheduler.timing.forecasts import Forecasts
from services.scheduler.timing.previews import Previews
from services.scheduler.timing.schedules import StoredSchedules

PACKAGE = "chronos.scheduler.v1"


def build_api(
    stores: Stores, ledger: Ledger, letters: DeadLetterFinder, policies: PolicyParts, loads: Loads, clock: Clock
) -> list[Service]:
    """Every proto service of the scheduler."""
    questions = Questions(stores.calendar_book, policies.hosts, loads, clock)
    guard = Guard(
        book=stores.policy_book,
        policies=policies.client,
        questions=questions,
        namespaces=stores.namespace_book,
        accounts=policies.accounts,
        clock=clock,
    )
    trials = PolicyTrials(
        book=stores.policy_book,
        finder=stores.policies,
        policies=policies.client,
        questions=questions,
        jobs=stores.jobs,
        clock=clock,
    )
    schedules = StoredSchedules(stores.calendars)
    jobs = Jobs(
        stores.jobs,
        calendars=stores.calendars,
        calendar_view=stores.calendar_book,
        dependencies=Dependencies(stores.dependencies),
        guard=guard,
        clock=clock,
    )
    triggers = Triggers(jobs, stores.triggers, ledger, guard, clock)
    backfills = Backfills(triggers, schedules, ledger, guard, clock)
    replays = Replays(jobs, stores.versions, triggers, ledger, guard, clock)
    runs = RunServicer(
        jobs=jobs,
        backfills=backfills,
        replays=replays,
        cancellations=Cancellations(jobs, stores.cancels, ledger, clock),
        completions=ExecutionCompletions(stores.versions, stores.completions, ledger, clock),
        explanations=Explanations(jobs, stores.versions, schedules, ledger, clock),
    )
    previews = Previews(stores.jobs, stores.calendars, clock)
    forecasts = Forecasts(stores.jobs, stores.job_scan, stores.calendar_book, clock)
    return [
        (
            job_service_pb2_grpc.add_JobServiceServicer_to_server,
            JobServicer(jobs, triggers, backfills),
            f"{PACKAGE}.JobService",
        ),
        (
            job_version_service_pb2_grpc.add_JobVersionServiceServicer_to_server,
            JobVersionServicer(JobVersions(jobs, stores.versions)),
            f"{PACKAGE}.JobVersionService",
        ),
        (run_service_pb2_grpc.add_RunServiceServicer_to_server, runs, f"{PACKAGE}.RunService"),
        (
            dead_letter_replay_service_pb2_grpc.add_DeadLetterReplayServiceServicer_to_server,
            DeadLetterReplayServicer(DeadLetterReplays(letters, replays)),
            f"{PACKAGE}.DeadLetterReplayService",
        ),
        (
            schedule_service_pb2_grpc.add_ScheduleServiceServicer_to_server,
            ScheduleServicer(previews, forecasts),
            f"{PACKAGE}.ScheduleService",
        ),
        (
            calendar_service_pb2_grpc.add_CalendarServiceServicer_to_server,
            CalendarServicer(Calendars(stores.calendars, stores.jobs, ICalendarText(), guard, clock)),
            f"{PACKAGE}.CalendarService",
        ),
        (
            namespace_service_pb2_grpc.add_NamespaceServiceServicer_to_server,
            NamespaceServicer(Namespaces(stores.namespaces, guard, clock)),
            f"{PACKAGE}.NamespaceService",
        ),
        (
            policy_trial_service_pb2_grpc.add_PolicyTrialServiceServicer_to_server,
            PolicyTrialServicer(trials),
            f"{PACKAGE}.PolicyTrialService",
        ),
    ]
