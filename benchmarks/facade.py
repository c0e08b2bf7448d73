"""The DICOMweb services for viewers: frames, metadata and one large frame, in process, against the PACS asked directly.

What is aimed at is our own code: its stores are answered from memory, or nothing is kept. The rows with the emulator's
S3 and DynamoDB carry no aim, since these programs share the two cores with both sides, and S3 on AWS does not.

Lambda gives each request that is under way a process of its own; so do the pools here, on both sides. The clients of
the PACS run in the same processes and keep their connections open.
"""

from __future__ import annotations

import base64
import gzip
import json
import multiprocessing
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from types import ModuleType
from typing import Any

import boto3
import requests

from benchmarks.cost.prices import load_prices
from benchmarks.cost.viewing import SLICES, look, usd
from benchmarks.files import Template, new_uid, radiograph, template
from benchmarks.servers import CACHE_BUCKET, Servers, WorkNotDone, api_event, function, http_session, running
from benchmarks.stand_ins import AnsweredSdk, NothingKept, memory, take_along
from benchmarks.table import Pairs, Row, in_child, in_turn, pairs, seconds
from dicom_service.dependencies import pacs
from dicom_service.edge import serve_open
from dicom_service.exams.capabilities import Capabilities
from dicom_service.origin_server.frame_source import FrameSource
from dicom_service.origin_server.frames import Frames
from local.settings import Pacs

FRAMES = 300
SERIES = {300: 9, 3000: 3}
"""Instances of a series, and how often both sides list it, after once that does not count."""

CONCURRENT = {6: 30, 20: 60}
"""Requests at once, and the frames a second that Google documents for them (Cloud Healthcare API, frames of 0.5 MB)."""

# With three, frames from memory, 20 at once, were at 1.33, 1.46 and 1.64 in three runs of an hour. More rounds do not
# help where the machine is slow for all of them: 1.20 with seven.
ROUNDS = 7
# Samples of pydicom by the bits of a pixel.
RADIOGRAPHS = {10: "RG3_UNCI.dcm", 15: "RG1_UNCI.dcm"}
ANY_FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
RAW_FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
DICOM_JSON = "application/dicom+json"
_ORTHANC = "Orthanc's own"
# A series of 3,000 takes longer than a request may on a machine that is PACS, bucket and client at once.
_TIMEOUTS = {"PACS_TOTAL_TIMEOUT": "120", "PACS_READ_TIMEOUT": "60"}


def measure() -> Iterator[Row]:
    with running() as servers:
        os.environ.update(_TIMEOUTS)
        yield from _frames(servers)
        yield from _metadata(servers)
        yield from _large_frame(servers)
    yield from _looks()


# ---- frames


def _frames(servers: Servers) -> Iterator[Row]:
    series = template(512).own_study()
    names = _stored(servers, series, FRAMES)
    spawn = multiprocessing.get_context("spawn")
    for at_once, documented in CONCURRENT.items():
        with memory(), ProcessPoolExecutor(at_once, spawn, start_process) as pool:
            list(pool.map(warm_up, range(at_once)))
            times = _timed(pool, names)
            for handled in (frame_of_ours, answered_frame):
                _compare(pool, names, handled)
        for side, aim, what in (
            ("cold", None, "cold, with the emulator's stores"),
            ("cached", None, "cached, with the emulator's stores"),
            ("bare", 0.8, "cold, no stores: nothing kept or recorded"),
            ("memory", 1.5, "cached, no stores: S3 and DynamoDB are answered from memory"),
        ):
            yield _rates(f"{at_once} at once, {what}", times, side, "theirs", documented, aim)
        yield _rates(f"{at_once} at once, cold", times, "cold", "gzip", documented)
        yield _rates(f"{at_once} at once, cached", times, "cached", "gzip", documented)


def _timed(pool: ProcessPoolExecutor, names: Sequence[Name]) -> dict[str, tuple[float, ...]]:
    calls = {
        "theirs": theirs,
        "gzip": theirs_for_browsers,
        "cold": ours,
        "cached": ours,
        "bare": bare,
        "memory": answered,
    }
    # Everything is in the cache, if it was not already.
    _all(pool, ours, names)
    if take_along(CACHE_BUCKET, f"dicomweb/{names[0][0]}/") != len(names):
        raise WorkNotDone("not every frame is in memory")
    # And there are connections, settings, the state of the study.
    for call in calls.values():
        _all(pool, call, names[:40])

    def side(name: str) -> Callable[[], float]:
        def run() -> float:
            if name == "cold":
                _forget(names[0][0])
            # Compressing takes Orthanc so long that a third of the frames says enough.
            some = names[::3] if name == "gzip" else names
            return _all(pool, calls[name], some) * len(names) / len(some)

        return run

    return in_turn({name: side(name) for name in calls}, rounds=ROUNDS, warm_up=0)


def _rates(
    what: str, times: Mapping[str, Sequence[float]], side: str, other: str, documented: int, aim: float | None = None
) -> Row:
    ours, theirs = ([FRAMES / each for each in times[name]] for name in (side, other))
    ratio = statistics.median(mine / others for mine, others in zip(ours, theirs, strict=True))
    against = f"{_ORTHANC}; Google documents {documented} /s"
    if other == "gzip":
        against = f"{_ORTHANC} to browsers, which it compresses for"
    mine, others = statistics.median(ours), statistics.median(theirs)
    return Row(f"{FRAMES} frames of 0.5 MB, {what}", against, mine, "/s", others, ratio, aim, at_least=True)


Name = tuple[str, str, str]


def _all(pool: ProcessPoolExecutor, call: Callable[[Name], int], names: Sequence[Name]) -> float:
    """Return how long all frames take, each once."""
    sizes: set[int] = set()
    taken = seconds(lambda: sizes.update(pool.map(call, names)))
    if len(sizes) != 1 or min(sizes) < 512 * 512 * 2:
        raise WorkNotDone(f"frames of {sizes} bytes")
    return taken


def _compare(pool: ProcessPoolExecutor, names: Sequence[Name], handled: Callable[[Name], bytes]) -> None:
    for mine, other in zip(pool.map(handled, names[::10]), pool.map(frame_of_theirs, names[::10]), strict=True):
        if mine != other:
            raise WorkNotDone("a frame is not the PACS's")


def start_process() -> None:
    """Start one process of a pool: its function and its client; metrics go to nobody."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    _bare()
    _module("retrieve_frames")
    _session()


def warm_up(_: int) -> int:
    """Let each process of a pool get one of these calls."""
    time.sleep(0.5)
    return os.getpid()


@cache
def _module(name: str) -> ModuleType:
    return function(name)


@cache
def _session() -> requests.Session:
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["PACS_SECRET_ARN"])
    user = json.loads(secret["SecretString"])
    return http_session(Pacs(os.environ["PACS_URL"], user["username"], user["password"]))


@cache
def _bare() -> Callable[..., dict[str, Any]]:
    """Return the handler without bucket and audit."""
    module = function("retrieve_frames")
    frames = Frames(FrameSource(pacs(), NothingKept(), Capabilities()))
    vars(module)["frames"] = lambda: frames
    return serve_open(module.app)


def frame_of_ours(name: Name, accept: str = ANY_FRAME) -> bytes:
    """Return a frame as the function answers it, or as it lies behind its link."""
    answer = _called(_module("retrieve_frames").lambda_handler, _path(name), accept)
    if answer["statusCode"] == 303:
        response = requests.get(answer["multiValueHeaders"]["Location"][0], timeout=60)
        return _part(response.headers["Content-Type"], response.content)
    return _part(answer["multiValueHeaders"]["Content-Type"][0], base64.b64decode(answer["body"]))


def frame_of_theirs(name: Name, accept: str = ANY_FRAME) -> bytes:
    """Return the same frame of the PACS."""
    response = _asked(name, accept)
    return _part(response.headers["Content-Type"], response.content)


def ours(name: Name) -> int:
    """Ask the function for a frame; return the length of its body, which the gateway decodes."""
    return _length(_called(_module("retrieve_frames").lambda_handler, _path(name), ANY_FRAME))


def bare(name: Name) -> int:
    """Do the same without bucket and audit."""
    return _length(_called(_bare(), _path(name), ANY_FRAME))


def answered(name: Name) -> int:
    """Ask the function, whose SDK is answered from memory."""
    with _answered_sdk():
        return ours(name)


def answered_frame(name: Name) -> bytes:
    """Return the frame of such an answer."""
    with _answered_sdk():
        return frame_of_ours(name)


@cache
def _answered_sdk() -> AnsweredSdk:
    return AnsweredSdk()


def theirs(name: Name) -> int:
    """Ask the PACS for a frame; return the length of its body."""
    return len(_asked(name, ANY_FRAME).content)


def theirs_for_browsers(name: Name) -> int:
    """Do the same as browsers do, which take gzip; decompressed, as they do."""
    return len(_asked(name, ANY_FRAME, "gzip, deflate").content)


def _length(answer: dict[str, Any]) -> int:
    return len(answer["body"]) * 3 // 4


def _path(name: Name) -> str:
    return "/dicomweb/studies/{}/series/{}/instances/{}/frames/1".format(*name)


def _asked(name: Name, accept: str, encoding: str = "identity") -> requests.Response:
    url = os.environ["PACS_URL"] + _path(name).removeprefix("/dicomweb")
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    response = _session().get(url, headers=headers, timeout=60)
    response.raise_for_status()
    return response


def _called(handler: Callable[..., dict[str, Any]], path: str, accept: str, encoding: str = "") -> dict[str, Any]:
    resource = re.sub(r"[0-9]+(\.[0-9]+)+", "1.2", path)
    event = _event(resource, accept, encoding)
    # Finding the route is the gateway's work.
    uids = dict(zip(event["pathParameters"], re.findall(r"[0-9]+(?:\.[0-9]+)+", path), strict=False))
    parameters, context = event["pathParameters"] | uids, event["requestContext"] | {"path": f"/v1{path}"}
    answer = handler({**event, "path": path, "pathParameters": parameters, "requestContext": context}, None)
    if answer["statusCode"] not in (200, 303):
        raise WorkNotDone(f"answered {answer['statusCode']}")
    return answer


@cache
def _event(path: str, accept: str, encoding: str) -> dict[str, Any]:
    event = api_event("GET", path, headers={"Accept": accept, "Accept-Encoding": encoding})
    event["requestContext"]["authorizer"] = {"principal": "benchmark", "role": "service"}
    return event


def _part(content_type: str, body: bytes) -> bytes:
    """Return the one part of a multipart body."""
    boundary = content_type.rpartition("boundary=")[2].strip('"').partition(";")[0].encode()
    start = body.index(b"\r\n\r\n") + 4
    return body[start : body.rindex(b"\r\n--" + boundary)]


def _forget(study_uid: str) -> None:
    """Empty the cache of a study."""
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=CACHE_BUCKET, Prefix=f"dicomweb/{study_uid}/"):
        if found := page.get("Contents"):
            s3.delete_objects(Bucket=CACHE_BUCKET, Delete={"Objects": [{"Key": each["Key"]} for each in found]})


def _stored(servers: Servers, series: Template, count: int) -> list[Name]:
    files = [series.instance() for _ in range(count)]
    for start in range(0, count, 50):
        servers.store(*(file.content for file in files[start : start + 50]))
    servers.check_stored(files)
    return [(file.study_uid, series.series_uid, file.instance_uid) for file in files]


# ---- metadata


def _metadata(servers: Servers) -> Iterator[Row]:
    for count, rounds in SERIES.items():
        series = template(16).own_study()
        _stored(servers, series, count)
        study, uid = series.study_uid, series.series_uid
        own: dict[str, bytes] = {}

        def mine(study: str = study, uid: str = uid, own: dict[str, bytes] = own) -> None:
            own["compressed"] = metadata_of_ours(study, uid)

        def other(study: str = study, uid: str = uid, own: dict[str, bytes] = own) -> None:
            url = f"{servers.pacs.url}/studies/{study}/series/{uid}/metadata"
            response = servers.http.get(url, headers={"Accept": DICOM_JSON}, timeout=300)
            response.raise_for_status()
            own["theirs"] = response.content

        def cold(call: Callable[[], Any], study: str = study) -> float:
            _forget(study)
            return seconds(call)

        name = f"metadata of a series of {count}"
        compared = pairs(mine, other, rounds=rounds, timed=cold)
        yield compared.row(f"{name}, cold", _ORTHANC, aim=1.2)
        cached = tuple(seconds(mine) for _ in compared.theirs)
        yield Pairs(cached, compared.theirs).row(f"{name}, cached", _ORTHANC)
        rows, wanted = json.loads(gzip.decompress(own["compressed"])), json.loads(own["theirs"])
        if {row["00080018"]["Value"][0] for row in rows} != {row["00080018"]["Value"][0] for row in wanted}:
            raise WorkNotDone("not the instances of the PACS")
        share = 100 * len(own["compressed"]) / len(own["theirs"])
        sizes = f"{len(own['theirs']) / 1e6:.1f} MB of the PACS"
        yield Row(f"{name}: bytes, gzipped (%)", sizes, share, "%", aim=10)
        _forget(study)
        yield Row(f"{name}: peak memory", "", in_child("benchmarks.facade:metadata_size", study, uid).peak, "MiB")


def metadata_of_ours(study_uid: str, series_uid: str) -> bytes:
    """Return the metadata of a series as the function answers them, compressed."""
    path = f"/dicomweb/studies/{study_uid}/series/{series_uid}/metadata"
    answer = _called(_module("retrieve_metadata").lambda_handler, path, DICOM_JSON, "gzip")
    return base64.b64decode(answer["body"])


def metadata_size(study_uid: str, series_uid: str) -> int:
    """Ask once, in a process of its own."""
    return len(metadata_of_ours(study_uid, series_uid))


# ---- one large frame


def _large_frame(servers: Servers) -> Iterator[Row]:
    for bits, sample in RADIOGRAPHS.items():
        name = new_uid(), new_uid(), new_uid()
        servers.store(radiograph(sample, *name))
        yield from _compressed(name, f"radiograph, {bits} bits, ")


def _compressed(name: Name, what: str) -> Iterator[Row]:
    sizes: dict[str, int] = {}

    def packed() -> None:
        _forget(name[0])
        sizes["packed"] = len(frame_of_ours(name))

    def raw() -> None:
        _forget(name[0])
        sizes["raw"] = len(frame_of_ours(name, RAW_FRAME))

    compared = pairs(packed, raw, rounds=3)
    what += f"{sizes['raw'] / 1e6:.1f} MB"
    yield compared.row(f"{what}: JPEG-LS", "raw, by a link to the bucket")
    direct = pairs(packed, lambda: frame_of_theirs(name), rounds=3)
    yield direct.row(f"{what}: JPEG-LS", f"raw, {_ORTHANC}")
    yield Row(f"{what}: bytes", "raw", sizes["packed"] / 1e6, "MB", sizes["raw"] / 1e6, sizes["packed"] / sizes["raw"])


# ---- what a look costs


def _looks() -> Iterator[Row]:
    prices = load_prices()
    for which, looked in zip(("first", "next"), look(), strict=True):
        name = f"a CT of {SLICES} slices in OHIF, {which} look"
        yield Row(f"{name}: requests", "", looked.requests, "")
        yield Row(f"{name}: 1,000 of them", "", 1000 * sum(usd(looked, prices).values()), "USD")
