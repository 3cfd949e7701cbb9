package config

import (
	"fmt"
	"reflect"
	"strings"
)

// table decodes a TOML table into the struct that p points to. Keys that are
// not there keep the value that the struct has.
func (l *loader) table(path string, raw any, p any) {
	keys, ok := raw.(map[string]any)
	if !ok {
		l.mismatch(path, "a table", "write it as ["+path+"], with its keys below it")
		return
	}
	v := reflect.ValueOf(p).Elem()
	fields := fieldsOf(v.Type())
	for _, key := range sortedKeys(keys) {
		at := join(path, key)
		if i, known := fields[key]; known {
			l.value(at, ruleKey(v.Type(), key), keys[key], v.Field(i).Addr().Interface())
			continue
		}
		// The value is not shown: this may be a secret's misspelt key.
		l.problem(at, complaint{"is not a known key", unknownHint(key, v.Type())})
	}
}

// fieldsOf returns the fields of a struct by their TOML key.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "" {
			fields[key] = i
		}
	}
	return fields
}

// ruleKey names a key by the type of its table, so that [chunk] and
// [input.chunk] obey the same rules.
func ruleKey(table reflect.Type, key string) string {
	return strings.ToLower(table.Name()) + "." + key
}

// unknownHint says which key was probably meant, or in which table it belongs.
func unknownHint(key string, table reflect.Type) string {
	known := sortedKeys(fieldsOf(table))
	if hint := didYouMean(key, known); hint != "" {
		return hint
	}
	root := reflect.TypeFor[Config]()
	for i := range root.NumField() {
		t, name := root.Field(i).Type, root.Field(i).Tag.Get("toml")
		if t.Kind() != reflect.Struct || t == table {
			continue
		}
		if _, ok := fieldsOf(t)[key]; ok {
			return "it belongs in [" + name + "]"
		}
	}
	return "known keys here: " + strings.Join(known, ", ")
}

// inputs decodes the [[input]] tables of one file. Each begins with what it
// inherits.
func (l *loader) inputs(raw any) {
	tables, ok := tablesOf(raw)
	if !ok {
		l.mismatch("input", "a list of tables", "write it as [[input]], with two brackets")
		return
	}
	for _, t := range tables {
		in := defaultInput(l.cfg)
		l.table(fmt.Sprintf("input[%d]", len(l.cfg.Inputs)), t, &in)
		if in.Key == "" {
			in.Key = l.cfg.S3.Key
		}
		l.cfg.Inputs = append(l.cfg.Inputs, in)
	}
}

// tablesOf returns the tables of [[input]] or of input = [{…}].
func tablesOf(raw any) (tables []map[string]any, ok bool) {
	switch raw := raw.(type) {
	case nil:
		return nil, true
	case []map[string]any:
		return raw, true
	case []any:
		for _, e := range raw {
			t, ok := e.(map[string]any)
			if !ok {
				return nil, false
			}
			tables = append(tables, t)
		}
		return tables, true
	}
	return nil, false
}
