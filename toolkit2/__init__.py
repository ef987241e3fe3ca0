"""Runs inside the rknn-toolkit2 environment: calls of rknn.api, and what its log means."""
