"""Looks at the bucket: what its list names is fetched, checked by its digest, and then served.

Nothing that happens to the store takes back what is served. While it is away, or its list cannot be
read, all stays as it was. Of a model whose files are not there, or not as they are named, the
former is served on, beside the others as they are named now.
"""

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from api.models.bucket.files import Choice, FileFetcher
from api.models.bucket.folder import FetchedFolder
from api.models.following import Away
from treeline.artifact.listing import LIST, MOST_BYTES, Listing, StoredFile
from treeline.buckets import Bucket
from treeline.errors import ArtifactRejectedError, BucketError, ObjectAbsentError
from treeline.files import digest
from treeline.signing import STATEMENT_FILE

AT_ONCE = 8  # files that are fetched at the same time
EVERY = Choice()
WAY_OUT = "remove it, and send the models again: treeline send"

logger = logging.getLogger("api.models.bucket.follower")


class BucketFetcher:
    """Keeps a folder equal to what the list of a bucket names."""

    def __init__(self, folder: FetchedFolder, bucket: Bucket, *, choice: Choice = EVERY) -> None:
        """Go on from what is in the folder; fetched are the models of the choice."""
        self._folder, self._bucket, self._choice = folder, bucket, choice
        self._fetcher = FileFetcher(bucket)
        self._served = folder.listing()
        self._tag = ""
        self._settled = False
        self._fetched = False
        self._checked: set[str] = set()
        self._refused: dict[str, str] = {}
        self._changing = Lock()
        words = "The models cannot be fetched; all is served as it was"
        self._away = Away(folder, words, logger=logger)

    def poll(self) -> None:
        """Ask the store once, and fetch what it names; raises OSError where the folder is gone."""
        try:
            self._poll()
        except (ArtifactRejectedError, BucketError, OSError) as error:  # the store, or our disk
            self._away.say(str(error))

    def _poll(self) -> None:
        unless = self._tag if self._settled else ""
        read = self._bucket.read(LIST, most_bytes=MOST_BYTES, unless=unless)
        if read is not None:
            self._settled = False
            named = Listing.parse(read.payload, place=f"{self._bucket}/{LIST}")
            self._take(self._wanted(named))
            self._tag = read.tag
        self._folder.answered()

    def _wanted(self, named: Listing) -> Listing:
        """Return a list without what is not served here."""
        models = {name: each for name, each in named.models.items() if self._choice.admits(name)}
        return named.model_copy(update={"models": models})

    def _take(self, named: Listing) -> None:
        """Fetch what a list names, and let it be served; raises BucketError and OSError."""
        self._bring(named.stored())
        served = self._whole(named)
        if served != self._served or self._fetched:  # a file that was damaged here is another now
            self._folder.serve(served)
            self._served, self._fetched = served, False
            logger.info("%d models of %s are served", len(served.models), self._bucket)
        problems = self._problems(named)
        for name, reason in problems.items() - self._folder.problems().items():
            logger.warning("%s of %s is not served as it is named: %s", name, self._bucket, reason)
        self._folder.note(problems)
        self._folder.clean(served)
        self._checked &= {file.sha256 for file in served.stored()}
        self._settled = not problems

    def _bring(self, files: Collection[StoredFile]) -> None:
        """Fetch those files that are not here; raises BucketError and OSError."""
        self._refused = {}
        self._folder.check_room(files)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self._bring_one, files):
                pass

    def _bring_one(self, file: StoredFile) -> None:
        """Fetch a file unless it is here as it is named; raises BucketError and OSError."""
        path = self._folder.path(file)
        if file.sha256 in self._checked and path.exists():
            return
        if not (path.exists() and digest(path) == file.sha256):
            try:
                self._fetcher.fetch(file.key, file, path, way_out=WAY_OUT)
            except (ArtifactRejectedError, ObjectAbsentError) as error:
                with self._changing:
                    self._refused[file.sha256] = str(error)
                return
            self._fetched = True
        with self._changing:
            self._checked.add(file.sha256)

    def _whole(self, named: Listing) -> Listing:
        """Return what can be served: the former of what is named and not here."""
        former = self._served or Listing()
        models = {}
        for name, model in named.models.items():
            each = former.models.get(name) if self._reason(model.files.values()) else model
            if each is not None and all(map(self._is_here, each.files.values())):
                models[name] = each
        statement = named.statement
        if statement is not None and self._reason([statement]):
            statement = former.statement
        if statement is not None and not self._is_here(statement):
            statement = None
        return Listing(models=models, statement=statement)

    def _is_here(self, file: StoredFile) -> bool:
        return self._folder.path(file).exists() and file.sha256 not in self._refused

    def _problems(self, named: Listing) -> dict[str, str]:
        """Return, by model, why it cannot be served as it is named."""
        parts = {name: tuple(model.files.values()) for name, model in named.models.items()}
        if named.statement is not None:
            parts[STATEMENT_FILE] = (named.statement,)
        reasons = {name: self._reason(files) for name, files in parts.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def _reason(self, files: Collection[StoredFile]) -> str:
        """Return why one of some files was refused; empty where none was."""
        return next(
            (self._refused[each.sha256] for each in files if each.sha256 in self._refused), ""
        )
