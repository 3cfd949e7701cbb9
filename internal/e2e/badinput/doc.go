// Package badinput runs the agent's binary on what can go wrong around it:
// mistakes in the configuration, files that can't be read, a state directory
// that can't be written, odd lines, stores that are not what they should be.
//
// Each case asks for three things: the documented exit code, one line that
// says what is wrong and what to do, and, once that is done, every line in the
// bucket exactly once.
package badinput
