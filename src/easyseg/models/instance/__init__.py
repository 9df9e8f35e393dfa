"""Detectors: torchvision's heads on any of timm's encoders that a feature pyramid can be built on.

Only this package knows that torchvision counts a background as class 0.
"""
