package tailer

import (
	"fmt"
	"os"
	"path/filepath"

	"pgregory.net/rapid"
)

// oldName returns the name that the i-th rotated generation (1 is the newest)
// has, compressed or not.
func (h *history) oldName(path string, i int) string {
	name := fmt.Sprintf("%s.%d", path, i)
	if g := h.old[path][i-1]; g.packed != "" {
		return name + g.packed
	}
	return name
}

// compressOne compresses one rotated generation, as logrotate does at the
// rotation (the newest) or at the next one. Nobody writes to it any more.
func (h *history) compressOne(path string) {
	n := len(h.old[path])
	if n == 0 || h.mode == "identical" {
		return // by their bytes alone generations can't be told apart then
	}
	i := rapid.IntRange(1, n).Draw(h.rt, "which")
	g := h.old[path][i-1]
	if g.packed != "" || g.text == "" {
		return
	}
	h.current(path) // what has no successor may be the live file, whatever its name
	if g.lines == 0 || g.late && len(g.text) <= headSize {
		h.settle() // what contents can't tell has to be seen while it happens
	}
	if g.w != nil {
		h.must(g.w.Close())
		g.w = nil
	}
	from := h.oldName(path, i)
	end := rapid.SampledFrom([]string{".gz", ".zst"}).Draw(h.rt, "ending")
	text, err := os.ReadFile(h.path(from))
	h.must(err)
	info, err := os.Stat(h.path(from))
	h.must(err)
	whole := pack(h.t, end, string(text), rapid.IntRange(1, 3).Draw(h.rt, "members"))
	to := h.path(from + end)
	h.tick()
	if rapid.Bool().Draw(h.rt, "look meanwhile") {
		h.must(os.WriteFile(to, whole[:rapid.IntRange(0, len(whole)).Draw(h.rt, "written")], 0o644))
		h.maybeStep()
	}
	h.must(os.WriteFile(to, whole, 0o644))
	h.must(os.Chtimes(to, info.ModTime(), info.ModTime()))
	if rapid.Bool().Draw(h.rt, "look before removal") {
		h.maybeStep()
	}
	h.remove(from)
	g.packed = filepath.Ext(to)
	if g.lines == 0 {
		h.settle()
	}
}
