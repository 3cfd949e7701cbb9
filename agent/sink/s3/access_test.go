package s3

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// issuer is a service on loopback that hands out the credentials of the test
// server, each time with another session token: "token-1", "token-2" …
type issuer struct {
	*httptest.Server
	issued atomic.Int64
	bad    atomic.Value // string: the first request that was not as it should be
}

// newIssuer starts one that answers with answer.
func newIssuer(t *testing.T, answer func(is *issuer, w http.ResponseWriter, r *http.Request)) *issuer {
	t.Helper()
	is := &issuer{}
	is.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			is.bad.CompareAndSwap(nil, err.Error())
		}
		answer(is, w, r)
	}))
	t.Cleanup(is.Close)
	return is
}

// want notes a request that differs from what was expected.
func (is *issuer) want(what, got, want string) {
	if got != want {
		is.bad.CompareAndSwap(nil, fmt.Sprintf("%s is %q, want %q", what, got, want))
	}
}

func (is *issuer) token() string { return fmt.Sprintf("token-%d", is.issued.Add(1)) }

// metadata answers in the form of the container and instance services.
func (is *issuer) metadata(w http.ResponseWriter) {
	_ = json.NewEncoder(w).Encode(map[string]string{
		"Code": "Success", "AccessKeyId": sinktest.AccessKeyID, "SecretAccessKey": sinktest.SecretAccessKey,
		"Token": is.token(), "Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	})
}

// role answers in the form of STS.
func (is *issuer) role(w http.ResponseWriter, action string) {
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>
<AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>%[3]s</SecretAccessKey><SessionToken>%[4]s</SessionToken>
<Expiration>%[5]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, sinktest.AccessKeyID, sinktest.SecretAccessKey, is.token(), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// stsFor answers one action.
func stsFor(t *testing.T, action string, check func(*issuer, *http.Request)) *issuer {
	return newIssuer(t, func(is *issuer, w http.ResponseWriter, r *http.Request) {
		is.want("action", r.Form.Get("Action"), action)
		check(is, r)
		is.role(w, action)
	})
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ways are the sources of credentials that renew themselves. Each sets up the
// source and returns the access to it.
var ways = map[string]func(t *testing.T) (Access, *issuer){
	"role": func(t *testing.T) (Access, *issuer) {
		is := stsFor(t, "AssumeRole", func(is *issuer, r *http.Request) {
			for name, want := range map[string]string{
				"RoleArn": "arn:aws:iam::123456789012:role/ship", "ExternalId": "ext",
				"RoleSessionName": "host-1", "DurationSeconds": "1800",
			} {
				is.want(name, r.Form.Get(name), want)
			}
		})
		return Access{
			AccessKeyID: "AKIDUSER", SecretAccessKey: "user", RoleARN: "arn:aws:iam::123456789012:role/ship", ExternalID: "ext",
			SessionName: "host-1", RoleDuration: 30 * time.Minute, STSEndpoint: is.URL,
		}, is
	},
	"web identity": func(t *testing.T) (Access, *issuer) {
		is := stsFor(t, "AssumeRoleWithWebIdentity", func(is *issuer, r *http.Request) {
			is.want("token", r.Form.Get("WebIdentityToken"), "jwt")
			is.want("role", r.Form.Get("RoleArn"), "arn:aws:iam::123456789012:role/pod")
		})
		jwt := filepath.Join(t.TempDir(), "token")
		writeFile(t, jwt, "jwt")
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", jwt)
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
		t.Setenv("AWS_ENDPOINT_URL_STS", is.URL)
		return Access{}, is
	},
	"container": func(t *testing.T) (Access, *issuer) {
		is := newIssuer(t, func(is *issuer, w http.ResponseWriter, r *http.Request) {
			is.want("path", r.URL.Path, "/creds")
			is.want("authorization", r.Header.Get("Authorization"), "pod-token")
			is.metadata(w)
		})
		name := filepath.Join(t.TempDir(), "token")
		writeFile(t, name, "pod-token")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", is.URL+"/creds")
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", name)
		return Access{}, is
	},
	"instance": func(t *testing.T) (Access, *issuer) {
		is := newIssuer(t, func(is *issuer, w http.ResponseWriter, r *http.Request) {
			const session, roles = "/latest/api/token", "/latest/meta-data/iam/security-credentials/"
			if r.URL.Path == session {
				is.want("method", r.Method, http.MethodPut)
				w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
				fmt.Fprint(w, "imds-session")
				return
			}
			is.want("session", r.Header.Get("X-Aws-Ec2-Metadata-Token"), "imds-session")
			switch r.URL.Path {
			case roles:
				fmt.Fprint(w, "ship")
			case roles + "ship":
				is.metadata(w)
			default:
				http.NotFound(w, r)
			}
		})
		t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", is.URL)
		return Access{}, is
	},
}

// sinkFor makes a sink at srv with that access.
func sinkFor(t *testing.T, srv *sinktest.Server, a Access) *Sink {
	o := optionsFor(srv)
	o.Access = a
	return newSink(t, o)
}

// Each way gets credentials, keeps them, and asks for new ones when the store
// says that they ran out; that failure is one that passes.
func TestCredentialsAreRenewed(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			access, is := way(t)
			srv := sinktest.NewServer(t)
			var gone atomic.Value // the session token that has run out
			gone.Store("")
			srv.Script(func(r sinktest.Request) sinktest.Fault {
				if r.Header.Get("X-Amz-Security-Token") == gone.Load() {
					return sinktest.Answer(http.StatusBadRequest, "ExpiredToken")
				}
				return sinktest.Fault{}
			})
			s := sinkFor(t, srv, access)
			for n := range 2 {
				if err := s.Put(t.Context(), sinktest.NewObject(fmt.Sprint("early-", n), []byte("x"))); err != nil {
					t.Fatal(err)
				}
			}
			if n := is.issued.Load(); n != 1 {
				t.Errorf("asked %d times for one set of credentials", n)
			}
			gone.Store("token-1")
			o := sinktest.NewObject("late", []byte("x"))
			if e := failed(t, s.Put(t.Context(), o)); e.Class != sink.Temporary || e.Code != "ExpiredToken" || e.InDoubt {
				t.Errorf("got %+v", e)
			}
			if err := s.Put(t.Context(), o); err != nil {
				t.Errorf("after renewal: %v", err)
			}
			if bad := is.bad.Load(); bad != nil {
				t.Error(bad)
			}
		})
	}
}

// Credentials in files are those of the file as it is now, without a restart.
func TestChangedFilesAreRead(t *testing.T) {
	for name, make := range map[string]func(dir string) (Access, func(secret string)){
		"key files": func(dir string) (Access, func(string)) {
			id, secret := filepath.Join(dir, "id"), filepath.Join(dir, "secret")
			return Access{AccessKeyIDFile: id, SecretAccessKeyFile: secret}, func(key string) {
				writeFile(t, id, sinktest.AccessKeyID+"\n")
				writeFile(t, secret, key+"\n")
			}
		},
		"credentials file": func(dir string) (Access, func(string)) {
			file := filepath.Join(dir, "credentials")
			return Access{CredentialsFile: file}, func(key string) {
				writeFile(t, file, "[default]\naws_access_key_id = "+sinktest.AccessKeyID+"\naws_secret_access_key = "+key+"\n")
			}
		},
		"profile": func(dir string) (Access, func(string)) {
			file := filepath.Join(dir, "credentials")
			return Access{CredentialsFile: file, Profile: "ship"}, func(key string) {
				writeFile(t, file, "[default]\naws_access_key_id = A\naws_secret_access_key = B\n[ship]\naws_access_key_id = "+
					sinktest.AccessKeyID+"\naws_secret_access_key = "+key+"\n")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The settings come before the environment's.
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "environment")
			access, write := make(t.TempDir())
			write("old")
			srv := sinktest.NewServer(t)
			s := sinkFor(t, srv, access)
			o := sinktest.NewObject("key", []byte("x"))
			if e := failed(t, s.Put(t.Context(), o)); e.Code != "SignatureDoesNotMatch" || e.Class != sink.Config {
				t.Errorf("with the old key: %+v", e)
			}
			write(sinktest.SecretAccessKey)
			if err := s.Put(t.Context(), o); err != nil {
				t.Errorf("with the new key: %v", err)
			}
			// A file that is taken away while the agent runs is no reason to stop.
			for _, file := range access.files()[:1] {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			if e := failed(t, s.Put(t.Context(), o)); e.Code != codeCredentials || e.InDoubt || !strings.Contains(e.Error(), "s3.") {
				t.Errorf("without the file: %+v", e)
			}
			write(sinktest.SecretAccessKey)
			if err := s.Put(t.Context(), o); err != nil {
				t.Errorf("with the file again: %v", err)
			}
		})
	}
}

func TestEnvironmentCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", sinktest.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", sinktest.SecretAccessKey)
	if err := sinkFor(t, sinktest.NewServer(t), Access{}).Put(t.Context(), sinktest.NewObject("key", []byte("x"))); err != nil {
		t.Error(err)
	}
}

// What STS refuses is the role's trust policy, and nothing was sent to S3.
func TestRoleIsRefused(t *testing.T) {
	is := newIssuer(t, func(_ *issuer, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>`)
	})
	srv := sinktest.NewServer(t)
	s := sinkFor(t, srv, Access{AccessKeyID: "A", SecretAccessKey: "hush-hush", RoleARN: "arn:aws:iam::123456789012:role/ship", STSEndpoint: is.URL})
	e := failed(t, s.Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
	if e.Class != sink.Config || e.Code != codeCredentials || e.InDoubt || !strings.Contains(e.Hint, "sts:AssumeRole") {
		t.Errorf("got %+v", e)
	}
	if len(srv.Requests()) != 0 || strings.Contains(e.Error(), "hush") {
		t.Errorf("%d requests, error %v", len(srv.Requests()), e)
	}
}

// Static keys can't change, so an expired one stays an operator's matter.
func TestStaticTokenExpires(t *testing.T) {
	srv := sinktest.NewServer(t)
	srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.Answer(400, "ExpiredToken") })
	if e := failed(t, newSink(t, optionsFor(srv)).Put(t.Context(), sinktest.NewObject("key", nil))); e.Class != sink.Config {
		t.Errorf("got %+v", e)
	}
}

// Files that can't be credentials are refused at the start, without their text or
// name: either may be a secret.
func TestBadKeyFiles(t *testing.T) {
	dir := t.TempDir()
	id, empty, two := filepath.Join(dir, "id"), filepath.Join(dir, "empty"), filepath.Join(dir, "two")
	writeFile(t, id, "AKID")
	writeFile(t, empty, "\n")
	writeFile(t, two, "hush hush")
	marked := filepath.Join(dir, "marked")
	writeFile(t, marked, "\xef\xbb\xbf[default]\naws_access_key_id = hush\n")
	for want, a := range map[string]Access{
		"s3.secret_access_key_file: its file is empty":      {AccessKeyIDFile: id, SecretAccessKeyFile: empty},
		"s3.secret_access_key_file: its file has more than": {AccessKeyIDFile: id, SecretAccessKeyFile: two},
		"s3.access_key_id_file: its file can't be read: no": {AccessKeyIDFile: dir + "/hush", SecretAccessKeyFile: id},
		"s3.access_key_id_file: its file can't be read: is": {AccessKeyIDFile: dir, SecretAccessKeyFile: id},
		"s3.credentials_file: its file can't be read: no":   {CredentialsFile: "/hush/hush"},
		"s3.credentials_file: its file begins with a byte":  {CredentialsFile: marked},
		"only one of them":     {AccessKeyIDFile: id},
		"more than one source": {AccessKeyIDFile: id, SecretAccessKeyFile: id, Profile: "p"},
		"s3.sts_endpoint":      {RoleARN: "r", STSEndpoint: "sts"},
	} {
		_, err := New(t.Context(), Options{Bucket: "b", Region: "eu-west-1", Access: a})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// What editors and shells do to a file of one key: harmless, or named with its fix.
func TestKeyFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{
		"hush":               "",
		"hush\n":             "",
		"hush\r\n":           "",
		" hush\t\n\n":        "",
		"\ufeffhush":         "begins with a byte order mark; save it without one",
		"\ufeffhush\r\n":     "begins with a byte order mark; save it without one",
		"\xff\xfeh\x00u\x00": "is UTF-16 or binary; save it",
		"h\x00u\x00":         "is UTF-16 or binary; save it",
		"\"hush\"\n":         "has the credential in quotes; take them away",
		"'hush'\r\n":         "has the credential in quotes; take them away",
		"hush\nhush\n":       "has more than one line or word; write",
		"[default]\naws_secret_access_key = hush": "has more than one line or word; write",
		"AWS_SECRET_ACCESS_KEY=hush\n":            "names its variable; write the value alone",
		"hush\u200b\n":                            "has a character that no credential has; copy",
		"hush\x07":                                "has a character that no credential has; copy",
		"h\xffush":                                "has a character that no credential has; copy",
		"":                                        "is empty; write the credential into it",
		"\r\n":                                    "is empty; write the credential into it",
		strings.Repeat("h", 5000):                 "is too long for one credential",
	} {
		writeFile(t, name, text)
		key, err := readKey("s3.secret_access_key_file", name)
		switch {
		case want == "" && (err != nil || key != "hush"):
			t.Errorf("%q: %q, %v", text, key, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), "s3.secret_access_key_file: its file "+want) || strings.Contains(err.Error(), "hush")):
			t.Errorf("%q: %v", text, err)
		}
	}
}
