package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"

	"github.com/spoolship/spoolship/agent/sink"
)

// unanswered classifies an attempt without a complete answer. It is in doubt as
// soon as the head of the request was written: the rest may have followed it.
func (p place) unanswered(a *attempt) *sink.Error {
	e := &sink.Error{InDoubt: a.begun.Load(), Err: innermost(a.err)}
	if a.cancelled != nil {
		e.Code, e.Err = codeCancelled, a.cancelled
		return e
	}
	p.explain(e, a.err)
	return e
}

// explain fills in code, class and hint of a failure to send or to be answered.
func (p place) explain(e *sink.Error, err error) {
	var hint string
	e.Code, e.Class, hint = diagnose(err)
	if host := unknownHost(err); !p.pathStyle && strings.HasPrefix(host, p.bucket+".") {
		switch {
		case strings.HasPrefix(host, p.bucket+"."+p.bucket+"."):
			hint = hintTwice
		case !p.aws():
			hint = hintPathStyle
		}
	}
	e.Hint = p.hint(hint)
}

// unknownHost is the host whose name is not known, or not in its certificate.
func unknownHost(err error) string {
	var dns *net.DNSError
	var host x509.HostnameError
	switch {
	case errors.As(err, &dns):
		return dns.Name
	case errors.As(err, &host):
		return host.Host
	}
	return ""
}

// innermost leaves out what the SDK and net/http put around an error: the name
// of the call and the URL, which the text of every error here names already.
func innermost(err error) error {
	var creds *credentialsError
	var send *url.Error
	var call *smithy.OperationError
	switch {
	case errors.As(err, &creds):
		return creds
	case errors.As(err, &send):
		return send.Err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("not done in time: %w", context.DeadlineExceeded)
	case errors.As(err, &call):
		return call.Err
	}
	return err
}

// diagnose names a failure to send or to be answered. Failures that only an
// operator can end are Config; an unknown name or a refused connection may be
// an outage, so they are not.
func diagnose(err error) (code string, class sink.Class, hint string) {
	if code, hint := diagnoseConfig(err); code != "" {
		return code, sink.Config, hint
	}
	var dns *net.DNSError
	var alert tls.AlertError
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, errTooLong), errors.Is(err, errRedirected):
		return codeNotS3, sink.Temporary, hintNotS3
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return codeProxy, sink.Temporary, hintProxy
	case errors.As(err, &dns):
		return codeDNS, sink.Temporary, hintDNS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return codeTimeout, sink.Temporary, hintSlow
	case errors.Is(err, syscall.ECONNREFUSED):
		return codeRefused, sink.Temporary, hintDial
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return codeUnreachable, sink.Temporary, hintDial
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return codeReset, sink.Temporary, ""
	case errors.As(err, &alert):
		return codeTLS, sink.Temporary, ""
	case errors.As(err, &timeout) && timeout.Timeout():
		return codeTimeout, sink.Temporary, hintSlow
	case neverSent(err):
		return codeInvalid, sink.Config, hintRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return codeClosed, sink.Temporary, hintClosed
	}
	return codeNetwork, sink.Temporary, hintNotS3
}

// neverSent says whether the SDK found the request itself wrong: the errors of
// sending and of reading the answer have types.
func neverSent(err error) bool {
	var send *url.Error
	var read *answerError
	return !errors.As(err, &send) && !errors.As(err, &read)
}

// diagnoseConfig names the failures that do not pass by themselves.
func diagnoseConfig(err error) (code, hint string) {
	var creds *credentialsError
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var proxy *proxyError
	switch {
	case errors.As(err, &proxy) && proxy.status == http.StatusProxyAuthRequired:
		return codeProxy, statusRules[proxy.status].hint
	case errors.As(err, &proxy):
		return codeProxy, hintTunnel
	case errors.As(err, &creds) && fromSTS(creds):
		return codeCredentials, hintRole
	case errors.As(err, &creds):
		return codeCredentials, hintCreds
	case errors.As(err, &cert), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return codeCertificate, hintCert
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return codeNoTLS, hintNoTLS
	}
	return "", ""
}

// fromSTS says whether it was a role that could not be taken on.
func fromSTS(err error) bool {
	var call *smithy.OperationError
	return errors.As(err, &call) && call.Service() == "STS"
}
