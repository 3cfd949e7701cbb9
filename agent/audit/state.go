package audit

// State is what the agent knows of the chunks of one input.
type State struct {
	Input   string
	Queue   string
	Next    uint64   // number of the chunk after the newest
	Waiting []uint64 // numbers that are not acked, ascending
}

// Tail is how far a bucket and the agent's state have come.
type Tail struct {
	Newest  uint64 `json:"newest_chunk"` // that the agent has made
	Waiting int    `json:"waiting"`      // chunks that it has not seen confirmed
	// Unknown is how many numbers the bucket has above Newest: the state is
	// older than the bucket, as after a restore.
	Unknown uint64 `json:"unknown,omitempty"`
}

func (s *State) tail(newest uint64) *Tail {
	t := &Tail{Newest: s.Next - 1, Waiting: len(s.Waiting)}
	if newest > t.Newest {
		t.Unknown = newest - t.Newest
	}
	return t
}
