"""Programs that fetch sealed data over HTTP: httpx with a member's agent.

with Agent.unlock("weber", key, passphrase) as agent:
    with httpx.Client(auth=AgentAuth(agent), cookies=signed_in) as client:
        patients = client.get("https://clinic.example/patients").json()
        client.post(url, json=letter, auth=AgentAuth(agent, explicit=True))
"""

from __future__ import annotations

import httpx

from twinlock.integrations.http_answering import Answering


class AgentAuth(Answering, httpx.Auth):
    """``Answering`` for httpx's clients, both kinds; for one request or for all of a client."""
