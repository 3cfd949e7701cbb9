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
	var unset []string
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
		if !set {
			unset = append(unset, m[1])
		}
		return value
	})
	if len(unset) > 0 && bad == (complaint{}) {
		bad = unsetComplaint(unset)
	}
	return out, literal, bad
}

func unsetComplaint(names []string) complaint {
	hint := fmt.Sprintf("set it for the service, or give a default: ${%s:-default}", names[0])
	if len(names) == 1 {
		return complaint{fmt.Sprintf("environment variable %s is not set", names[0]), hint}
	}
	return complaint{fmt.Sprintf("environment variables %s are not set", strings.Join(names, ", ")), hint}
}
