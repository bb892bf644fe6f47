"""How many more images a repository takes, known without counting them at every push.

Counting 100,000 rows takes about five milliseconds, too much for each of thousands of pushes a second. So a count is
remembered together with the newest image id of that moment: ids only grow, in all repositories and processes together,
so no repository can have gained more images since than ids were given out, besides those that had theirs already and
were not committed when it was counted. Only when that bound reaches the quota is there another count. The quota is that
of Amazon ECR service quotas, "Images per repository".
"""

from __future__ import annotations

from threading import Lock

from homeport.database.engine import Reader
from homeport.images import store
from homeport.kernel.errors import LimitExceeded
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.repositories.model import Repository

_REMEMBERED = 10_000
SEVERAL_WRITERS = 1000
"""More images than can be on their way into a shared database at one moment: one for each of its connections."""


class Headroom:
    """The quotas of images, and what this process knows of how full repositories are."""

    def __init__(self, quotas: Quotas = ECR_QUOTAS, under_way: int = 0) -> None:
        """`under_way`: how many images at most have an id and are not committed, while another one is pushed."""
        self.quotas = quotas
        self._under_way = under_way
        self._lock = Lock()  # counted on the database's writer thread, forgotten on the event loop's
        self._counted: dict[int, tuple[int, int]] = {}  # by repository: images, newest id of all

    async def require(self, db: Reader, repository: Repository) -> None:
        """Return when the repository takes another image; archived images do not count. Errors: LimitExceeded."""
        most = self.quotas.images_per_repository
        known = self._counted.get(repository.id)
        if known is not None:
            count, then = known
            since = max(
                await store.highest_id(db) - then, 0
            )  # less than nothing when the newest were deleted
            if count + since + self._under_way < most:
                return
        # Of the same snapshot as the count: an id that is given out later is counted from then on.
        newest = await store.newest(db)
        count = await store.count_images(db, repository.id, most)
        self._remember(repository.id, count, newest)
        if count >= most and await store.count_unarchived(db, repository.id, most) >= most:
            raise LimitExceeded(
                f"The repository with name '{repository.name}' in the registry with id '{repository.account}' "
                f"holds {most} images already, which is the quota of images per repository"
            )

    def forget(self, repository_id: int) -> None:
        """Count anew next time: what was counted may have been undone."""
        with self._lock:
            self._counted.pop(repository_id, None)

    def _remember(self, repository_id: int, count: int, newest: int) -> None:
        with self._lock:
            self._counted.pop(repository_id, None)
            if len(self._counted) >= _REMEMBERED:
                del self._counted[next(iter(self._counted))]
            self._counted[repository_id] = (count, newest)
