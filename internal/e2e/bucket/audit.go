package bucket

import (
	"cmp"
	"fmt"
	"slices"
)

// Sort puts objects in the order in which their records were spooled: by input,
// queue and chunk number.
func Sort(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(
			cmp.Compare(a.Key.Input, b.Key.Input),
			cmp.Compare(a.Key.Queue, b.Key.Queue),
			cmp.Compare(a.Key.Chunk, b.Key.Chunk),
		)
	})
}

// Audit checks what the bucket says of itself: every object has as many
// records as its key promises, and per queue and input the chunk numbers run
// from 1 without a gap and without a repeat. It sorts objects and returns one
// sentence for each thing that is wrong.
func Audit(objects []Object) []string {
	Sort(objects)
	var problems []string
	var queue, input string
	next := uint64(1)
	for _, o := range objects {
		if got := int64(len(o.Records)); got != o.Key.Records {
			problems = append(problems, fmt.Sprintf("%s: the key says %d records, the object has %d", o.Name, o.Key.Records, got))
		}
		if o.Key.Queue != queue || o.Key.Input != input {
			queue, input, next = o.Key.Queue, o.Key.Input, 1
		}
		if o.Key.Chunk != next {
			problems = append(problems, fmt.Sprintf("%s: expected chunk %d of this queue and input", o.Name, next))
		}
		next = o.Key.Chunk + 1
	}
	return problems
}
