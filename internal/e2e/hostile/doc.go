// Package hostile runs the agent's binary where somebody is hostile, refused, odd
// or merely many: mistakes in the configuration, files that can't be read or were
// made to mislead, a state directory that can't be written, odd lines, stores that
// refuse, lie or never stop answering.
//
// A case asks for the documented exit code, for one line that says what is wrong and
// what to do, and, once that is done, for every line in the bucket exactly once. A
// case about a bound ends with a call of row, which prints the input, what was seen
// and the bound: `make hostile` is the list of these.
package hostile
