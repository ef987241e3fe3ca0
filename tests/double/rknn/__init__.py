"""NOT Rockchip's rknn-toolkit: rkforge's stand-in for tests. It converts nothing."""
