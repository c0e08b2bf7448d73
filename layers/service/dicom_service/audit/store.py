"""The table of the audit: records are added and counted up, never removed; no function may delete from it.

The key is an id; four indexes find records by study, patient, viewer and day, each in the order of time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dicom_service import aws
from dicom_service.audit.record import Record
from dicom_service.day import iso_milliseconds
from dicom_service.settings import setting

STRICT, BEST_EFFORT = "strict", "best-effort"
BY_STUDY, BY_PATIENT, BY_VIEWER, BY_DAY = "by-study", "by-patient", "by-viewer", "by-day"
_KEYS = {BY_STUDY: "study", BY_PATIENT: "patient", BY_VIEWER: "who", BY_DAY: "day"}
# These two hold keys alone, so that counting up costs nothing there.
_KEYS_ONLY = (BY_VIEWER, BY_DAY)
_AT_ONCE = 100
# Of how many gathered records a process knows that it has written them.
_MOST_KNOWN = 256
_REFUSED = "Accesses cannot be recorded at the moment, so none is possible; try again."
_UNREADABLE = "The audit cannot be read at the moment; try again."


def mode(text: str) -> str:
    """Cast what happens when an access cannot be recorded.

    Raises
    ------
    ValueError
        It is neither ``strict`` nor ``best-effort``.
    """
    if text not in (STRICT, BEST_EFFORT):
        raise ValueError("not strict or best-effort")
    return text


@dataclass(frozen=True)
class AuditTable:
    """Where the records are."""

    name: str = setting("AUDIT_TABLE")


@dataclass(frozen=True)
class AuditSettings(AuditTable):
    """How records are written: where, for how long, and what happens when they cannot be."""

    retention_days: int = setting("AUDIT_RETENTION_DAYS", cast=int, default=3653)
    mode: str = setting("AUDIT_MODE", cast=mode, default=STRICT)


class AuditWriter:
    """Adds records to the table; each method raises Unavailable if the table does not answer."""

    def __init__(self, settings: AuditSettings) -> None:
        self._settings = settings
        self._known: set[str] = set()

    @property
    def strict(self) -> bool:
        """Whether an access that cannot be recorded is refused."""
        return self._settings.mode == STRICT

    def gather(self, records: Sequence[Record]) -> None:
        """Add records, or count up those of the same viewer, exam and quarter of an hour; one write for all."""
        named = [(record.gathered_id, record) for record in records]
        try:
            self._write([self._counted(*each) if each[0] in self._known else self._gathered(*each) for each in named])
        except aws.ConditionFailed:
            self._write([self._gathered(*each) for each in named])
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update(id_ for id_, _ in named)

    def begin(self, record: Record) -> None:
        """Add the record of a change that is about to be made."""
        self._write([self._update(record.request_id, record)])

    def finish(self, records: Sequence[Record]) -> None:
        """Complete the record of a change; a further one for each further exam or patient."""
        first, *others = records
        updates = [self._update(first.request_id, first, count=0)]
        updates += [self._update(f"{one.request_id}.{number}", one) for number, one in enumerate(others, start=2)]
        self._write(updates)

    def _gathered(self, id_: str, record: Record) -> dict[str, Any]:
        return self._update(id_, record, count=record.count)

    def _counted(self, id_: str, record: Record) -> dict[str, Any]:
        """Return the update of a record that is there: its id is made of all else that would be set again."""
        return {
            "TableName": self._settings.name,
            "Key": aws.to_item({"id": id_}),
            "UpdateExpression": "SET #last = :last ADD #count :count",
            "ConditionExpression": "attribute_exists(id)",
            "ExpressionAttributeNames": {"#last": "last", "#count": "count"},
            "ExpressionAttributeValues": aws.to_item({":last": iso_milliseconds(record.at), ":count": record.count}),
        }

    def _update(self, id_: str, record: Record, *, count: int = 1) -> dict[str, Any]:
        at = iso_milliseconds(record.at)
        # What the first of them sets and no later one changes.
        first = {"at": at, "day": at[:10], "requestId": record.request_id}
        if record.viewer.address:
            first["address"] = record.viewer.address
        values = record.attributes(self._settings.retention_days) | {"last": at}
        names = {f"#{name}": name for name in (*first, *values, "count")}
        settings = [f"#{name} = if_not_exists(#{name}, :{name})" for name in first]
        settings += [f"#{name} = :{name}" for name in values]
        given = {f":{name}": value for name, value in (first | values).items()}
        return {
            "TableName": self._settings.name,
            "Key": aws.to_item({"id": id_}),
            "UpdateExpression": f"SET {', '.join(settings)} ADD #count :count",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": aws.to_item(given | {":count": count}),
        }

    @aws.errors(_REFUSED, {"Retry-After": "1"})
    def _write(self, updates: Sequence[Mapping[str, Any]]) -> None:
        if len(updates) == 1:
            aws.patiently(lambda: aws.dynamodb().update_item(**updates[0]))
            return
        aws.transact([{"Update": update} for update in updates])


class AuditReader:
    """Finds records; raises Unavailable if the table does not answer."""

    def __init__(self, table: AuditTable) -> None:
        self._table = table.name

    def find(
        self,
        index: str,
        value: str,
        *,
        first: str = "",
        last: str = "9",
        newest_first: bool = True,
        most: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the records of an index, in the order of time.

        Parameters
        ----------
        index
            `BY_STUDY`, `BY_PATIENT`, `BY_VIEWER` or `BY_DAY`.
        value
            The study, the patient's hash, the viewer or the day.
        first, last
            Bounds of ``at``, both included.
        most
            The most records to read, None for all.
        """
        if (first or "0") > last:
            # DynamoDB refuses bounds the wrong way round, which a cursor before the first day makes.
            return
        with aws.errors(_UNREADABLE):
            found = aws.query(
                TableName=self._table,
                IndexName=index,
                KeyConditionExpression="#key = :value AND #at BETWEEN :first AND :last",
                ExpressionAttributeNames={"#key": _KEYS[index], "#at": "at"},
                ExpressionAttributeValues=aws.to_item({":value": value, ":first": first or "0", ":last": last}),
                ScanIndexForward=not newest_first,
                **({} if most is None else {"Limit": most}),
            )
            items = islice(found, most)
            if index in _KEYS_ONLY:
                yield from self._complete(map(aws.from_item, items))
            else:
                yield from map(aws.from_item, items)

    def _complete(self, keys: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the whole records, in the order of their keys."""
        while ids := [key["id"] for key in islice(keys, _AT_ONCE)]:
            found = {row["id"]: row for row in aws.batch_get(self._table, [{"id": id_} for id_ in ids])}
            yield from (found[id_] for id_ in ids if id_ in found)
