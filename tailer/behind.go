package tailer

// noteBehind notes, before a round, which inputs have files that may have grown.
// A handler that makes the round wait is seen so from outside.
func (t *Tailer) noteBehind(turns []*file) {
	if len(turns) == 0 {
		return
	}
	now := t.now().UnixNano()
	for _, f := range turns {
		f.in.behind.CompareAndSwap(0, now)
	}
}

// noteAtEnd notes, after a round, of which inputs all such files were read to
// their end. What has grown meanwhile is a matter of the next round.
func (t *Tailer) noteAtEnd() {
	unread := make(map[*input]bool)
	for _, f := range t.queue {
		unread[f.in] = true
	}
	for _, in := range t.inputs {
		switch {
		case in.Paused && in.lag.Load() > 0:
			in.behind.CompareAndSwap(0, t.now().UnixNano())
		case !unread[in]:
			in.behind.Store(0)
		}
	}
}
