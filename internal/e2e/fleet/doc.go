// Package fleet runs the agent's binary on what only a large fleet has: a bucket of
// millions of keys. The store makes its pages on the fly, so that nothing has to be
// put first, and answers each after a delay, as a store across a network does.
package fleet
