//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/tailer"
)

// printRisk prints a warning, and below it what to do about it.
func printRisk(w io.Writer, what, fix string) {
	printf(w, "warning: %s\n  fix: %s\n", what, fix)
}

// checkRisks prints what works on this machine, and is rarely meant.
func checkRisks(cmd *cobra.Command, w io.Writer, c *config.Config) error {
	checkUser(w, c.Agent.StateDir)
	if what, fix := volatileHome(c.Agent.StateDir); what != "" {
		printRisk(w, fmt.Sprintf("state directory %s %s", c.Agent.StateDir, what), fix)
	}
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	for i := range c.Inputs {
		checkPatterns(w, &c.Inputs[i])
		checkOwnFiles(w, c, &c.Inputs[i], path)
	}
	overlaps, err := agent.SharedFiles(c)
	if err != nil {
		return err
	}
	for _, o := range append(overlaps, renamedFiles(cmd, c)...) {
		printRisk(w, o.What(), o.Fix())
	}
	return nil
}

// checkUser warns if this user is not the service's: what can be read and written
// differs then. The owner of the state directory is the service's user, or else the
// one that the packages make.
func checkUser(w io.Writer, stateDir string) {
	me, name := uint64(os.Geteuid()), ""
	if info, err := os.Stat(stateDir); err == nil && info.IsDir() {
		if _, uid, ok := ownerOf(stateDir); ok && uint64(uid) != me {
			name = userName(uid)
		}
	} else if u, err := user.Lookup("spoolship"); err == nil && u.Uid != strconv.FormatUint(me, 10) {
		name = u.Username
	}
	if name != "" {
		printRisk(w, fmt.Sprintf("this check ran as %s, and the agent's user is %s: what that one can read and write is not known", userName(uint32(me)), name),
			"see what the check of the service said: journalctl -u spoolship; or run it as sudo -u "+name+" spoolship check")
	}
}

// checkPatterns warns of patterns that match folders and no file.
func checkPatterns(w io.Writer, in *config.Input) {
	for _, pattern := range in.Include {
		if paths, _, _, err := tailer.Match(tailer.Input{Name: in.Name, Include: []string{pattern}, Links: tailer.LinkPolicy(in.FollowSymlinks)}, nil); err != nil || len(paths) > 0 {
			continue
		}
		folders, _ := doublestar.FilepathGlob(pattern) // what can't be looked into is told elsewhere
		for _, path := range folders {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				printRisk(w, fmt.Sprintf("input %s: %s matches the directory %s, and no file", in.Name, pattern, path),
					fmt.Sprintf("name the files in it: %s", filepath.Join(pattern, "*.log")))
				break
			}
		}
	}
}

// checkOwnFiles warns of patterns that match the agent's own files.
func checkOwnFiles(w io.Writer, c *config.Config, in *config.Input, main string) {
	covers := tailer.Input{Include: in.Include, Exclude: in.Exclude}
	own := []struct{ what, path, exclude string }{
		{"the spool", filepath.Join(c.Agent.StateDir, "queue", strings.Repeat("0", 19)+"1.seg"), c.Agent.StateDir + "/**"},
		{"the spool", filepath.Join(c.Agent.StateDir, "lock"), c.Agent.StateDir + "/**"},
		{"the configuration", main, filepath.Dir(main) + "/**"},
		{"the configuration", filepath.Join(filepath.Dir(main), "conf.d", "input.toml"), filepath.Dir(main) + "/**"},
		{"a key", c.S3.AccessKeyIDFile, c.S3.AccessKeyIDFile},
		{"a key", c.S3.SecretAccessKeyFile, c.S3.SecretAccessKeyFile},
		{"keys", c.S3.CredentialsFile, c.S3.CredentialsFile},
	}
	told := ""
	for _, f := range own {
		if f.path != "" && f.exclude != told && covers.Covers(f.path) {
			told = f.exclude
			printRisk(w, fmt.Sprintf("input %s: its patterns match %s of the agent itself, in %s", in.Name, f.what, filepath.Dir(f.path)), fmt.Sprintf("exclude = [%q]", f.exclude))
		}
	}
}

// renamedFiles returns the files that are shipped again since their input has
// another name. Where nobody can be asked, as before the first start, there are none.
func renamedFiles(cmd *cobra.Command, c *config.Config) (list []agent.Overlap) {
	if _, err := os.Stat(c.Agent.StateDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_ = withViewOf(cmd, c, func(ctx context.Context, v view) error {
		positions, err := v.positions(ctx)
		if err == nil {
			list = agent.RenamedFiles(c, positions)
		}
		return err
	})
	return list
}
