"""Runs inside the rknn-toolkit 1.7.5 environment: calls of rknn.api, and what its log means."""
