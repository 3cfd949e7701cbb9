package config

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// checkAll checks what depends on more than one key, and completes the
// values. Keys that have a problem already are left out: one mistake is one
// problem.
func (l *loader) checkAll() {
	l.checkSpool()
	l.checkS3()
	l.checkLevel("chunk", l.cfg.Chunk)
	l.checkInputs()
	l.checkTelemetry()
	l.checkRisks()
	l.fillHost()
}

// fillHost asks the system for the host's name where the file has none.
func (l *loader) fillHost() {
	const path = "agent.host"
	if l.cfg.Agent.Host != "" || l.bad[path] {
		return
	}
	name, err := os.Hostname()
	switch {
	case err != nil:
		l.problem(path, complaint{"can't be read from the system: " + err.Error(), "set it"})
	case name == "" || hostName(name) != complaint{}:
		l.problem(path, complaint{fmt.Sprintf("can't be the name of this system, %q, as it must fit into object keys", name), "set it"})
	default:
		l.cfg.Agent.Host = name
	}
}

// checkTelemetry warns where strangers may ask.
func (l *loader) checkTelemetry() {
	const listen, profiles = "telemetry.listen", "telemetry.pprof"
	t := &l.cfg.Telemetry
	if t.PProf && t.Listen == "" && !l.bad[listen] {
		l.problem(profiles, complaint{"has a meaning only with listen; the socket always has profiles", "set listen, or remove the line"})
	}
	if t.StatusGroup != "" && t.Socket == t.StatusSocket() {
		l.problem("telemetry.socket", complaint{"has the name of the socket for status_group", "choose another name in that directory"})
	}
	if t.Listen == "" || l.bad[listen] || onlyHere(t.Listen) {
		return
	}
	file, line := l.cfg.Where(listen)
	l.warnings = append(l.warnings, Warning{
		File: file, Line: line, Key: listen, Got: show(listen, l.written[listen]),
		What: "can be asked by other hosts, without authentication: they see figures, problems and names of files",
		Hint: "listen on 127.0.0.1, or have a firewall or proxy let in whom you want",
	})
}

// onlyHere says whether no other host can reach an address.
func onlyHere(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return thisHost(host)
}

// checkSpool keeps the segments small against the spool, so that its disk
// space comes back in steps of at most an eighth.
func (l *loader) checkSpool() {
	const path = "spool.segment_size"
	s := &l.cfg.Spool
	if largest := s.MaxSize / 8; s.SegmentSize > largest {
		if l.has(path) && !l.bad[path] {
			l.problem(path, complaint{
				fmt.Sprintf("must be at most an eighth of max_size, which is %v", s.MaxSize),
				"lower it, or remove the line",
			})
		}
		s.SegmentSize = largest
	}
}

func (l *loader) checkS3() {
	if !l.has("s3.bucket") && !l.bad["s3"] {
		hint := `add the line: bucket = "NAME"`
		if !l.has("s3") {
			hint = `add the line [s3] and below it: bucket = "NAME"`
		}
		l.problem("s3.bucket", complaint{"is missing", hint})
	}
	l.checkAWS()
	l.checkKeys()
	l.checkRole()
	l.checkObjects()
	l.checkWay()
}

// levels are the highest compression levels; the lowest is 1.
var levels = map[string]int{"gzip": 9, "zstd": 19}

// checkLevel checks the level of [chunk] or of an [input.chunk] at path, if
// that table has a say in it.
func (l *loader) checkLevel(path string, c Chunk) {
	level, compression := path+".level", path+".compression"
	if l.bad[level] || l.bad[compression] || !l.has(level) && !l.has(compression) {
		return
	}
	highest, leveled := levels[c.Compression]
	switch {
	case !leveled && l.has(level):
		l.problem(level, complaint{fmt.Sprintf("has no meaning with compression = %q", c.Compression), "remove the line"})
	case !leveled || c.Level >= 1 && c.Level <= highest:
	case l.has(level):
		l.problem(level, complaint{what: fmt.Sprintf("must be between 1 and %d for %s", highest, c.Compression)})
	case !l.bad["chunk.level"]:
		l.problem(compression, complaint{
			fmt.Sprintf("has levels 1 to %d, but [chunk] sets level %d", highest, c.Level), "set level here too",
		})
	}
}

func (l *loader) checkInputs() {
	if len(l.cfg.Inputs) == 0 && !l.bad["input"] {
		l.problem("input", complaint{
			"is missing: there is nothing to follow",
			`add the line [[input]] and below it: name = "app" and include = ["/var/log/app/*.log"]`,
		})
	}
	first := map[string]string{} // path of the input that has the name
	for i := range l.cfg.Inputs {
		in := &l.cfg.Inputs[i]
		path := fmt.Sprintf("input[%d]", i)
		l.checkRequired(path)
		l.checkFormat(path, in)
		l.checkRemoval(path+".delete_after_ship", in)
		l.checkLevel(path+".chunk", in.Chunk)
		l.checkChunkSize(path+".chunk.max_size", in.Chunk)
		if other, taken := first[in.Name]; taken && in.Name != "" {
			file, line := l.cfg.Where(other)
			l.problem(path+".name", complaint{
				"is the name of another input", fmt.Sprintf("choose another: the first is at %s:%d", file, line),
			})
			continue
		}
		first[in.Name] = path + ".name"
	}
	l.checkChunkSize("chunk.max_size", l.cfg.Chunk)
	l.checkRenamed()
}

// checkRenamed refuses earlier names that are not free to be taken over.
func (l *loader) checkRenamed() {
	heirs := map[string]string{}
	for i := range l.cfg.Inputs {
		in, path := &l.cfg.Inputs[i], fmt.Sprintf("input[%d].was", i)
		if in.Was == "" || l.bad[path] {
			continue
		}
		switch other := heirs[in.Was]; {
		case in.Was == in.Name:
			l.problem(path, complaint{"is the name that the input has", "remove the line"})
		case l.cfg.input(in.Was) != nil:
			l.problem(path, complaint{"is the name of another input, whose files stay with it", "remove the line, or the other input"})
		case other != "":
			l.problem(path, complaint{"is set for input " + other + ", too: the files can go on under one name", "remove one of the two"})
		case !strings.Contains(in.Key, "{input}"):
			l.problem(path, complaint{"needs {input} in the key template, since chunk numbers begin at 1 under the new name", "put {input} into key, or keep the old name"})
		}
		heirs[in.Was] = in.Name
	}
}

// checkRequired asks for the keys of an input that have no default.
func (l *loader) checkRequired(input string) {
	if path := input + ".name"; !l.has(path) {
		l.problem(path, complaint{"is missing", `give the input a name of its own: name = "app"`})
	}
	if path := input + ".include"; !l.has(path) {
		l.problem(path, complaint{"is missing", `name the files to follow: include = ["/var/log/app/*.log"]`})
	}
}

// checkRemoval refuses to delete files of which not all arrives.
func (l *loader) checkRemoval(path string, in *Input) {
	switch {
	case in.DeleteAfterShip == 0 || l.bad[path]:
	case in.Identity == "fingerprint":
		l.problem(path, complaint{`would delete files that can't be told from others by identity = "fingerprint" alone`, `remove the line, or set identity = "inode"`})
	case in.StartAt == "end":
		l.problem(path, complaint{`would delete lines that are never shipped, those before start_at = "end"`, `remove the line, or set start_at = "beginning"`})
	case l.cfg.Spool.WhenFull == "drop_oldest":
		l.problem(path, complaint{`would delete what [spool] when_full = "drop_oldest" gives up`, `remove the line, or set when_full = "block"`})
	}
}

// checkFormat refuses keys that would be without effect, and completes fields.
func (l *loader) checkFormat(input string, in *Input) {
	if l.bad[input+".format"] {
		return
	}
	if path := input + ".inner_format"; in.InnerFormat != "text" && !in.container() && !l.bad[path] {
		l.problem(path, complaint{`has a meaning only with format = "cri" or "docker"`, "remove the line, or change format"})
	}
	for _, key := range []string{"validate", "framing", "drop_fields", "mask_fields", "time_field"} {
		path := input + "." + key
		switch {
		case !l.has(path) || in.lines() == "json" || l.bad[input+".inner_format"]:
		case !in.container():
			l.problem(path, complaint{`has a meaning only with format = "json"`, "remove the line, or change format"})
		case key != "time_field" || in.TimeField != "time":
			l.problem(path, complaint{`has a meaning only with inner_format = "json"`, `add inner_format = "json", or remove the line`})
		}
	}
	for key, set := range map[string]bool{"time_format": in.TimeFormat != "", "time_zone": in.TimeZone != "UTC", "time_max_skew": in.TimeMaxSkew > 0} {
		if path := input + "." + key; set && in.TimeField == "" && !l.bad[path] && !l.bad[input+".time_field"] {
			l.problem(path, complaint{"has a meaning only with time_field", "set time_field, or remove the line"})
		}
	}
	switch path := input + ".encoding"; {
	case l.bad[path]:
	case in.Format == "docker" && l.has(path):
		l.problem(path, complaint{`has no meaning with format = "docker", whose lines are in UTF-8 always`, "remove the line, or change format"})
	case in.Format == "cri" && in.unit() > 1:
		l.problem(path, complaint{`can't have two bytes a character with format = "cri", whose lines end with one`, "remove the line, or change format"})
	case in.Framing == "json" && in.encoded():
		l.problem(path, complaint{`can't be used with framing = "json": where an object ends is known in UTF-8 only`, "remove one of the two, or have the file written in UTF-8"})
	}
	for _, key := range []string{"multiline_start", "multiline_continue", "multiline_wait"} {
		if path := input + "." + key; l.has(path) && in.lines() != "text" && (key != "multiline_wait" || in.Framing != "json" && !in.container()) {
			l.problem(path, complaint{`has a meaning only with lines of text`, "remove the line, or change format"})
		}
	}
	if in.MultilineStart != "" && in.MultilineContinue != "" {
		l.problem(input+".multiline_start", complaint{"is set, and so is multiline_continue, which says the same the other way round", "remove one of the two"})
	}
	if in.lines() == "json" && in.Framing == "json" && in.Validate == "off" && !l.bad[input+".framing"] {
		l.problem(input+".framing", complaint{`needs validate = "full": only a check tells where an object ends`, "remove the line validate, or this one"})
	}
	l.checkWide(input, in)
	l.checkFields(input+".fields", in)
	l.checkEdits(input, in)
}

// checkWide refuses what UTF-16, whose newline has two bytes, can't be used with.
func (l *loader) checkWide(input string, in *Input) {
	if in.unit() == 1 {
		return
	}
	for key, set := range map[string]bool{"multiline_start": in.MultilineStart != "", "multiline_continue": in.MultilineContinue != ""} {
		if path := input + "." + key; set && !l.bad[path] {
			l.problem(path, complaint{"can't be used with an encoding of two bytes a character", "remove the line, or have the file written in UTF-8"})
		}
	}
	if path := input + ".max_line_size"; in.MaxLineSize%2 == 1 && !l.bad[path] {
		l.problem(path, complaint{"must be an even number of bytes, as characters of this encoding have two", ""})
	}
}

func (l *loader) checkFields(path string, in *Input) {
	container, json := in.container(), in.lines() == "json"
	switch message := slices.Contains(in.Fields, "message"); {
	case l.bad[path] || in.Fields == nil && l.has(path): // or an element of it is bad
	case container && json && !l.has(path):
		in.Fields = []string{"time", "stream", "host", "file", "offset"}
	case container && !l.has(path):
		in.Fields = []string{"time", "stream", "host", "file", "offset", "message"}
	case in.Format == "text" && !l.has(path):
		in.Fields = []string{"time", "host", "file", "offset", "message"}
	case !container && slices.Contains(in.Fields, "stream"):
		l.problem(path, complaint{`has "stream", which only the lines of containers tell`, `remove it, or set format = "cri" or "docker"`})
	case !json && !message:
		l.problem(path, complaint{`must contain "message", which is the line itself`, ""})
	case json && message:
		l.problem(path, complaint{`must not contain "message" with lines of JSON, where the line is the record`, "remove it, or change format"})
	}
}

// checkEdits wants lines validated that are to be changed: in others the
// places can't be known.
func (l *loader) checkEdits(input string, in *Input) {
	for i, p := range in.MaskFields {
		if slices.Contains(in.DropFields, p) {
			l.problem(fmt.Sprintf("%s.mask_fields[%d]", input, i), complaint{"is in drop_fields too", "remove it from one of the two"})
		}
	}
	if in.container() && in.Validate == "off" && in.lines() == "json" && !l.bad[input+".validate"] {
		l.problem(input+".validate", complaint{`can't be "off" with format = "cri" or "docker": time and stream are added to lines`, "remove the line"})
	}
	if in.Format != "json" || in.Validate != "off" {
		return
	}
	for key, used := range map[string]bool{
		"fields": len(in.Fields) > 0, "static_fields": len(in.StaticFields) > 0, "path_fields": in.PathFields != "",
		"drop_fields": len(in.DropFields) > 0, "mask_fields": len(in.MaskFields) > 0,
	} {
		if path := input + "." + key; used && !l.bad[path] {
			l.problem(path, complaint{`needs validate = "full": lines that are trusted can't be changed safely`, "remove the line validate, or this one"})
		}
	}
}

// checkChunkSize makes sure that a chunk can fill up before the spool does.
func (l *loader) checkChunkSize(path string, c Chunk) {
	if most := l.cfg.Spool.MaxSize / 4; l.has(path) && !l.bad[path] && !l.bad["spool.max_size"] && c.MaxSize > most {
		l.problem(path, complaint{
			fmt.Sprintf("must be at most a quarter of spool.max_size, which is %v", l.cfg.Spool.MaxSize),
			"lower it, or raise spool.max_size",
		})
	}
}
