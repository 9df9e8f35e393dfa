"""The run folder and the HTML report in it."""
