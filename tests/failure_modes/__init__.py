"""The fifteen ways in which clients of AI services are known to fail, each a story and its test.

permit_leak          cancelled anywhere, a call leaves nothing behind
orphan_entries       who gives up waiting is gone from the queue
starvation           nobody is starved, nobody pushes in
limits               what a key may, under a crowd, in any window
wrong_estimates      tokens guessed ten times too high or too low
retry_multiplication retries have one owner and a budget
herd                 who was sent away comes back late enough, and spread
breaker              neither flooded with probes nor wedged by one
silence              upstreams that accept and say nothing, or next to it
garbled_streams      cut, torn and broken streams: whole, or an error
early_exit           readers who leave
loops_and_threads    several loops, threads and clients
memory               thousands of calls leave no trace
revoked_key          a key that is taken away in the middle
drain                an end that loses nothing
"""
