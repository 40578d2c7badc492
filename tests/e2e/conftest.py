"""One server with everything deployed for all tests of deployments: starting and deploying take half a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from deployed import Deployed, deployed_project


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A server with the deployments of a project folder of its own, in the order of docs/operations.md."""
    with deployed_project(tmp_path_factory.mktemp("deployed")) as project:
        project.zimage("schedule", "--write")
        project.zimage("setup", "--gpus", "2")
        project.deploy()
        yield project
