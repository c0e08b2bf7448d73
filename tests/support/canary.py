"""Searching every store for words, as somebody would who got hold of all of them."""

import io
import json
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dicom_service import aws


def search(
    database: Any, s3: Any, tables: Mapping[str, str], buckets: Mapping[str, str], words: Collection[str]
) -> dict[str, set[str]]:
    """Look for words in every item of the tables and in every version of every object of the buckets.

    Parameters
    ----------
    tables, buckets
        Their names by what the result calls them.

    Returns
    -------
    dict
        By table, or bucket and first part of the key: the words that are there.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for kind, name in tables.items():
        for text in _items(database, name):
            found[kind] |= {word for word in words if word in text}
    for kind, name in buckets.items():
        for key, text in _objects(s3, name):
            found[f"{kind} {key.partition('/')[0]}/"] |= {word for word in words if word in text}
    return {kind: there for kind, there in found.items() if there}


def _items(database: Any, table: str) -> Iterator[str]:
    for page in database.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            plain = aws.from_item(item)
            packed = [bytes(value) for value in plain.values() if not isinstance(value, str | int | list | dict | set)]
            unpacked = [zlib.decompress(value).decode() for value in packed if value[:1] == b"\x78"]
            yield "\n".join([json.dumps(plain, default=repr, ensure_ascii=False), *unpacked])


def _objects(s3: Any, bucket: str) -> Iterator[tuple[str, str]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for marker in page.get("DeleteMarkers", []):
            yield marker["Key"], marker["Key"]
        for version in page.get("Versions", []):
            named = {"Bucket": bucket, "Key": version["Key"]}
            if version["VersionId"] != "null":
                named["VersionId"] = version["VersionId"]
            answer = s3.get_object(**named)
            body = answer["Body"].read()
            about = json.dumps([version["Key"], answer["Metadata"]], ensure_ascii=False)
            yield version["Key"], "\n".join([about, body.decode("latin-1"), *_entries(body)])
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            yield upload["Key"], upload["Key"]


def _entries(body: bytes) -> list[str]:
    if not zipfile.is_zipfile(io.BytesIO(body)):
        return []
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return [f"{info.filename}\n{archive.read(info).decode('latin-1')}" for info in archive.infolist()]
