"""Counts of traffic as the pages see them; a part of the API's client (dashboards/client.py)."""

from typing import Any, TypedDict, cast

from dashboards.evidence_calls import _given


class Count(TypedDict):
    """Line crossings. bucket_s: the interval's start, seconds since 1970; None for the whole time."""

    camera: str
    line: str
    direction: str
    label: str
    lane: str | None
    bucket_s: float | None
    n: int


class TrafficCalls:
    """Methods of ApiClient. Times are RFC 3339 with a zone. Every call raises ApiError."""

    def _call(self, method: str, path: str, **more: Any) -> Any:
        raise NotImplementedError

    def _bytes(self, path: str, **more: Any) -> bytes:
        raise NotImplementedError

    def counts(self, since: str | None = None, bucket_s: int | None = None, camera: str | None = None) -> list[Count]:
        """Line crossings since a time, all together or in intervals of bucket_s seconds."""
        wanted = {"since": since, "bucket": bucket_s, "camera": camera}
        return cast(list[Count], self._call("GET", "/counts", params=_given(wanted)))

    def turns(self, since: str, camera: str | None) -> list[dict[str, Any]]:
        """Turning counts since a time: {"camera", "rule", "from", "to", "label", "n"}."""
        return cast(
            list[dict[str, Any]], self._call("GET", "/counts/turns", params=_given({"since": since, "camera": camera}))
        )

    def counts_file(self, since: str, bucket_s: int, camera: str | None) -> bytes:
        """The counts as CSV; that it was taken away is recorded."""
        return self._bytes("/counts.csv", params=_given({"since": since, "bucket": bucket_s, "camera": camera}))
