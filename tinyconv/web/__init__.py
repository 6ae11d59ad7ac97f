"""The lab page: draw a digit in the browser and look into a network while it reads and learns.  `tinyconv lab open`."""
