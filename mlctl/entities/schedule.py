"""Schedules as documents describe them: when something runs, and what. Source: az's surface 3.8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from mlctl.entities.parts import TEXT_TAG, Entity, Part, ScalarMap, TextTag
from mlctl.entities.ports import StepTarget, StepValue
from mlctl.entities.time_zones import find_time_zone_fault
from mlctl.entities.values import AnyMap, AssetName, Choice, Name, Text, Value, WholeNumber, match_word, refuse

INVOCATION_TAG, JOB_TAG = "\x00invocation", "\x00job"
_MONITOR = "schedules here run jobs and batch invocations; monitors are not there"
_IMPORT = "schedules here run jobs and batch invocations; data is not imported"


class TriggerType(StrEnum):
    """How times are told."""

    CRON = "cron"
    """By an expression."""
    RECURRENCE = "recurrence"
    """By a frequency."""


class Frequency(StrEnum):
    """The unit of an interval."""

    MINUTE = "minute"
    """Minutes."""
    HOUR = "hour"
    """Hours."""
    DAY = "day"
    """Days."""
    WEEK = "week"
    """Weeks."""
    MONTH = "month"
    """Months."""


class WeekDay(StrEnum):
    """A day of the week."""

    MONDAY = "monday"
    """Monday."""
    TUESDAY = "tuesday"
    """Tuesday."""
    WEDNESDAY = "wednesday"
    """Wednesday."""
    THURSDAY = "thursday"
    """Thursday."""
    FRIDAY = "friday"
    """Friday."""
    SATURDAY = "saturday"
    """Saturday."""
    SUNDAY = "sunday"
    """Sunday."""


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, least, largest, words that stand for numbers (from the least on).
_CRON_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)


@dataclass(frozen=True)
class CronExpression(Value):
    """Five fields: minute, hour, day of the month, month, day of the week."""

    def check(self, value: Any) -> str:
        """Refuse what is not five fields, or out of their ranges."""
        text = Text().check(value)
        fields = text.split()
        if len(fields) != len(_CRON_FIELDS):
            refuse(f'"{text}" has {len(fields)} fields, a cron expression has 5', 'for example "0 6 * * 1"')
        for field, (name, least, most, words) in zip(fields, _CRON_FIELDS, strict=True):
            for part in field.split(","):
                if not _is_cron_part(part, least, most, words):
                    refuse(
                        f'"{part}" is no {name} ({least} to {most})',
                        "forms: *, 5, 1-5, */15, 1-30/5, and lists of them",
                    )
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the number of fields."""
        return {"type": "string", "pattern": r"^\s*\S+(\s+\S+){4}\s*$"}


def _is_cron_part(part: str, least: int, most: int, words: tuple[str, ...]) -> bool:
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and 0 < int(step[:4]) <= most):
        return False
    if span == "*":
        return True
    ends = [_read_cron_number(end, least, words) for end in span.split("-")]
    if len(ends) > 2 or any(end is None or not least <= end <= most for end in ends):
        return False
    return len(ends) == 1 or cast("int", ends[0]) <= cast("int", ends[1])


def _read_cron_number(text: str, least: int, words: tuple[str, ...]) -> int | None:
    if text.lower() in words:
        return words.index(text.lower()) + least
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None


@dataclass(frozen=True)
class Moment(Value):
    """A date and a time as ISO text; without an offset it is in the trigger's time zone."""

    def check(self, value: Any) -> str:
        """Refuse what is no such text."""
        text = Text().check(value)
        try:
            datetime.fromisoformat(text)
        except ValueError:
            refuse(f'"{text}" is no date and time', "for example 2026-03-01T06:00:00")
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the beginning; the rest is left to `check`."""
        return {"type": "string", "pattern": r"^\d{4}"}


@dataclass(frozen=True)
class TimeZone(Value):
    """A time zone by Azure's (Windows') name, or by the IANA's."""

    def check(self, value: Any) -> str:
        """Refuse unknown names."""
        text = Text().check(value)
        fault = find_time_zone_fault(text)
        if fault is not None:
            refuse(*fault)
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the type; names are left to `check`."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class OneOrMany(Value):
    """One value, or a list of such values; a list from then on."""

    item: Value

    def check(self, value: Any) -> list[Any]:
        """Check each of them."""
        if isinstance(value, list):
            items = cast("list[Any]", value)
            if not items:
                refuse("is an empty list")
            return [self.item.check(item) for item in items]
        return [self.item.check(value)]

    def json_schema(self) -> dict[str, Any]:
        """Describe both forms."""
        one = self.item.json_schema()
        return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}


class RecurrencePattern(Part, frozen=True):
    """At which times within a day, week or month."""

    hours: Annotated[list[int], OneOrMany(WholeNumber(0, 23))] = Field(description="Hours of the day.", examples=[6])
    minutes: Annotated[list[int], OneOrMany(WholeNumber(0, 59))] = Field(
        description="Minutes of the hour.", examples=[0]
    )
    week_days: Annotated[list[WeekDay], OneOrMany(Choice(WeekDay))] | None = Field(
        default=None, description="Days of the week."
    )
    month_days: Annotated[list[int], OneOrMany(WholeNumber(1, 31))] | None = Field(
        default=None, description="Days of the month."
    )


class _Trigger(Part, frozen=True):
    """When something runs."""

    misplaced: ClassVar[Mapping[str, str]] = {"timezone": "it is called time_zone"}
    start_time: Annotated[str, Moment()] | None = Field(default=None, description="Not before this time.")
    end_time: Annotated[str, Moment()] | None = Field(default=None, description="Not after this time.")
    time_zone: Annotated[str, TimeZone()] = Field(default="UTC", description="Zone of all these times.")

    @field_validator("end_time")
    @classmethod
    def _check_end(cls, value: str | None, info: ValidationInfo) -> str | None:
        start: str | None = info.data.get("start_time")
        if value is None or start is None:
            return value
        first, last = datetime.fromisoformat(start), datetime.fromisoformat(value)
        if (first.tzinfo is None) == (last.tzinfo is None) and last <= first:
            refuse(f"{value} is not after start_time, {start}")
        return value


class CronTrigger(_Trigger, frozen=True):
    """Times by an expression."""

    type: Annotated[Literal[TriggerType.CRON], Choice(TriggerType, only=(TriggerType.CRON,))] = Field(
        description="cron: an expression says when."
    )
    expression: Annotated[str, CronExpression()] = Field(
        description="Minute, hour, day of the month, month, day of the week.", examples=['"0 6 * * 1"']
    )


class RecurrenceTrigger(_Trigger, frozen=True):
    """Times by a frequency."""

    misplaced: ClassVar[Mapping[str, str]] = {**_Trigger.misplaced, "pattern": "it is called schedule"}
    type: Annotated[Literal[TriggerType.RECURRENCE], Choice(TriggerType, only=(TriggerType.RECURRENCE,))] = Field(
        description="recurrence: a frequency says when."
    )
    frequency: Annotated[Frequency, Choice(Frequency)] = Field(description="Unit of the interval.", examples=["day"])
    interval: Annotated[int, WholeNumber(1, 1000)] = Field(description="So many units between runs.", examples=[1])
    schedule: RecurrencePattern | None = Field(default=None, description="At which times within the unit.")


def choose_trigger(value: object) -> str:
    """Choose the model by `type`; a wrong or missing type is left to the one whose field is there."""
    if isinstance(value, Part):
        return str(cast("Any", value).type)
    fields = cast("Mapping[str, object]", value if isinstance(value, Mapping) else {})
    is_cron = match_word(fields.get("type"), ("cron",)) is not None or (
        match_word(fields.get("type"), ("recurrence",)) is None and "frequency" not in fields
    )
    return TriggerType.CRON if is_cron else TriggerType.RECURRENCE


Trigger = Annotated[
    Annotated[CronTrigger, Tag(TriggerType.CRON)] | Annotated[RecurrenceTrigger, Tag(TriggerType.RECURRENCE)],
    Discriminator(choose_trigger),
]


class ScheduledJob(Part, frozen=True):
    """A job that is run again, with other values."""

    type: Annotated[str, Text()] | None = Field(default=None, description="What kind of job it is: command, pipeline.")
    job: Annotated[str, Text()] | None = Field(
        default=None, description="The job: its file, or azureml:JOB.", examples=["./train.yml"]
    )
    inputs: Mapping[str, StepValue] | None = Field(default=None, description="Its inputs, by name.")
    outputs: Mapping[str, StepTarget] | None = Field(default=None, description="Its outputs, by name.")
    settings: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="How it runs.")
    experiment_name: Annotated[str, Text()] | None = Field(default=None, description="Recorded on the job.")
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    compute: Annotated[str, Text()] | None = Field(default=None, description="Where it runs.")
    command: Annotated[str, Text()] | None = Field(default=None, description="The command line.")
    code: Annotated[str, Text()] | None = Field(default=None, description="Folder of the code.")
    environment: Annotated[str, Text()] | None = Field(default=None, description="What is installed: a reference.")
    environment_variables: ScalarMap | None = Field(default=None, description="Variables for the command.")
    tags: ScalarMap | None = Field(default=None, description="Your own labels: any names and values.")
    properties: ScalarMap | None = Field(default=None, description="Further values, kept and shown.")


class ScheduledInvocation(Part, frozen=True):
    """A batch endpoint that is invoked; not in Azure's files."""

    endpoint: Annotated[str, Name()] = Field(description="The batch endpoint.", examples=["fraud-batch"])
    deployment: Annotated[str, AssetName()] | None = Field(
        default=None, description="The deployment; the endpoint's default if left out."
    )
    inputs: Mapping[str, StepValue] | None = Field(default=None, description="What is scored, by name.")
    outputs: Mapping[str, StepTarget] | None = Field(default=None, description="Where results go, by name.")
    experiment_name: Annotated[str, Text()] | None = Field(default=None, description="Recorded on the job.")


def choose_create_job(value: object) -> str:
    """Choose what runs: text is a path or azureml:JOB, `endpoint` makes it an invocation."""
    if isinstance(value, ScheduledInvocation):
        return INVOCATION_TAG
    if isinstance(value, Mapping):
        return INVOCATION_TAG if "endpoint" in value else JOB_TAG
    return JOB_TAG if isinstance(value, Part) else TEXT_TAG


CreateJob = Annotated[
    Annotated[str, Text(), TextTag]
    | Annotated[ScheduledJob, Tag(JOB_TAG)]
    | Annotated[ScheduledInvocation, Tag(INVOCATION_TAG)],
    Discriminator(choose_create_job),
]


class Schedule(Entity, frozen=True):
    """A schedule."""

    label = "schedule"
    read_only = Entity.read_only | {"is_enabled", "provisioning_error"}
    misplaced: ClassVar[Mapping[str, str]] = {"create_monitor": _MONITOR, "import_data": _IMPORT}
    name: Annotated[str, AssetName()] = Field(description="Name of the schedule.", examples=["nightly-scores"])
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    trigger: Trigger = Field(description="When it runs.")
    create_job: CreateJob = Field(
        description="What runs: a file, azureml:JOB, or a map with job, or with endpoint.", examples=["./train.yml"]
    )
