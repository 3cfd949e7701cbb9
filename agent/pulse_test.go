package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

// Only what is at one and the same piece of work all the time is stuck.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		a := &Agent{opening: pulse{loop: "spool"}}
		busy, idle, hung := &pulse{loop: "busy"}, &pulse{loop: "idle"}, &pulse{loop: "hung"}
		a.current.Store(&session{pulses: []*pulse{busy, idle, hung}})
		look := func(rounds int, want string) {
			t.Helper()
			got := ""
			for range rounds {
				busy.beat()
				got = a.Stuck(limit)
				time.Sleep(time.Second)
			}
			if got != want {
				t.Errorf("%q is stuck, want %q", got, want)
			}
		}
		idle.beat()
		idle.rest()
		hung.beat()
		look(10, "")
		look(1, "hung")
		hung.beat()
		look(10, "")
		hung.rest()
		look(20, "")
		a.opening.beat()
		look(11, "spool")
		a.opening.rest()
		a.current.Store(nil) // loops of a session that is over are not asked
		look(20, "")
	})
}
