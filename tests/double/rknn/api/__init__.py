"""The double's one class, by the name and at the place of the vendor's."""

from .rknn import RKNN

__all__ = ["RKNN"]
