package config

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// reference is a $${ or what looks like a variable, closed or not.
	reference = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}?`)
	// variable is a well-formed one: the name and, if ":-" is there, the default.
	variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^{}$]*)?\}$`)
)

// complaint is a problem that does not know its key yet. The zero value means
// that all is well.
type complaint struct{ what, hint string }

// expand replaces the variables of s. literal says that some of the result
// stands in the file itself, defaults included.
func expand(s string, getenv func(string) (string, bool)) (out string, literal bool, bad complaint) {
	var unset, empty []string
	literal = reference.ReplaceAllString(s, "") != ""
	out = reference.ReplaceAllStringFunc(s, func(ref string) string {
		if ref == "$${" {
			literal = true
			return "${"
		}
		m := variable.FindStringSubmatch(ref)
		if m == nil {
			bad = complaint{
				"holds a ${ that does not begin a variable",
				"write ${NAME} or ${NAME:-default}, or $${ for a literal ${",
			}
			return ""
		}
		value, set := getenv(m[1])
		if value == "" && m[2] != "" { // as in a shell, :- covers unset and empty
			value, set = strings.TrimPrefix(m[2], ":-"), true
			literal = literal || value != ""
		}
		switch {
		case !set:
			unset = append(unset, m[1])
		case value == "" && m[2] == "":
			empty = append(empty, m[1])
		}
		return value
	})
	switch {
	case bad != complaint{}:
	case len(unset) > 0:
		bad = complaint{variables(unset, "not set"), fmt.Sprintf("set it for the service, or give a default: ${%s:-default}", unset[0])}
	case len(empty) > 0:
		bad = complaint{variables(empty, "empty"), fmt.Sprintf("set it for the service, or write ${%s:-} if it may be empty", empty[0])}
	}
	return out, literal, bad
}

// variables names variables of the environment that are in a state.
func variables(names []string, state string) string {
	if len(names) == 1 {
		return fmt.Sprintf("environment variable %s is %s", names[0], state)
	}
	return fmt.Sprintf("environment variables %s are %s", strings.Join(names, ", "), state)
}
