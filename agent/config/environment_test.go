package config

import (
	"strings"
	"testing"
)

func TestNumbersFromTheEnvironment(t *testing.T) {
	vars := env(map[string]string{"N": "7", "SPACED": " 8\n", "YES": "true", "WORD": "s3cretWord", "EMPTY": "", "BIG": "99999999999999999999", "FLOAT": "4.0"})
	for _, c := range []struct {
		uploads, pathStyle string
		n                  int
		b                  bool
		bad                string
	}{
		{`"${N}"`, `"${YES}"`, 7, true, ""},
		{`"${N:-4}"`, `"${NONE:-false}"`, 7, false, ""},
		{`"${NONE:-4}"`, `true`, 4, true, ""},
		{`"1${N}"`, `"${EMPTY:-true}"`, 17, true, ""},
		{`"${SPACED}"`, `true`, 8, true, ""},
		{`"${WORD}"`, `true`, 0, false, `s3.max_uploads: must be a whole number (got "${WORD}"); correct the value of the variable`},
		{`"${BIG}"`, `true`, 0, false, `s3.max_uploads: must be a whole number (got "${BIG}"); correct the value of the variable`},
		{`"${FLOAT}"`, `true`, 0, false, `s3.max_uploads: must be a whole number`},
		{`"${N}00000"`, `true`, 0, false, `s3.max_uploads: must be between 1 and 256`},
		{`"${YES}"`, `true`, 0, false, `s3.max_uploads: must be a whole number`},
		{`"${NONE}"`, `true`, 0, false, `s3.max_uploads: environment variable NONE is not set`},
		{`"${EMPTY}"`, `true`, 0, false, `s3.max_uploads: environment variable EMPTY is empty`},
		{`"4"`, `true`, 0, false, `s3.max_uploads: must be a whole number (got "4"); write it without quotes`},
		{`4`, `"${N}"`, 0, false, `s3.path_style: must be true or false (got "${N}"); correct the value of the variable`},
		{`4`, `"true"`, 0, false, `s3.path_style: must be true or false (got "true"); write it without quotes`},
		{`${N}`, `true`, 0, false, `:3: is not valid TOML: expected value but found '$' instead; put the variable in quotes, also for a number: "${NAME}"`},
	} {
		path := write(t, s3Part+"max_uploads = "+c.uploads+"\npath_style = "+c.pathStyle+"\n"+inputPart, nil)
		cfg, _, err := Load(path, vars)
		switch {
		case c.bad == "" && (err != nil || cfg.S3.MaxUploads != c.n || cfg.S3.PathStyle != c.b):
			t.Errorf("%s, %s: %v, %d, %v", c.uploads, c.pathStyle, err, cfg.S3.MaxUploads, cfg.S3.PathStyle)
		case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad) || strings.Contains(err.Error(), "s3cretWord")):
			t.Errorf("%s, %s: %v", c.uploads, c.pathStyle, err)
		}
	}
}

// A variable that is empty is a mistake of deployment, and the default chain of
// credentials in place of the keys would hide it.
func TestEmptyVariables(t *testing.T) {
	vars := env(map[string]string{"EMPTY": ""})
	for _, line := range []string{`access_key_id = "${EMPTY}"`, `secret_access_key = "${EMPTY}"`, `region = "${EMPTY}"`, `prefix = "logs/${EMPTY}/"`} {
		_, _, err := Load(write(t, s3Part+line+"\n"+inputPart, nil), vars)
		if err == nil || !strings.Contains(err.Error(), "environment variable EMPTY is empty") || !strings.Contains(err.Error(), "${EMPTY:-} if it may be empty") {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, _, err := Load(write(t, s3Part+"region = \"${EMPTY:-}\"\n"+inputPart, nil), vars); err != nil {
		t.Error(err)
	}
}

// A secret on the wrong line is not shown, whatever is wrong with it there.
func TestPastedSecrets(t *testing.T) {
	const id, secret, token, short = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY1EXAMPLEKE", "IQoJb3JpZ2luX2VjEPT//////////wEaCXVzLWVhc3QtMSJHMEUCIQ", "hunter2 hunter2"
	for _, line := range []string{
		`access_key_id_file = "` + secret + `"`, `secret_access_key_file = "` + short + `"`, `credentials_file = "` + id + `"`, `ca_file = "` + short + `"`,
		`role_arn = "` + short + `"`, `external_id = "` + short + `!"`, `profile = "` + short + `"`, `session_name = "` + short + `"`, `access_key_id = "` + short + `"`,
		`endpoint = "https://u:` + short + `@host"`, `endpoint = "https://host/?X-Amz-Signature=` + short + `"`, `endpoint = "https://host/#` + short + `"`, `endpoint = "` + short + `"`,
		`sts_endpoint = "https://host?token=` + short + `"`, `proxy = "http://u:` + short + `@proxy:3128"`, `proxy = "http://proxy/?` + short + `"`,
		`endpoint = "` + secret + `"`, `region = "` + secret + `"`, `prefix = "/` + secret + `"`, `conditional = "` + secret + `"`, `max_uploads = "` + secret + `"`,
		`storage_class = "` + token + `"`, `bucket_key = "` + token + `"`, `timeout = "` + secret + `"`, `expected_bucket_owner = "` + secret + `"`,
		`secret_key = "` + secret + `"`, `session_token = "` + short + `"`, `content_type = "` + secret + `"`,
	} {
		_, warnings, err := Load(write(t, s3Part+line+"\n"+inputPart, nil), env(nil))
		if err == nil {
			t.Errorf("%s is taken", line)
			continue
		}
		for _, leaked := range []string{secret[:10], token[:10], short, "hunter2", id} {
			if text := err.Error(); strings.Contains(text, leaked) {
				t.Errorf("%s: %s", line, text)
			}
		}
		if len(warnings) > 0 {
			t.Error(warnings)
		}
	}
	_, _, err := Load(write(t, "[s3]\nbucket = \""+secret+"\"\n"+inputPart, nil), env(nil))
	if err == nil || strings.Contains(err.Error(), "wJalr") {
		t.Error(err)
	}
}

func TestCredentialsThatWerePastedBadly(t *testing.T) {
	for value, says := range map[string]string{
		`'"AKIAIOSFODNN7EXAMPLE"'`:     "must not be in quotes of its own",
		`"'AKIAIOSFODNN7EXAMPLE'"`:     "must not be in quotes of its own",
		`"\uFEFFAKIAIOSFODNN7EXAMPLE"`: "must be printable ASCII",
		`"AKIAIOSFODNN7EXAMPLE\u200b"`: "must be printable ASCII",
		`"AKIAIOSFODNN7EXAMPLE\r"`:     "must not contain white space",
		`"AKIAIOSFODNN7EXAMPLE\u0007"`: "must be printable ASCII",
	} {
		for _, key := range []string{"access_key_id", "secret_access_key", "session_token"} {
			_, _, err := Load(write(t, s3Part+key+" = "+value+"\n"+inputPart, nil), env(nil))
			if err == nil || !strings.Contains(err.Error(), "s3."+key+": "+says) || strings.Contains(err.Error(), "IOSFODNN7") {
				t.Errorf("%s = %s: %v", key, value, err)
			}
		}
	}
}

func TestExpressionFaults(t *testing.T) {
	for expr, says := range map[string]string{
		`^(?=\d)`: "look-ahead, (?=", `^(?!\s)`: "negative look-ahead, (?!", `(?<=a)b`: "look-behind, (?<=", `(?<!a)b`: "negative look-behind, (?<!",
		`(?>a+)b`: "an atomic group", `(a)\1`: "a back reference", `(?P<x>a)(?P=x)`: "a back reference", `a++`: "repeats a repetition", `a{1,2}{3}`: "repeats a repetition",
		`a\Z`: `use $ or \z`, `a{2000}`: "at most 1,000", `(a`: "close every (", `[a`: "close every (", `a)`: "close every (", `\y`: "single quotes", "\xff": "is not UTF-8",
		`(?#x)a`: "a comment", `(?x) a`: "free spacing", `(?R)`: "recursion", `**`: "single quotes",
		`^\d{4}-`: "", `(?<year>\d+)`: "", `(?i:a)`: "", `a*?`: "",
	} {
		what, hint := ExpressionFault(expr)
		if text := what + "; " + hint; (says == "") != (what == "") || !strings.Contains(text, says) {
			t.Errorf("%s: %s", expr, text)
		}
	}
}
