package config

import (
	"crypto/tls"
	"fmt"
	"strings"
)

func (l *loader) validateTLS() {
	t := &l.out.TLS
	if !l.fine("tls.dev") || !l.fine("tls.files") || !l.fine("tls.terminated_by") {
		return
	}
	var given []string
	if t.Dev {
		given = append(given, "dev")
	}
	if l.nodes["tls.files"] != nil {
		given = append(given, "files")
	}
	if l.nodes["tls.terminated_by"] != nil {
		given = append(given, "terminated_by")
	}
	switch {
	case len(given) == 0 && l.line:
		l.fail("tls", "there is no certificate, and plaintext is refused. Give\n  --cert chain.pem --key key.pem, or\n  --dev on this machine, for development")
	case len(given) == 0:
		l.fail("tls", "nothing says how connections are encrypted, and plaintext is refused. Write one of\n  tls: {files: [{cert: chain.pem, key: key.pem}]}\n  tls: {terminated_by: [unix, 10.0.0.0/8]}   # a proxy in front ends TLS\n  tls: {dev: true}                           # on this machine, for development")
	case len(given) > 1:
		l.fail("tls."+given[len(given)-1], "exactly one of dev, files and terminated_by may be set, not %s", strings.Join(given, " and "))
	case given[0] == "files":
		l.validateFiles()
	case given[0] == "terminated_by":
		if t.TerminatedBy.Empty() {
			l.fail("tls.terminated_by", "the list is empty: name the proxies that end TLS")
		}
		if l.fine("hosts") && len(l.out.Hosts) == 0 {
			l.fail("hosts", "\"hosts\" is required with tls.terminated_by, since there is no certificate to take the names from: hosts: [app.example.com]")
		}
	}
	if t.Dev && l.fine("listen") && badAddress(l.out.Listen, true) == "" && !loopback(l.out.Listen) {
		l.fail("listen", "with tls.dev the door listens on loopback only: 127.0.0.1:8443, or leave the key out")
	}
	l.checkHosts()
}

// validateFiles opens every certificate and key as the listener will.
func (l *loader) validateFiles() {
	if len(l.out.TLS.Files) == 0 {
		l.fail("tls.files", "the list is empty: name a certificate and its key")
	}
	for i, pair := range l.out.TLS.Files {
		key := fmt.Sprintf("tls.files[%d]", i)
		if !l.fine(key) {
			continue
		}
		if pair.Cert == "" || pair.Key == "" {
			l.fail(key, "a certificate needs both cert and key")
			continue
		}
		cert, certErr := readReferenced(pair.Cert, false)
		if certErr != nil {
			l.fail(key+".cert", "%v", certErr)
		}
		private, keyErr := readReferenced(pair.Key, true)
		if keyErr != nil {
			l.fail(key+".key", "%v", keyErr)
		}
		if certErr != nil || keyErr != nil {
			continue
		}
		if _, err := tls.X509KeyPair(cert, private); err != nil {
			l.fail(key+".cert", "certificate and key are not usable: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
}
