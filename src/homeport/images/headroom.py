"""How many more images a repository takes, known without counting them at every push.

Counting 100,000 rows takes about five milliseconds, too much for each of thousands of pushes a second. So a count is
remembered together with the newest image id of that moment: ids only grow, in all repositories and processes together,
so no repository can have gained more images since than ids were given out. Only when that bound reaches the quota is
there another count. The quota is that of Amazon ECR service quotas, "Images per repository".
"""

from __future__ import annotations

from threading import Lock

from homeport.database.engine import Reader
from homeport.images import store
from homeport.kernel.errors import LimitExceeded
from homeport.kernel.limits import ECR_QUOTAS, Quotas
from homeport.repositories.model import Repository

_REMEMBERED = 10_000


class Headroom:
    """The quotas of images, and what this process knows of how full repositories are."""

    def __init__(self, quotas: Quotas = ECR_QUOTAS) -> None:
        self.quotas = quotas
        self._lock = Lock()  # counted on the database's writer thread, forgotten on the event loop's
        self._counted: dict[int, tuple[int, int]] = {}  # by repository: images, newest id of all

    async def require(self, db: Reader, repository: Repository) -> None:
        """Return when the repository takes another image; archived images do not count. Errors: LimitExceeded."""
        most = self.quotas.images_per_repository
        newest = await store.newest(db)
        count, then = self._counted.get(repository.id, (most, newest))
        if count + max(newest - then, 0) < most:  # less than nothing when the newest were deleted
            return
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
