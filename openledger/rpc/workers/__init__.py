"""Calls and traces in processes of their own, so that none of them can hold up the node or take its memory.

    pool.py      the node's side: processes, deadlines, memory, and the reads that jobs ask for
    process.py   a worker's side: one job after the other
    remote.py    what a job sees of the chain there: state, store, application, all read over the pipe
    wire.py      frames, and how a job is packed: live objects travel as names, the rest by value

Only the node opens the database. A job is bound to the head it was given with and to the states that it was handed;
what it reads of them it asks for, and a worker remembers it for as long as that state is asked about.
"""
