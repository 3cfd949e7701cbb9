package s3

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Access says as whom objects are put. The zero value is the default AWS chain:
// environment, shared files, web identity, container, instance profile.
type Access struct {
	// Static credentials.
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string

	// Files that hold one static credential each, for example those of
	// systemd's LoadCredential.
	AccessKeyIDFile     string
	SecretAccessKeyFile string

	// CredentialsFile replaces ~/.aws/credentials; Profile names its section,
	// "default" if there is a file and no name. A profile alone is looked for
	// in the usual files.
	CredentialsFile string
	Profile         string

	// RoleARN is a role that the credentials above are exchanged for.
	RoleARN      string
	ExternalID   string        // what the role's trust policy may ask for
	SessionName  string        // shows up in CloudTrail; "" means "spoolship"
	RoleDuration time.Duration // of one session; 0 means 1 hour
	STSEndpoint  string        // URL; "" means the region's own
}

const (
	defaultSessionName  = "spoolship"
	defaultRoleDuration = time.Hour
	// renewAhead is how long before their end a role's credentials are renewed:
	// longer than an attempt usually takes.
	renewAhead = 5 * time.Minute
	// maxKeyFile bounds what is read of a file that holds one key.
	maxKeyFile = 4 << 10
)

// check returns every mistake in a.
func (a Access) check() []error {
	var errs []error
	if (a.AccessKeyID == "") != (a.SecretAccessKey == "") {
		errs = append(errs, errors.New("s3.access_key_id and s3.secret_access_key: only one of them is set; set both, or neither to use the default AWS credential chain"))
	}
	if a.SessionToken != "" && a.AccessKeyID == "" {
		errs = append(errs, errors.New("s3.session_token: set without s3.access_key_id; set the key it belongs to"))
	}
	if (a.AccessKeyIDFile == "") != (a.SecretAccessKeyFile == "") {
		errs = append(errs, errors.New("s3.access_key_id_file and s3.secret_access_key_file: only one of them is set; set both, or neither"))
	}
	sources := 0
	for _, set := range []bool{a.AccessKeyID != "", a.AccessKeyIDFile != "", a.CredentialsFile != "" || a.Profile != ""} {
		if set {
			sources++
		}
	}
	if sources > 1 {
		errs = append(errs, errors.New("s3: more than one source of credentials is set; keep one of access_key_id, access_key_id_file, and credentials_file or profile"))
	}
	return errs
}

// fixed says whether a names credentials that never change.
func (a Access) fixed() bool { return a.AccessKeyID != "" && a.RoleARN == "" }

// files are those whose change means new credentials.
func (a Access) files() []string {
	switch {
	case a.AccessKeyID != "":
		return nil
	case a.AccessKeyIDFile != "":
		return []string{a.AccessKeyIDFile, a.SecretAccessKeyFile}
	}
	return []string{a.sharedFile(), sharedConfigFile()}
}

// sharedFile is the credentials file that the profile is looked for in.
func (a Access) sharedFile() string {
	if a.CredentialsFile != "" {
		return a.CredentialsFile
	}
	if name := os.Getenv("AWS_SHARED_CREDENTIALS_FILE"); name != "" {
		return name
	}
	return config.DefaultSharedCredentialsFilename()
}

func sharedConfigFile() string {
	if name := os.Getenv("AWS_CONFIG_FILE"); name != "" {
		return name
	}
	return config.DefaultSharedConfigFilename()
}

// load reads a's files and the environment into an AWS configuration whose
// credentials are cached until they end.
func (a Access) load(ctx context.Context, with ...func(*config.LoadOptions) error) (aws.Config, error) {
	source, err := a.source()
	if err != nil {
		return aws.Config{}, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, append(with, source...)...)
	if err != nil {
		return cfg, fmt.Errorf("AWS environment or profile: %w", err)
	}
	if a.RoleARN != "" {
		cfg.Credentials = a.assume(cfg)
	}
	return cfg, nil
}

// source names where the first credentials come from.
func (a Access) source() ([]func(*config.LoadOptions) error, error) {
	var with []func(*config.LoadOptions) error
	static := func(id, secret, token string) {
		with = append(with, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, token)))
	}
	switch {
	case a.AccessKeyID != "":
		static(a.AccessKeyID, a.SecretAccessKey, a.SessionToken)
	case a.AccessKeyIDFile != "":
		id, err := readKey("s3.access_key_id_file", a.AccessKeyIDFile)
		if err != nil {
			return nil, err
		}
		secret, err := readKey("s3.secret_access_key_file", a.SecretAccessKeyFile)
		if err != nil {
			return nil, err
		}
		static(id, secret, "")
	case a.CredentialsFile != "":
		// The SDK passes silently over a file that is not there.
		f, err := os.Open(a.CredentialsFile)
		if err != nil {
			return nil, fmt.Errorf("s3.credentials_file: %w; correct the path, or let the agent's user read it", err)
		}
		f.Close()
		profile := a.Profile
		if profile == "" {
			profile = "default"
		}
		with = append(with, config.WithSharedCredentialsFiles([]string{a.CredentialsFile}), config.WithSharedConfigProfile(profile))
	case a.Profile != "":
		with = append(with, config.WithSharedConfigProfile(a.Profile))
	}
	return with, nil
}

// readKey reads a file that holds one credential. Its text is in no error.
func readKey(setting, name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w; correct the path, or let the agent's user read it", setting, err)
	}
	key := strings.TrimSpace(string(data))
	if key == "" || len(key) > maxKeyFile || strings.ContainsAny(key, " \t\r\n") {
		return "", fmt.Errorf("%s: %s must hold one credential and nothing else", setting, name)
	}
	return key, nil
}

// assume makes the provider of the role's credentials.
func (a Access) assume(cfg aws.Config) aws.CredentialsProvider {
	client := sts.NewFromConfig(cfg, func(o *sts.Options) {
		if o.Region == "" {
			o.Region = fallbackRegion
		}
		if a.STSEndpoint != "" {
			o.BaseEndpoint = &a.STSEndpoint
		}
	})
	role := stscreds.NewAssumeRoleProvider(client, a.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = defaultSessionName, defaultRoleDuration
		if a.SessionName != "" {
			o.RoleSessionName = a.SessionName
		}
		if a.RoleDuration != 0 {
			o.Duration = a.RoleDuration
		}
		if a.ExternalID != "" {
			o.ExternalID = &a.ExternalID
		}
	})
	return aws.NewCredentialsCache(role, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow, o.ExpiryWindowJitterFrac = renewAhead, 0.5
	})
}
