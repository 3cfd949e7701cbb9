package tailer

// Covers reports whether the patterns of in want path.
func (in *Input) Covers(path string) bool { return (&input{Input: *in}).matches(path) }
