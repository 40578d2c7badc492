"""The obvious design, in a process of its own: one mapped task per image per stage. The bodies do nothing.

python -m orchestra.obvious IMAGES THREADS
"""

from __future__ import annotations

import json
import sys
import time

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from zimage_core.clock import elapsed_s

STAGES = ("generate", "grade", "publish")


@task
def generate_one(image: int) -> int:
    """Stand for the drawing of an image."""
    return image


@task
def grade_one(image: int) -> int:
    """Stand for its grading."""
    return image


@task
def publish_one(image: int) -> int:
    """Stand for its publishing."""
    return image


@flow(name="obvious")
def obvious(images: int) -> int:
    """Map every stage over all images, each over the futures of the one before."""
    return len(publish_one.map(grade_one.map(generate_one.map(range(images)))).result())


def main() -> None:
    """Run it and print how long it took."""
    images, threads = int(sys.argv[1]), int(sys.argv[2])
    start_s, start_cpu_s = elapsed_s(), time.process_time()
    obvious.with_options(task_runner=ThreadPoolTaskRunner(max_workers=threads))(images)  # type: ignore[call-overload]
    print(json.dumps({"wall_s": elapsed_s() - start_s, "cpu_s": time.process_time() - start_cpu_s}))


if __name__ == "__main__":
    main()
