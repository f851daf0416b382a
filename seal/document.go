package seal

import (
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of a key document.
const (
	MaxDocument     = 16 << 10            // bytes, signatures included
	MaxKeys         = 8                   // sealing keys
	MaxSignatures   = 4                   // identities that sign the same document
	MaxDocumentLife = 31 * 24 * time.Hour // from Issued to Expires
	MaxKeyLife      = 40 * 24 * time.Hour // from NotBefore to NotAfter: 30 days and an overlap
	maxPublic       = 4096                // bytes of a public key, of suites unknown here too
)

const documentMagic = "SPK\x01"

// Entry is a sealing key as a document lists it.
type Entry struct {
	Suite               Suite
	NotBefore, NotAfter time.Time // whole seconds
	Public              []byte
}

// ID is the key's name on the wire.
func (e Entry) ID() KeyID { return keyIDOf(e.Suite, e.Public) }

func (e Entry) check() error {
	life := e.NotAfter.Sub(e.NotBefore)
	if e.NotBefore.Unix() < 0 || life <= 0 || life > MaxKeyLife {
		return fmt.Errorf("a key of %v; it lives more than 0 and at most %v", life, MaxKeyLife)
	}
	if len(e.Public) == 0 || len(e.Public) > maxPublic {
		return fmt.Errorf("a public key of %d bytes", len(e.Public))
	}
	if _, _, known := suiteOf(e.Suite); known {
		if _, err := publicKey(e.Suite, e.Public); err != nil {
			return fmt.Errorf("public key: %w", err)
		}
	}
	return nil
}

// Document is the list of all sealing keys of one authority, which its
// identities sign as a whole: whoever carries it can neither leave out a key nor
// keep one that was withdrawn in a newer generation. It is served at
// /.well-known/sallyport-seal.
type Document struct {
	Authority  string // "app.example.com:443": lower case, always with the port
	Generation uint32 // grows with every change of the keys; clients never go back
	Issued     time.Time
	Expires    time.Time // at most MaxDocumentLife after Issued
	Keys       []Entry   // 1 to MaxKeys, each once
}

func (d Document) check() error {
	if err := checkAuthority(d.Authority); err != nil {
		return err
	}
	if life := d.Expires.Sub(d.Issued); d.Issued.Unix() < 0 || life <= 0 || life > MaxDocumentLife {
		return fmt.Errorf("a document of %v; it lives more than 0 and at most %v", life, MaxDocumentLife)
	}
	if len(d.Keys) == 0 || len(d.Keys) > MaxKeys {
		return fmt.Errorf("%d keys; a document has 1 to %d", len(d.Keys), MaxKeys)
	}
	seen := map[KeyID]bool{}
	for _, e := range d.Keys {
		if err := e.check(); err != nil {
			return err
		}
		if seen[e.ID()] {
			return errors.New("a key twice")
		}
		seen[e.ID()] = true
	}
	return nil
}

// Body returns the bytes that are signed, behind their label. Fractions of
// seconds are dropped. It fails if d is not a document that a client would take.
func (d Document) Body() ([]byte, error) {
	d.Issued, d.Expires = d.Issued.Truncate(time.Second), d.Expires.Truncate(time.Second)
	if err := d.check(); err != nil {
		return nil, faultBy(FaultDocument, err)
	}
	b := []byte(documentMagic)
	b = binary.BigEndian.AppendUint32(b, d.Generation)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Issued.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Expires.Unix()))
	b = appendLP(b, d.Authority)
	b = append(b, byte(len(d.Keys)))
	for _, e := range d.Keys {
		b = binary.BigEndian.AppendUint16(b, uint16(e.Suite))
		b = binary.BigEndian.AppendUint64(b, uint64(e.NotBefore.Unix()))
		b = binary.BigEndian.AppendUint64(b, uint64(e.NotAfter.Unix()))
		b = appendLP(b, e.Public)
	}
	return b, nil
}

// Sign returns the document with a signature of each identity, 1 to
// [MaxSignatures]. While clients move from one pin to another, both sign. A
// signer may keep its key in hardware or on a machine that is not online; its
// public key must be Ed25519.
func (d Document) Sign(identities ...crypto.Signer) ([]byte, error) {
	out, err := d.Body()
	if err != nil {
		return nil, err
	}
	if len(identities) == 0 || len(identities) > MaxSignatures {
		return nil, fault(FaultMisuse, fmt.Sprintf("a document has 1 to %d signatures", MaxSignatures))
	}
	signed := labelled(labelKeys, out)
	out = append(out, byte(len(identities)))
	for _, id := range identities {
		pub, ok := id.Public().(ed25519.PublicKey)
		if !ok {
			return nil, fault(FaultMisuse, "an identity is an Ed25519 key")
		}
		sig, err := id.Sign(nil, signed, crypto.Hash(0))
		if err != nil {
			return nil, faultBy(FaultMisuse, fmt.Errorf("sign: %w", err))
		}
		out = append(append(out, pub...), sig...)
	}
	if len(out) > MaxDocument {
		return nil, fault(FaultDocument, "larger than a document may be")
	}
	return out, nil
}

// signature is one identity's over a body; not verified yet.
type signature struct{ identity, sig []byte }

// parseDocument reads a document strictly: one form for one content. Nothing in
// it is to be believed before a signature was verified.
func parseDocument(b []byte) (d Document, body []byte, sigs []signature, err error) {
	if len(b) > MaxDocument {
		return d, nil, nil, errors.New("larger than a document may be")
	}
	r := &reader{b: b}
	if string(r.take(len(documentMagic))) != documentMagic {
		return d, nil, nil, errors.New("no key document of version 1")
	}
	d.Generation = r.u32()
	d.Issued, d.Expires = r.time(), r.time()
	d.Authority = string(r.lp())
	for n := int(r.u8()); n > 0 && !r.bad && len(d.Keys) <= MaxKeys; n-- {
		d.Keys = append(d.Keys, Entry{Suite: Suite(r.u16()), NotBefore: r.time(), NotAfter: r.time(), Public: slices.Clone(r.lp())})
	}
	if r.bad {
		return d, nil, nil, errors.New("cut short")
	}
	body = b[:len(b)-len(r.b)]
	n := int(r.u8())
	for range min(n, MaxSignatures) {
		sigs = append(sigs, signature{r.take(ed25519.PublicKeySize), r.take(ed25519.SignatureSize)})
	}
	if err := r.end(); err != nil {
		return d, nil, nil, err
	}
	if n == 0 || n > MaxSignatures {
		return d, nil, nil, fmt.Errorf("%d signatures; a document has 1 to %d", n, MaxSignatures)
	}
	return d, body, sigs, d.check()
}

// maxTime keeps seconds within what every implementation's numbers hold exactly
// (2^53), with room to add.
const maxTime = 1 << 40

func (r *reader) time() time.Time {
	s := r.u64()
	if s > maxTime {
		r.bad = true
	}
	return time.Unix(int64(min(s, maxTime)), 0).UTC()
}

// checkAuthority wants "host:port" as a URL parser writes it: lower case ASCII,
// an IPv6 address in brackets, a port without leading zeros.
func checkAuthority(a string) error {
	host, port, ok := cutLast(a, ":")
	switch {
	case len(a) > 255 || !ok || host == "" || port == "":
		return fmt.Errorf("authority %.80q: want host:port, at most 255 bytes", a)
	case strings.Trim(port, "0123456789") != "" || port[0] == '0' || len(port) > 5 || len(port) == 5 && port > "65535":
		return fmt.Errorf("authority %.80q: no port", a)
	case strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]"):
		return fmt.Errorf("authority %.80q: half a bracket", a)
	}
	allowed := "abcdefghijklmnopqrstuvwxyz0123456789-._"
	if host[0] == '[' {
		host, allowed = host[1:len(host)-1], "abcdef0123456789:."
	}
	if host == "" || strings.Trim(host, allowed) != "" {
		return fmt.Errorf("authority %.80q: not a host name in lower case", a)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
