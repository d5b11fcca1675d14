"""Pure decisions: numbers in, decision out; clock and chance are given, nothing is awaited.

verdict    what an error means for breaker, limit, key and retry
breaker    closed, open, half-open
retry      whether and when to try again; the retry budget
limits     how many attempts may be in flight
rates      requests per minute (GCRA)
throughput the least that a stream must bring
keys       which key goes next
fairness   whose turn it is (start-time fair queueing)
batching   which calls may travel together
"""
