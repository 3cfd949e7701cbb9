package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
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
	with = append(with, config.WithLogger(logging.Nop{})) // it would print past our log
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
		if err := checkProfiles(a.CredentialsFile); err != nil {
			return nil, err
		}
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

// readKey reads a file that holds one credential, with or without a newline at its
// end. Neither its text nor its name is in an error: a secret in place of the name
// is an easy mistake.
func readKey(setting, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", unreadable(setting, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", unreadable(setting, err)
	}
	key := strings.TrimSpace(string(data))
	if fault := keyFault(key); fault != "" {
		return "", fmt.Errorf("%s: its file %s", setting, fault)
	}
	return key, nil
}

// unreadable is the error of a setting whose file can't be read.
func unreadable(setting string, err error) error {
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("%s: its file can't be read: %w; correct the path, or let the agent's user read it", setting, err)
}

// keyFault returns what is wrong with the content of a key file and what to do about
// it; "" if it is one credential.
func keyFault(key string) string {
	last := len(key) - 1
	switch {
	case key == "":
		return "is empty; write the credential into it"
	case len(key) > maxKeyFile:
		return "is too long for one credential; correct the path, or write the credential alone into it"
	case strings.Contains(key, "\x00"):
		return "is UTF-16 or binary; save it as plain ASCII text"
	case strings.HasPrefix(key, "\ufeff"):
		return "begins with a byte order mark; save it without one, as plain ASCII text"
	case last > 0 && (key[0] == '"' || key[0] == '\'') && key[last] == key[0]:
		return "has the credential in quotes; take them away"
	case strings.ContainsAny(key, " \t\r\n"):
		return "has more than one line or word; write the credential alone into it, or name a file of profiles with credentials_file"
	case strings.HasPrefix(strings.ToLower(key), "aws_"):
		return "names its variable; write the value alone into it, without NAME="
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }):
		return "has a character that no credential has; copy the credential again, as plain ASCII text"
	}
	return ""
}

// checkProfiles refuses a file of profiles that can't be read, or that an editor has
// saved in an encoding in which no profile would be found.
func checkProfiles(name string) error {
	const setting = "s3.credentials_file"
	f, err := os.Open(name)
	if err != nil {
		return unreadable(setting, err)
	}
	defer f.Close()
	begin := make([]byte, 3)
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return unreadable(setting, err)
	}
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if strings.HasPrefix(string(begin[:n]), mark) {
			return errors.New(setting + ": its file begins with a byte order mark; save it without one, as plain ASCII text")
		}
	}
	return nil
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
