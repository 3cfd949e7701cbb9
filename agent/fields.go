package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
)

// pathFields parses path_fields; nil if there are none.
func pathFields(in *config.Input) (*chunk.PathFields, error) {
	if in.PathFields == "" {
		return nil, nil
	}
	return chunk.ParsePathFields(in.PathFields)
}

// inputTimes returns the reader of an input's time field.
func inputTimes(in *config.Input) (*chunk.Times, error) {
	return chunk.NewTimes(in.TimeFormat, in.TimeZone, time.Duration(in.TimeMaxSkew))
}

// checkFields checks what only the record's encoder knows: the pattern of
// paths, and names that would be in a record twice.
func checkFields(c *config.Config, i int) (problems config.Problems) {
	in := &c.Inputs[i]
	report := func(key, what, got, hint string) {
		key = fmt.Sprintf("input[%d].%s", i, key)
		file, line := c.Where(key)
		problems = append(problems, config.Problem{File: file, Line: line, Key: key, What: what, Got: got, Hint: hint})
	}
	path, err := pathFields(in)
	if err != nil {
		report("path_fields", err.Error(), "", "")
	}
	if _, err := inputTimes(in); err != nil {
		key := "time_format"
		if _, zone := time.LoadLocation(in.TimeZone); zone != nil {
			key = "time_zone"
		}
		report(key, err.Error(), "", "")
	}
	from := make(map[string]string) // the key that sets a field, by its name
	for _, name := range in.Fields {
		from[name] = "fields"
	}
	for _, name := range chunk.ReservedFields {
		from[name] = "the record itself"
	}
	if in.Format == "docker" {
		from["attrs"] = "the record itself"
	}
	take := func(key, at, name string) {
		if other := from[name]; other != "" {
			report(at, "is set by "+other+" already", fmt.Sprintf("%q", name), "choose another name, or remove one of the two")
		}
		from[name] = key
	}
	for _, name := range slices.Sorted(maps.Keys(in.StaticFields)) {
		take("static_fields", "static_fields."+name, name)
	}
	for _, name := range path.Names() {
		take("path_fields", "path_fields", name)
	}
	return problems
}
