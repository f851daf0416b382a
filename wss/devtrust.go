package wss

import (
	"crypto/tls"
	"strings"
	"sync"
	"time"
)

// For returns certificates of the authority for names, kept in memory and
// replaced when a third of their life is left. names as for [DevCA.Leaf].
func (ca *DevCA) For(names ...string) (Certificates, error) {
	d := &devCertificates{ca: ca, names: names}
	return d, d.renew(time.Now())
}

type devCertificates struct {
	ca    *DevCA
	names []string

	// mu guards what follows, also while a new leaf is signed.
	mu         sync.Mutex
	leaf       *tls.Certificate
	generation uint64
}

func (d *devCertificates) renew(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaf != nil {
		end := d.leaf.Leaf.NotAfter
		// An authority near its end can sign nothing that lasts longer.
		if end.Sub(now) > devLeafLife/3 || d.ca.cert.NotAfter.Sub(end) < time.Hour {
			return nil
		}
	}
	c, err := d.ca.leaf(now, d.names)
	if err != nil {
		return err
	}
	d.leaf, d.generation = &c, d.generation+1
	return nil
}

func (d *devCertificates) Generation() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.generation
}

func (d *devCertificates) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	if d.renew(time.Now()) != nil {
		return nil
	}
	d.mu.Lock()
	leaf := d.leaf
	d.mu.Unlock()
	return pick([]*tls.Certificate{leaf}, hello)
}

// TrustHelp returns the commands by which a person makes the systems of this
// machine trust the authority, and those that undo it.
func (ca *DevCA) TrustHelp() string {
	return strings.NewReplacer("$CERT", quote(ca.path), "$CN", ca.cert.Subject.CommonName, "$PRINT", ca.Fingerprint(),
		"$UNTIL", ca.cert.NotAfter.UTC().Format(time.DateOnly), "$THUMB", ca.thumbprint()).Replace(trustHelp)
}

// quote makes a path one word for a POSIX shell.
func quote(path string) string {
	if strings.IndexFunc(path, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:\\", r))
	}) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

const trustHelp = `The development authority is trusted by nobody until you say so. It can vouch for
localhost, *.localhost, *.test and the loopback addresses only, until $UNTIL.

  certificate  $CERT
  SHA-256      $PRINT

Debian, Ubuntu
  sudo cp $CERT /usr/local/share/ca-certificates/sallyport-dev.crt && sudo update-ca-certificates
  undo: sudo rm /usr/local/share/ca-certificates/sallyport-dev.crt && sudo update-ca-certificates --fresh
Fedora, RHEL
  sudo cp $CERT /etc/pki/ca-trust/source/anchors/sallyport-dev.pem && sudo update-ca-trust
  undo: sudo rm /etc/pki/ca-trust/source/anchors/sallyport-dev.pem && sudo update-ca-trust
Chrome and Chromium on Linux (NSS; certutil is in libnss3-tools or nss-tools)
  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n sallyport-dev -i $CERT
  undo: certutil -d sql:$HOME/.pki/nssdb -D -n sallyport-dev
macOS
  security add-trusted-cert -r trustRoot -p ssl -k ~/Library/Keychains/login.keychain-db $CERT
  undo: security remove-trusted-cert $CERT && security delete-certificate -Z $THUMB ~/Library/Keychains/login.keychain-db
Windows (PowerShell, for the present user)
  Import-Certificate -FilePath $CERT -CertStoreLocation Cert:\CurrentUser\Root
  undo: Remove-Item Cert:\CurrentUser\Root\$THUMB
Firefox (its own store, any system)
  certutil -d sql:<profile folder of about:profiles> -A -t C,, -n sallyport-dev -i $CERT
  or: Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import
  undo: the same with -D -n sallyport-dev, or Authorities, Delete or Distrust
One program
  curl --cacert $CERT https://localhost:8443/
  NODE_EXTRA_CA_CERTS=$CERT node app.js
`
