"""Proof that the tests test: deliberate bugs in the core and the policies, which one of them must see.

A mutant is a small replacement in one file of the package. ``python -m tests.mutation`` applies each to a
copy of the package in a temporary folder and runs the tests, or the simulator, that should see it. A mutant
that survives is a test that is missing; a test that no mutant can fail is no test.

mutants   the bugs
run       applies them and tells what became of them
"""
