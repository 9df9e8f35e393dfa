"""Random changes of training images and of what is to be learnt from them. Albumentations is known here only."""
