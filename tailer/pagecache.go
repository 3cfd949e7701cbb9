package tailer

// cacheWindow is how many bytes of a backlog are dropped from the page cache
// together. As many at its end stay: others look at them.
const cacheWindow = 8 << 20

// cached is what is known of the page cache and a backlog.
type cached struct {
	from int64 // bytes before were dropped, or not there
	to   int64 // where it ends, but for what stays
	ours bool  // most of it was not in the cache before
}

// spare keeps a backlog from pushing out of the page cache what other programs
// use: bytes of f that come in only because they are read here go again. Where
// most were there before, all stay. It is to be called before each read.
func (t *Tailer) spare(f *file) {
	c, at := &f.cached, f.pos.Offset
	if c.ours && at-c.from >= cacheWindow {
		dropCached(f.fd, c.from, at-c.from-anchorSize) // the anchor is read once more
		c.from = at
	}
	if c.from <= at && at < c.to {
		return
	}
	*c = cached{}
	// Asked once for all of it: later much would be there by reading ahead.
	if n := f.size - at; n >= 2*cacheWindow {
		*c = cached{from: at, to: f.size - cacheWindow, ours: cachedBytes(f.fd, at, n) < n/2}
	}
}
