package tailer

// What cases in package tailer_test make files with.
var (
	Pack  = pack
	Noise = noise
)
