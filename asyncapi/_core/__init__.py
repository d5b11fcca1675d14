"""The only scheduling asyncio. Knows no provider, no socket and no JSON.

perform    the life of a call, in the caller's own task
worker     one coroutine per endpoint: who goes next, and when
endpoint   what guards a service; grants leases and settles them
call       a request on its way
queue      a bounded ``asyncio.PriorityQueue`` with lazy deletion
semaphore  permits under a limit that may move
lease      everything that a send needs, granted at once, released once
settling   how attempts end, and whether another follows
deadlines  many deadlines on one timer
headers    what a reply says of its key and its service
batcher    gathers compatible calls into one
batches    what a batch is made of
sender     sends batches, in halves where they are refused, and shares the answers out
routing    several targets behind one name
hedging    second copies of calls that take long
race       a call and its copy: the first to answer ends the other
learning   what attempts teach, for whoever chooses
streaming  the same stations for a streamed answer
watch      ends streams that are silent, slow or late
backoff    where calls wait for their next attempt
tasks      owner of every task
shutdown   no newcomers, time to end, then everything is closed
stages     the stations in order
"""
