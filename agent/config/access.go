package config

import "fmt"

// checkKeys keeps the sources of credentials apart, and their halves together.
func (l *loader) checkKeys() {
	const id, secret, token = "s3.access_key_id", "s3.secret_access_key", "s3.session_token"
	const idFile, secretFile = "s3.access_key_id_file", "s3.secret_access_key_file"
	s := l.cfg.S3
	for _, path := range []string{id, secret, token, idFile, secretFile, "s3.credentials_file", "s3.profile"} {
		if l.bad[path] {
			return
		}
	}
	const both = "set both, or neither to use the default AWS credential chain"
	switch {
	case s.AccessKeyID != "" && s.SecretAccessKey == "":
		l.problem(id, complaint{"is set, but secret_access_key is not", both})
	case s.AccessKeyID == "" && s.SecretAccessKey != "":
		l.problem(secret, complaint{"is set, but access_key_id is not", both})
	case s.AccessKeyID == "" && s.SessionToken != "":
		l.problem(token, complaint{"is set, but access_key_id and secret_access_key are not", "set all three, or none"})
	case s.AccessKeyIDFile != "" && s.SecretAccessKeyFile == "":
		l.problem(idFile, complaint{"is set, but secret_access_key_file is not", both})
	case s.AccessKeyIDFile == "" && s.SecretAccessKeyFile != "":
		l.problem(secretFile, complaint{"is set, but access_key_id_file is not", both})
	default:
		l.checkOneSource()
	}
}

// checkOneSource refuses credentials of which only some could be used.
func (l *loader) checkOneSource() {
	s := l.cfg.S3
	first := ""
	for _, source := range []struct{ key, value string }{
		{"access_key_id", s.AccessKeyID}, {"access_key_id_file", s.AccessKeyIDFile}, {"credentials_file", s.CredentialsFile + s.Profile},
	} {
		switch {
		case source.value == "":
		case first == "":
			first = source.key
		default:
			path := "s3." + source.key
			if s.CredentialsFile == "" && source.key == "credentials_file" {
				path = "s3.profile"
			}
			l.problem(path, complaint{fmt.Sprintf("is set, and so is %s: there can be one source of credentials", first), "remove one of the two"})
			return
		}
	}
}

// checkRole refuses settings of a role where there is none.
func (l *loader) checkRole() {
	s := l.cfg.S3
	if s.RoleARN != "" || l.bad["s3.role_arn"] {
		return
	}
	for _, key := range []struct{ path, value string }{{"s3.external_id", s.ExternalID}, {"s3.sts_endpoint", s.STSEndpoint}} {
		if key.value != "" && !l.bad[key.path] {
			l.problem(key.path, complaint{"is set, but role_arn is not", "set role_arn, or remove the line"})
		}
	}
}
