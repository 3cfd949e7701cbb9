package config

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

// expression is the rule of regular expressions, which are those of package regexp.
func expression(v any) complaint {
	what, hint := ExpressionFault(v.(string))
	return complaint{what, hint}
}

// ExpressionFault returns what is wrong with a regular expression and what to do
// about it; both are "" if it can be used. Those of other tools, which people paste,
// have features that package regexp leaves out because they can take forever.
func ExpressionFault(expr string) (what, hint string) {
	_, err := regexp.Compile(expr)
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		return "", ""
	}
	for _, f := range foreignSyntax {
		if strings.HasPrefix(fault.Expr, f.begins) {
			return "uses " + f.what + ", " + f.begins + ", which expressions here (RE2) do not have", f.hint
		}
	}
	switch fault.Code {
	case syntax.ErrInvalidRepeatOp:
		return "repeats a repetition, " + fault.Expr + "; possessive ones do not exist here (RE2)", "leave the second sign out, or put the first repetition in (?:…)"
	case syntax.ErrInvalidRepeatSize, syntax.ErrLarge, syntax.ErrNestingDepth:
		return strings.TrimPrefix(err.Error(), "error parsing regexp: "), "use smaller counts: a repetition has at most 1,000"
	case syntax.ErrMissingParen, syntax.ErrUnexpectedParen, syntax.ErrMissingBracket:
		return strings.TrimPrefix(err.Error(), "error parsing regexp: "), `close every ( and [; put \ before one that is meant literally`
	case syntax.ErrInvalidUTF8:
		return "is not UTF-8", `write a byte as \x and two hexadecimal digits`
	}
	return strings.TrimPrefix(err.Error(), "error parsing regexp: "), `write it between single quotes, where \ needs no second one: '^\d{4}-'; see https://golang.org/s/re2syntax`
}

const (
	hintAround  = "write a plain expression of what the line begins with or holds; see https://golang.org/s/re2syntax"
	hintAtomic  = "use (?:…): matching takes no time that a group could save here"
	hintBackref = "write out what the group stands for"
)

// foreignSyntax is what package regexp leaves out of Perl's and PCRE's syntax.
var foreignSyntax = []struct{ begins, what, hint string }{
	{"(?=", "look-ahead", hintAround},
	{"(?!", "negative look-ahead", hintAround},
	{"(?<=", "look-behind", hintAround},
	{"(?<!", "negative look-behind", hintAround},
	{"(?>", "an atomic group", hintAtomic},
	{"(?(", "a condition", "write the two cases as (?:…|…)"},
	{"(?#", "a comment", "leave it out"},
	{"(?|", "a branch reset", "use (?:…|…)"},
	{"(?x", "free spacing", "leave the white space and comments out"},
	{"(?P", "a back reference or subroutine", hintBackref},
	{"(?&", "a subroutine", hintBackref},
	{"(?R", "recursion", hintBackref},
	{`\k`, "a back reference", hintBackref},
	{`\g`, "a back reference", hintBackref},
	{`\1`, "a back reference", hintBackref},
	{`\2`, "a back reference", hintBackref},
	{`\3`, "a back reference", hintBackref},
	{`\Z`, "the end of text", "use $ or \\z"},
	{`\K`, "a reset of the match", "leave it out"},
	{`\R`, "a line break", "use \\r?\\n"},
	{`\h`, "horizontal white space", "use [ \\t]"},
	{`\<`, "the begin of a word", "use \\b"},
	{`\>`, "the end of a word", "use \\b"},
}
