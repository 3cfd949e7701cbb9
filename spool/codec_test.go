package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func sampleManifest(state ChunkState) *manifest {
	m := &manifest{seq: 7, input: "app", template: nameTemplate, codec: "gzip", opened: 11}
	m.relabel("0123456789abcdef", 3)
	b := testBlock("app", "x", 100, 1)
	m.add(&b, []byte("header one"), 4)
	m.relabel("fedcba9876543210", 1)
	m.add(&b, []byte("header two"), 6)
	switch state {
	case StateSealed:
		m.freeze(StateSealed, 12)
	case StateTombstone:
		m.bury(Damaged, "why", 12)
	}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	for _, state := range []ChunkState{StateOpen, StateSealed, StateTombstone} {
		m := sampleManifest(state)
		got, err := decodeManifest(m.seq, appendManifest(nil, m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("state %d: got %+v, %v\nwant %+v", state, got, err, m)
		}
	}
}

// Case: every field that a manifest freezes is covered by {id}.
func TestDigestCovers(t *testing.T) {
	ids := map[string]string{}
	for name, change := range map[string]func(*manifest){
		"nothing":  func(*manifest) {},
		"queue":    func(m *manifest) { m.own().queue = "0" },
		"number":   func(m *manifest) { m.own().number++ },
		"input":    func(m *manifest) { m.input += "x" },
		"template": func(m *manifest) { m.template += "x" },
		"codec":    func(m *manifest) { m.codec += "x" },
		"reason":   func(m *manifest) { m.reason += "x" },
		"records":  func(m *manifest) { m.records++ },
		"chain":    func(m *manifest) { m.chain[31]++ },
		"times":    func(m *manifest) { m.first-- },
	} {
		m := sampleManifest(StateOpen)
		change(m)
		m.freeze(StateSealed, 12)
		if other, ok := ids[m.id]; ok {
			t.Errorf("%s and %s give the same id", name, other)
		}
		ids[m.id] = name
	}
}

// A decoder never panics, and what it accepts it writes the same way again.
func FuzzManifest(f *testing.F) {
	for _, state := range []ChunkState{StateOpen, StateSealed, StateTombstone} {
		f.Add(appendManifest(nil, sampleManifest(state)))
	}
	f.Add([]byte{manifestVersion, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(7, b)
		if err != nil {
			return
		}
		again, err := decodeManifest(7, appendManifest(nil, m))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	b := testBlock("app", "x", 30, 1)
	h := header{queue: "0123456789abcdef", seq: 1, number: 2, batch: 3, committed: 4, stored: 30, dataCRC: 5, block: &b}
	good := append(appendHeader(nil, &h), b.Data...)
	f.Add(good)
	f.Add(good[:20])
	f.Add(blockMagic[:])
	f.Fuzz(func(t *testing.T, v []byte) {
		head, data, err := splitBlock(v)
		if err != nil {
			// The checksum stops nearly everything, so the decoder also gets the raw bytes.
			_, _ = decodeHeader(v, &Block{})
			return
		}
		if len(head)+len(data) != len(v) {
			t.Fatal("header and data are not the value")
		}
		var b Block
		h, err := decodeHeader(head, &b)
		if err != nil {
			return
		}
		again, err := decodeHeader(appendHeader(nil, &h), &Block{})
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add(appendState(nil, &state{queue: "q", segment: 1, nextSeq: 2, home: home{1, 2, "boot"}, tally: tally{3, 4}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			return
		}
		if again, err := decodeState(appendState(nil, &s)); err != nil || again != s {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

func FuzzCounter(f *testing.F) {
	f.Add(appendCounter(nil, counter{"q", 9, Loss{1, 2, 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCounter(b)
		if err != nil {
			return
		}
		if again, err := decodeCounter(appendCounter(nil, c)); err != nil || again != c {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

// The page checker takes any file. The input is a change to a sound one.
func FuzzPages(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(Options{Dir: dir, SegmentSize: 32 << 10})
	if err != nil {
		f.Fatal(err)
	}
	mustAppend(f, s, testBlock("a", "0", 3000, 1), testBlock("a", "1", 100, 1000))
	path := s.head.path
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := checkPages(bytes.NewReader(sound), int64(len(sound))); err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{1, 2, 3})
	f.Add(uint32(4096*5+10), []byte{0xff, 0xff})
	f.Add(uint32(4096*8), []byte{})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		b := bytes.Clone(sound)
		copy(b[int(at)%len(b):], change)
		if err := checkPages(bytes.NewReader(b), int64(len(b))); err != nil {
			return
		}
		// What passes the checker can be opened and walked.
		path := filepath.Join(t.TempDir(), segmentName(1))
		if err := os.WriteFile(path, b, 0o640); err != nil {
			t.Fatal(err)
		}
		seg, err := openChecked(path, 1)
		if err != nil {
			return
		}
		if err := seg.close(); err != nil {
			t.Fatal(err)
		}
		if seg, err = openSegment(path, 1, 0, false); err != nil {
			t.Fatalf("opening for writing: %v", err)
		}
		if err := seg.close(); err != nil {
			t.Fatal(err)
		}
	})
}
