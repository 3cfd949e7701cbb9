//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/spool"
)

// repairSite is a stopped agent's state with a few chunks, and its
// configuration.
func repairSite(t *testing.T) (config, head string) {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	sp, err := spool.Open(spool.Options{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		data := bytes.Repeat([]byte{byte(i)}, 20_000)
		b := spool.Batch{
			Blocks: []spool.Block{{Input: "app", Name: "k/{queue}-{chunk}-{records}-{id}", Codec: "none", Limit: 100_000, Data: data,
				RawSize: int64(len(data)), Records: 1, Ranges: []spool.Range{{File: 1, From: int64(i), To: int64(i + 1), Records: 1}}}},
			Positions: []spool.Position{{File: 1, Data: bytes.Repeat([]byte{1}, 300)}, {File: uint64(i + 2), Data: bytes.Repeat([]byte{2}, 300)}},
		}
		if err := sp.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "c.toml")
	text := fmt.Sprintf("[agent]\nstate_dir = %q\n[s3]\nbucket = \"events\"\nregion = \"us-east-1\"\n[[input]]\nname = \"app\"\ninclude = [%q]\n",
		state, filepath.Join(dir, "*.log"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, filepath.Join(state, "queue", "00000000000000000001.seg")
}

// repair runs the command and returns its output and how it ended.
func repair(config string, flags ...string) (out string, code int, hint string) {
	root := newRoot()
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetArgs(append([]string{"spool", "repair", "--config", config}, flags...))
	err := root.Execute()
	if err != nil {
		code, hint = classify(err)
		fmt.Fprintln(&b, err)
	}
	return b.String(), code, hint
}

// Case: damage in each region of the head, and what the command says and does.
func TestSpoolRepair(t *testing.T) {
	for name, c := range map[string]struct {
		damage  func(head []byte)
		look    int // exit codes: without flags, with --salvage, with --start-anew too
		salvage int
		anew    int
		says    string
	}{
		"nothing":        {func([]byte) {}, 0, 0, 0, "is sound"},
		"data":           {func(b []byte) { damageBlock(b, 5000) }, 0, 0, 0, "is sound"},
		"both metas":     {func(b []byte) { clear(b[:8192]) }, 3, 1, 0, "state   can't be read: no valid meta page"},
		"cut off":        {func(b []byte) { clear(b[8192:]) }, 3, 1, 0, "can't be read"},
		"state":          {func(b []byte) { damageState(b) }, 3, 1, 0, "can't be read"},
		"page of blocks": {func(b []byte) { damagePage(b) }, 3, 0, 0, "state   can be read: positions of 41 files; 0 blocks"},
		"block and page": {func(b []byte) { damagePage(b); damageBlock(b, 5000) }, 3, 3, 0, "1 blocks of unacked chunks are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			config, head := repairSite(t)
			b, err := os.ReadFile(head)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(b)
			if err := os.WriteFile(head, b, 0o640); err != nil {
				t.Fatal(err)
			}
			out, code, hint := repair(config)
			if code != c.look || !strings.Contains(out, c.says) || code != 0 && hint == "" {
				t.Errorf("exit code %d, hint %q\n%s", code, hint, out)
			}
			if now, _ := os.ReadFile(head); !bytes.Equal(now, b) {
				t.Fatal("looking has changed the head")
			}
			if out, code, hint = repair(config, "--salvage"); code != c.salvage || code == 1 && !strings.Contains(hint, "arrive twice") {
				t.Errorf("--salvage: exit code %d, hint %q\n%s", code, hint, out)
			}
			if out, code, _ = repair(config, "--salvage", "--start-anew"); code != c.anew {
				t.Errorf("--start-anew: exit code %d\n%s", code, out)
			}
			opens(t, filepath.Dir(filepath.Dir(head)), c.salvage == 1)
		})
	}
}

// opens checks that the agent would start with the state, or from nothing.
func opens(t *testing.T, state string, empty bool) {
	t.Helper()
	sp, err := spool.Open(spool.Options{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	ps, err := sp.Positions()
	if err = errors.Join(err, sp.Close()); err != nil {
		t.Fatal(err)
	}
	if n := len(ps); empty != (n == 0) || !empty && n != 41 {
		t.Errorf("%d positions", n)
	}
}

const magic = "\x93spblk\r\n"

// damageBlock changes a byte of the last block's data.
func damageBlock(b []byte, at int) { b[bytes.LastIndex(b, []byte(magic))+at]++ }

// damagePage spoils the header of the page of the last block; a page starts
// with its own number.
func damagePage(b []byte) {
	at := bytes.LastIndex(b, []byte(magic)) &^ 4095
	copy(b[at:], "spoilt")
}

// damageState changes every copy of a position.
func damageState(b []byte) {
	for p := bytes.Repeat([]byte{1}, 300); ; {
		i := bytes.Index(b, p)
		if i < 0 {
			return
		}
		b[i]++
	}
}

func TestSpoolRepairUsage(t *testing.T) {
	config, head := repairSite(t)
	if _, code, _ := repair(config, "--start-anew"); code != exitUsage {
		t.Errorf("--start-anew alone: exit code %d", code)
	}
	sp, err := spool.Open(spool.Options{Dir: filepath.Dir(filepath.Dir(head))})
	if err != nil {
		t.Fatal(err)
	}
	if out, code, _ := repair(config, "--salvage"); code != exitTemporary {
		t.Errorf("in use: exit code %d\n%s", code, out)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
}
