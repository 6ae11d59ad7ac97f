"""tinyconv and its peers side by side, measured so that others can repeat it; installed as `tinyconv.benchmarks`.

    tinyconv bench train-throughput         images per second of whole training steps
    tinyconv bench ladder conv2d            every rung of an operation against the limits of the machine
    tinyconv bench accuracy                 what the reference networks reach on their test images
    tinyconv bench memory | startup | scaling | predict | time-to-accuracy
    tinyconv bench lab-page                 how soon the lab page opens, and pictures per second while drawing
    tinyconv bench tune                     the model by which the rung of a convolution is chosen, refitted

Each is a module here with a function `run(…) -> Report`; `report.write(folder)` leaves NAME.json (all numbers and the
machine), NAME.md (tables) and NAME.png.

How it is measured.  Every contestant has a process of its own (`process`, `worker`, `engines`), held to the same number
of threads, with the same network, initial weights, images and optimizer.  After warming up, contestants take turns,
round after round, in alternating order (`race`), so that whatever else the machine does hits all of them.  Told are the
median over the rounds and the spread; ratios are formed within each round.  A contestant that cannot run says why.
"""
