//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newGenerate writes what packages ship beside the binary, from the same
// source as the binary itself, so that it can't go stale.
func newGenerate() *cobra.Command {
	return &cobra.Command{
		Use:    "generate EXAMPLE DIR",
		Short:  "Write the man pages and shell completions into DIR",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(fmt.Errorf("generate wants config.example.toml and a directory, got %d arguments", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			example, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			return generate(cmd.Root(), string(example), args[1])
		},
	}
}

// generate writes one file each into dir, which must exist.
func generate(root *cobra.Command, example, dir string) error {
	var bash, zsh, fish bytes.Buffer
	if err := root.GenBashCompletionV2(&bash, true); err != nil {
		return err
	}
	if err := root.GenZshCompletion(&zsh); err != nil {
		return err
	}
	if err := root.GenFishCompletion(&fish, true); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"spoolship.1": commandPage(root), "spoolship.toml.5": configPage(example),
		"spoolship.bash": bash.String(), "_spoolship": zsh.String(), "spoolship.fish": fish.String(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// commandPage is spoolship(1): every command with its help and its flags.
func commandPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH SPOOLSHIP 1 \"\" \"Spoolship\" \"User Commands\"\n.SH NAME\nspoolship \\- %s\n", lowerFirst(roff(root.Short)))
	b.WriteString(".SH SYNOPSIS\n.B spoolship\n[\\-\\-config FILE] COMMAND [OPTIONS]\n.SH DESCRIPTION\n")
	b.WriteString(plain(root.Long))
	b.WriteString(".SH OPTIONS\n")
	flags(&b, root.PersistentFlags())
	b.WriteString(".SH COMMANDS\n")
	command(&b, root)
	b.WriteString(`.SH FILES
.TP
.I /etc/spoolship/spoolship.toml
the configuration
.TP
.I /etc/spoolship/conf.d/*.toml
more inputs
.TP
.I /var/lib/spoolship
the spool, and how far each file was read
.SH SEE ALSO
.BR spoolship.toml (5)
`)
	return b.String()
}

// command describes the visible commands below c.
func command(b *strings.Builder, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		fmt.Fprintf(b, ".SS %s\n", roff(sub.UseLine()))
		long := strings.TrimSuffix(sub.Long, exitHelp) // stands in the description already
		if long == "" {
			long = sub.Short + "."
		}
		b.WriteString(plain(long))
		flags(b, sub.LocalNonPersistentFlags())
		command(b, sub)
	}
}

func flags(b *strings.Builder, set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, text := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		if kind != "" && f.DefValue != "" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(text))
	})
}

// configPage is spoolship.toml(5), made from the example, which shows every
// setting with its default below what explains it.
func configPage(example string) string {
	var b strings.Builder
	b.WriteString(".TH SPOOLSHIP.TOML 5 \"\" \"Spoolship\" \"File Formats\"\n.SH NAME\nspoolship.toml \\- configuration of spoolship\n.SH DESCRIPTION\n")
	literal := false
	setLiteral := func(on bool) {
		if on == literal {
			return
		}
		literal = on
		if on {
			b.WriteString(".PP\n.RS\n.nf\n")
		} else {
			b.WriteString(".fi\n.RE\n.PP\n")
		}
	}
	for line := range strings.Lines(example) {
		line = strings.TrimSuffix(line, "\n")
		text, explains := strings.CutPrefix(line, "##")
		setting := strings.TrimPrefix(line, "# ")
		switch {
		case explains && strings.TrimSpace(text) == "", line == "":
			setLiteral(false)
			b.WriteString(".PP\n")
		case explains:
			setLiteral(false)
			b.WriteString(roff(strings.TrimSpace(text)) + "\n")
		case strings.HasPrefix(setting, "["):
			setLiteral(false)
			fmt.Fprintf(&b, ".SH %s\n", roff(setting))
		default:
			setLiteral(true)
			b.WriteString(roff(setting) + "\n")
		}
	}
	setLiteral(false)
	b.WriteString(".SH SEE ALSO\n.BR spoolship (1)\n")
	return squeeze(b.String())
}

// squeeze drops a paragraph break that follows another one or a heading, or
// comes before a heading: groff warns of these.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	var kept []string
	for i, line := range lines {
		after := i > 0 && len(kept) > 0 && (kept[len(kept)-1] == ".PP" || strings.HasPrefix(kept[len(kept)-1], ".SH"))
		before := i+1 < len(lines) && strings.HasPrefix(lines[i+1], ".SH")
		if line == ".PP" && (after || before) {
			continue
		}
		if strings.HasPrefix(line, ".SH") && len(kept) > 0 && kept[len(kept)-1] == ".PP" {
			kept = kept[:len(kept)-1]
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

// plain sets help text as it stands: its lines are broken by hand.
func plain(text string) string {
	var b strings.Builder
	b.WriteString(".nf\n")
	for line := range strings.Lines(strings.TrimSpace(text)) {
		b.WriteString(roff(strings.TrimSuffix(line, "\n")) + "\n")
	}
	b.WriteString(".fi\n")
	return b.String()
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "–", `\(en`)

// roff escapes one line of text.
func roff(line string) string {
	line = roffEscapes.Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
