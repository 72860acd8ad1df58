"""One function per verb: plain values in, frozen results out. Called by cli."""
