"""An S3 server of the tests' own: moto's, in a process of its own, for quick runs. The real one is in `ceph.py`."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config

from tests.harness.process import Background
from tests.harness.server import ROOT, clean_environment

_PORT = re.compile(r"Running on http://127\.0\.0\.1:([0-9]+)")


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where an S3 server listens, and who may use it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"hp-{uuid.uuid4().hex}"
        client: Any = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 10}),
        )
        client.create_bucket(Bucket=name)
        client.close()
        return name

    def url(self, bucket: str, prefix: str = "") -> str:
        """What the setting `storage` must say."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def environment(self) -> dict[str, str]:
        """The credentials as every AWS program finds them."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def moto() -> Iterator[S3Server]:
    """A running moto server. It accepts any signature and keeps everything in memory."""
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = Background(argv, clean_environment(PYTHONUNBUFFERED="1"), ROOT)
    try:
        port = process.wait_for(lambda line: _PORT.search(line), "the port", seconds=60)[1]
        yield S3Server(f"http://127.0.0.1:{port}", "moto", "moto-secret")
    finally:
        process.stop()
