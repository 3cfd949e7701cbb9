package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that prints as "(set)" or "(not set)", whatever prints
// it: fmt with any verb, slog, JSON. Use string(s) where the value itself is
// needed.
type Secret string

// String tells only whether there is a value.
func (s Secret) String() string {
	if s == "" {
		return "(not set)"
	}
	return "(set)"
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return s.String() }

// Format hides the value from every verb: without it, %x would print it.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the value from JSON, TOML and other encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
