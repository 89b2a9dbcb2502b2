"""What commands and notebooks call alike, and the objects that a notebook gets back."""

from tile2vec_cli.job.resources import wait_briefly

wait_briefly()  # for notebooks: what is loaded from here on loads torch
