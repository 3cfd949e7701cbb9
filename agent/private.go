package agent

import (
	"os"
	"path/filepath"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
)

// Private lists what no input may follow, whatever name leads to it: the spool,
// the configuration, and where the keys for the destination are.
func Private(c *config.Config) []string {
	paths := append(spool.Dirs(c.Agent.StateDir), c.Files()...)
	paths = append(paths, c.S3.AccessKeyIDFile, c.S3.SecretAccessKeyFile, c.S3.CredentialsFile)
	for _, name := range []string{
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "CREDENTIALS_DIRECTORY", // of systemd's LoadCredential=
	} {
		paths = append(paths, os.Getenv(name))
	}
	if home, err := os.UserHomeDir(); err == nil {
		aws := filepath.Join(home, ".aws")
		paths = append(paths, aws, filepath.Join(aws, "sso", "cache"), filepath.Join(aws, "cli", "cache"))
	}
	private := paths[:0]
	for _, p := range paths {
		if p != "" {
			private = append(private, p)
		}
	}
	return private
}
