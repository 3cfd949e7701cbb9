package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent/config"
)

// editing makes the first input add, drop and mask fields.
func (s *site) editing() {
	in := &s.cfg.Inputs[0]
	in.Fields = []string{"host", "file", "offset", "time"}
	in.StaticFields = map[string]any{"env": "prod", "shard": int64(7)}
	in.PathFields = filepath.Join(s.dir, "{folder}", "{stem}.log")
	in.DropFields, in.MaskFields = []string{"text"}, []string{"user.email"}
}

// Case: fields are added, dropped and masked on the whole way to the bucket.
func TestFieldsArrive(t *testing.T) {
	s := newSite(t)
	s.editing()
	s.cfg.Inputs[0].Fields = []string{"host", "offset"}
	lines := `{"id":98765432109876543,"text":"secret","user":{"email":"a@b"}}` + "\n" + `{"env":"own"}` + "\nsecret\n"
	if err := os.WriteFile(s.path("a.log"), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	dest := newMemSink()
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), []string{
		`{"id":98765432109876543,"user":{"email":"***"},"host":"h","offset":0,"env":"prod","shard":7,"folder":"log","stem":"a"}`,
		`{"env":"own","host":"h","offset":64,"shard":7,"folder":"log","stem":"a"}`,
		`{"raw_withheld":6,"error":"not a JSON object at byte 0","host":"h","offset":78,"env":"prod","shard":7,"folder":"log","stem":"a"}`,
	})
}

// Mistakes that only the encoder can see have their key and line.
func TestFieldMistakes(t *testing.T) {
	const base = "[s3]\nbucket = \"events\"\n[[input]]\nname = \"a\"\ninclude = [\"/a/*\"]\n"
	for text, want := range map[string]string{
		"path_fields = \"/a/*\"\n":                                                  `6: input[0].path_fields: "/a/*" names no field; write {name} where the path has its value`,
		"path_fields = \"/a/{raw}\"\n":                                              `6: input[0].path_fields: is set by the record itself already (got "raw"); choose another name, or remove one of the two`,
		"fields = [\"host\"]\npath_fields = \"/{host}/*\"\n":                        `7: input[0].path_fields: is set by fields already (got "host"); choose another name, or remove one of the two`,
		"path_fields = \"/{x}/*\"\n[input.static_fields]\ny = 1\nx = 1\n":           `6: input[0].path_fields: is set by static_fields already (got "x"); choose another name, or remove one of the two`,
		"format = \"text\"\n[input.static_fields]\nok = 1\ntime = 1\nmessage = 2\n": `10: input[0].static_fields.message: is set by the record itself already (got "message"); choose another name, or remove one of the two` + "\n" + `9: input[0].static_fields.time: is set by fields already (got "time"); choose another name, or remove one of the two`,
	} {
		path := filepath.Join(t.TempDir(), "c.toml")
		if err := os.WriteFile(path, []byte(base+text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := config.Load(path, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(fmt.Sprint(CheckKeys(c).Error()), path+":", "")
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
