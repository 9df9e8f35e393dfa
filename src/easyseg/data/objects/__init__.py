"""Single objects of images: what counts as one, their pixels on the image and on the canvas of the network."""
