"""Files: images and masks, atomic writing. Import the modules; nothing is loaded before it is used."""
