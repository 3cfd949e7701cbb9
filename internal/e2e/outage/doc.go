// Package outage has the store fail for a while, in five ways, while programs
// log at a steady rate, and prints a line for each: whether every line arrived
// once and in order, what the wait cost the agent, and how it came back.
//
// The agent runs at its defaults but for three: chunks close after a second
// and an attempt may take ten, so that a short run sees many of both; and the
// spool may grow to 16 GiB, so that a long one fits.
package outage
