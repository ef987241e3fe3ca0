"""The environments of rknn-toolkit 1.7.5, for RK1808, RK3399Pro, RV1109 and RV1126."""
