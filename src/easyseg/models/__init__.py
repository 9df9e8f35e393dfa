"""Networks by name: what exists, how it is built, and what its parts are.

Only this package knows segmentation-models-pytorch (smp), timm and torchvision.
"""
