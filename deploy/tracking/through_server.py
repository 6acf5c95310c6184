"""Artifacts in an S3 that clients reach through MLflow only.

A server whose artifacts are in S3 offers every client an address in S3 itself (a presigned URL),
and clients of MLflow 3 take it without asking. Ours are in a network of their own: a client would
look for `s3` again and again, for many minutes. This store, which MLflow takes for the scheme `s3`
(pyproject.toml beside it), has the same artifacts and no such offer: bytes go through the server.
"""

from pathlib import Path

from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


class ThroughServer(ArtifactRepository):
    """Objects below an `s3://` address, without MLflow's mixins for clients that go there."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._s3 = S3ArtifactRepository(artifact_uri)

    def log_artifact(self, local_file: str | Path, artifact_path: str | None = None) -> None:
        """Store one file in a folder of the artifacts."""
        self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str | Path, artifact_path: str | None = None) -> None:
        """Store what is in a folder in a folder of the artifacts."""
        self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return what is in a folder, and nothing for a file."""
        return self._s3.list_artifacts(path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file, or a folder and all in it."""
        self._s3.delete_artifacts(artifact_path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._s3._download_file(remote_file_path, local_path)
