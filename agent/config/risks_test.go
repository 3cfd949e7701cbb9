package config

import (
	"strings"
	"testing"
)

func TestRisks(t *testing.T) {
	for lines, want := range map[string]string{
		"endpoint = \"http://minio.example.com:9000\"":                                               ":3: s3.endpoint: is not encrypted",
		"endpoint = \"http://10.0.0.9:9000\"":                                                        ":3: s3.endpoint: is not encrypted",
		"endpoint = \"HTTP://[2001:db8::1]\"":                                                        ":3: s3.endpoint: is not encrypted",
		"endpoint = \"http://127.0.0.1:9000\"":                                                       "",
		"endpoint = \"http://[::1]:9000\"":                                                           "",
		"endpoint = \"http://localhost:9000\"":                                                       "",
		"endpoint = \"http://localhost.example.com\"":                                                ":3: s3.endpoint: is not encrypted",
		"endpoint = \"https://minio.example.com:9000\"":                                              "",
		"role_arn = \"arn:aws:iam::123456789012:role/r\"\nsts_endpoint = \"http://sts.example.com\"": ":4: s3.sts_endpoint: is not encrypted",
		"endpoint = \"https://minio.example.com/events\"":                                            ":3: s3.endpoint: has the name of the bucket",
		"endpoint = \"https://minio.example.com/events/\"":                                           ":3: s3.endpoint: has the name of the bucket",
		"endpoint = \"https://minio.example.com/base/events\"":                                       ":3: s3.endpoint: has the name of the bucket",
		"endpoint = \"https://events.s3.eu-central-1.amazonaws.com\"":                                ":3: s3.endpoint: has the name of the bucket",
		"endpoint = \"https://myevents.example.com/old-events\"":                                     "",
		"prefix = \"logs\"":                                                                          ":3: s3.prefix: does not end in a slash",
		"prefix = \"a/logs\"":                                                                        ":3: s3.prefix: does not end in a slash",
		"prefix = \"logs/\"":                                                                         "",
		"prefix = \"team-a-\"":                                                                       "",
		"prefix = \"tenant=\"":                                                                       "",
		"prefix = \"${NONE:-}\"":                                                                     "",
	} {
		_, warnings, err := Load(write(t, s3Part+lines+"\n"+inputPart, nil), env(nil))
		if err != nil {
			t.Errorf("%s: %v", lines, err)
			continue
		}
		switch {
		case want == "" && len(warnings) != 0, want != "" && len(warnings) != 1:
			t.Errorf("%s: %v", lines, warnings)
		case want != "" && (!strings.Contains(warnings[0].String(), want) || warnings[0].Hint == ""):
			t.Errorf("%s: %v, want %s", lines, warnings[0], want)
		}
	}
}

func TestRenamedInputs(t *testing.T) {
	input := func(name, rest string) string {
		return "[[input]]\nname = \"" + name + "\"\ninclude = [\"/l\"]\n" + rest + "\n"
	}
	for text, want := range map[string]string{
		input("web", `was = "app"`):                                             "",
		input("web", `was = ""`):                                                "",
		input("web", `was = "web"`):                                             "input[0].was: is the name that the input has",
		input("web", `was = "App"`):                                             "input[0].was: must be the name that the input had",
		input("web", `was = "app"`) + input("app", ""):                          "input[0].was: is the name of another input",
		input("web", `was = "app"`) + input("api", `was = "app"`):               "input[1].was: is set for input web, too",
		input("web", "was = \"app\"\nkey = \"{queue}/{chunk}-{records}-{id}\""): "input[0].was: needs {input} in the key template",
	} {
		_, _, err := Load(write(t, s3Part+text, nil), env(nil))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
