"""Puts the built browser agent into the wheel, so that ``AgentSite`` finds it after an install.

Without a build of ``web/`` (``make web``) the wheel has no agent, and ``AgentSite`` says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = (
    *("agent.html", "relay.html", "agent.css", "icon.svg"),
    *("agent.js", "agent-worker.js", "agent-shared.js", "agent-more.js", "relay.js"),
)


class AgentFiles(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``web/dist`` to a wheel; an editable install reads it where it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files for the wheel."""
        built = Path(self.root) / "web" / "dist"
        if version == "standard" and (built / "agent.html").is_file():
            place = "twinlock/integrations/agent_site_files"
            build_data["force_include"] |= {str(built / n): f"{place}/{n}" for n in FILES}
