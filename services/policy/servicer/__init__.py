"""The RPC edge of policy."""

from services.policy.servicer.decisions import DecisionServicer
from services.policy.servicer.policies import PolicyServicer

__all__ = ["DecisionServicer", "PolicyServicer"]
