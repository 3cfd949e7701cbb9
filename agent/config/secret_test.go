package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

const hush = "wJalrXUtnFEMI7bPxRfi"

func TestSecretPrintsNothing(t *testing.T) {
	path := write(t, minimal, nil)
	text := strings.Replace(minimal, "[[input]]",
		"access_key_id = \"AKIA\"\nsecret_access_key = \""+hush+"\"\nsession_token = \"${T}\"\n[[input]]", 1)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	c, _, err := Load(path, env(map[string]string{"T": hush}))
	must(t, err)
	if string(c.S3.SecretAccessKey) != hush || string(c.S3.SessionToken) != hush {
		t.Fatal("secrets are not loaded")
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.5s"} {
		fmt.Fprintf(&out, verb, c.S3.SecretAccessKey)
		fmt.Fprintf(&out, verb, *c)
		fmt.Fprintf(&out, verb, &c.S3)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", c.S3.SecretAccessKey, "s3", c.S3, "all", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", c.S3.SecretAccessKey, "s3", c.S3)
	must(t, json.NewEncoder(&out).Encode(c.S3))
	for _, form := range []string{hush, fmt.Sprintf("%x", hush), fmt.Sprintf("%X", hush), hush[:5]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is in the output", form)
		}
	}
	equal(t, "set", fmt.Sprint(c.S3.SecretAccessKey), "(set)")
	equal(t, "not set", fmt.Sprintf("%#v", Secret("")), "(not set)")
}

// However a secret is written wrongly, no problem repeats it.
func TestProblemsHideSecrets(t *testing.T) {
	for _, line := range []string{
		"secret_access_key = \"HUSH \"",
		"secret_access_key = [\"HUSH\"]",
		"secret_access_key = {a = \"HUSH\"}",
		"secret_access_key = \"HUSH ${UNSET}\"",
		"secret_access_key = \"${T}\"",
		"secret_access_key = \"${HUSH\"",
		"secret_access_key = \"${UNSET:-HUSH}\"",
		"secret_access_key = HUSH",
		"secret_access_key = 'HUSH",
		"secret_access_key = \"HUSH\\q\"",
		"secret_access_key = \"\"\"\nHUSH\\q",
		"secret_access_key = 0HUSH",
		"secret_access_key \"HUSH\"",
		"secret_access_kye = \"HUSH\"",
		"secert = HUSH",
		"secert = 'HUSH",
		"secert = 1.5HUSH",
		"secert = +0xHUSH",
		"session_token = \"HUSH\"",
		"session_token = \"HUSH\\u0020\"",
		"access_key_id = \"HUSH\"",
		"access_key_id = \"HUSH \"",
		"access_key_id = [\"HUSH\"]",
		"endpoint = \"https://key:HUSH@s3.example.com\"",
		"endpoint = \"key:HUSH://key:HUSH@s3.example.com\"",
		"bucket = \"${T}\"",
	} {
		text := "[s3]\n" + strings.ReplaceAll(line, "HUSH", hush) + "\n"
		_, _, err := Load(write(t, text, nil), env(map[string]string{"T": hush + "\n"}))
		var ps Problems
		if !errors.As(err, &ps) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, ps, ps), hush) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestReadableSecretWarns(t *testing.T) {
	const keys = "access_key_id = \"AKIA\"\nsecret_access_key = "
	for _, c := range []struct {
		value string
		mode  os.FileMode
		warns bool
	}{
		{`"hush"`, 0o644, true},
		{`"hush"`, 0o640, false},
		{`"${S}"`, 0o644, false},
		{`"${S:-hush}"`, 0o644, false},
		{`"${NONE:-hush}"`, 0o644, true},
		{`"x${S}"`, 0o604, true},
	} {
		path := write(t, "[s3]\n"+keys+c.value+"\nbucket = \"events\"\n"+inputPart, nil)
		must(t, os.Chmod(path, c.mode))
		_, warnings, err := Load(path, env(map[string]string{"S": "hush"}))
		must(t, err)
		if (len(warnings) > 0) != c.warns {
			t.Errorf("%s %v: %v", c.value, c.mode, warnings)
		}
		if c.warns {
			equal(t, "warning", warnings[0].String(), path+":3: s3.secret_access_key: is a secret in a file that every user of this host can read; chmod o-r "+path+", or take it from the environment")
		}
	}
}
