"""The labs, solved: for whoever teaches.  A learner gets these files without the bodies of the functions."""
