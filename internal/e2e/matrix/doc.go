// Package matrix drives the agent's binary through everything that can happen
// to a file: on real files, with the logrotate that administrators use, while
// the agent runs and while it is stopped. Every case ends with a comparison of
// the bucket with what was written, and prints one line: the case, the lines
// written, lost and duplicated.
package matrix
