package config

import (
	"reflect"
	"slices"
	"strings"
)

// Diff returns the keys whose values differ between two configurations, sorted,
// in the form "s3.region" or "input.NAME.include". An input that only one of
// them has is "input.NAME" alone. What an input inherits is not named again.
// Values are not shown: some are secret.
func Diff(a, b *Config) []string {
	var keys []string
	for _, t := range []struct {
		name string
		a, b any
	}{
		{"agent", a.Agent, b.Agent}, {"spool", a.Spool, b.Spool}, {"chunk", a.Chunk, b.Chunk},
		{"s3", a.S3, b.S3}, {"telemetry", a.Telemetry, b.Telemetry},
	} {
		keys = append(keys, diffTable(t.name, t.a, t.b)...)
	}
	for i := range a.Inputs {
		in := &a.Inputs[i]
		if other := b.input(in.Name); other != nil {
			keys = append(keys, diffInput(a, b, in, other)...)
		} else {
			keys = append(keys, "input."+in.Name)
		}
	}
	for i := range b.Inputs {
		if name := b.Inputs[i].Name; a.input(name) == nil {
			keys = append(keys, "input."+name)
		}
	}
	slices.Sort(keys)
	return keys
}

// input returns the input of that name, or nil.
func (c *Config) input(name string) *Input {
	for i := range c.Inputs {
		if c.Inputs[i].Name == name {
			return &c.Inputs[i]
		}
	}
	return nil
}

// diffInput compares two inputs of one name.
func diffInput(a, b *Config, was, is *Input) (keys []string) {
	x, y := *was, *is
	inherits := func(in *Input, c *Config) bool { return in.Chunk == c.Chunk }
	if inherits(was, a) && inherits(is, b) {
		x.Chunk, y.Chunk = Chunk{}, Chunk{}
	}
	if was.Key == a.S3.Key && is.Key == b.S3.Key {
		x.Key, y.Key = "", ""
	}
	path := "input." + was.Name
	keys = append(diffTable(path, x, y), diffTable(path+".chunk", x.Chunk, y.Chunk)...)
	return slices.DeleteFunc(keys, func(k string) bool { return k == path+".chunk" })
}

// diffTable compares the fields of two structs of one type.
func diffTable(path string, a, b any) (keys []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		// An empty list or table and none are the same to every reader.
		if f, g := x.Field(i), y.Field(i); !reflect.DeepEqual(f.Interface(), g.Interface()) && (!empty(f) || !empty(g)) {
			keys = append(keys, path+"."+x.Type().Field(i).Tag.Get("toml"))
		}
	}
	return keys
}

func empty(v reflect.Value) bool {
	k := v.Kind()
	return (k == reflect.Slice || k == reflect.Map) && v.Len() == 0
}

// needRestart are the keys, or tables, that only a new process takes on.
var needRestart = []string{"agent.state_dir", "agent.max_procs", "telemetry"}

// NeedsRestart says whether a change of key, as Diff names it, takes effect in
// a new process only.
func NeedsRestart(key string) bool {
	return slices.ContainsFunc(needRestart, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
}

// WithFixed returns c with the values of old where NeedsRestart says that a
// change has no effect before a restart.
func (c *Config) WithFixed(old *Config) *Config {
	merged := *c
	merged.Agent.StateDir, merged.Agent.MaxProcs = old.Agent.StateDir, old.Agent.MaxProcs
	merged.Telemetry = old.Telemetry
	return &merged
}
