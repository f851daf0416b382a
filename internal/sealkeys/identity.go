package sealkeys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/sallyport/sallyport/seal"
)

// Names of identities in the folder.
const (
	identityFile = "identity.pem"
	nextFile     = "identity-next.pem"
)

// Identities reads those in dir: none if they are kept elsewhere, two while
// clients move from one pin to another.
func Identities(dir string) ([]ed25519.PrivateKey, error) {
	if err := checkDir(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var list []ed25519.PrivateKey
	for _, name := range []string{identityFile, nextFile} {
		identity, err := ReadIdentity(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, identity)
	}
	return list, nil
}

// Signers are identities as documents are signed with them.
func Signers(identities []ed25519.PrivateKey) (list []crypto.Signer) {
	for _, identity := range identities {
		list = append(list, identity)
	}
	return list
}

// PinsOf are the pins of identities.
func PinsOf(identities []ed25519.PrivateKey) (list []seal.Pin) {
	for _, identity := range identities {
		list = append(list, Pin(identity))
	}
	return list
}

// ReadIdentity reads an identity from a file that only its owner can read.
func ReadIdentity(path string) (ed25519.PrivateKey, error) {
	raw, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	identity, err := parseIdentity(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return identity, nil
}

func parseIdentity(raw []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != "PRIVATE KEY" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one PEM block PRIVATE KEY")
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("no key in PKCS #8: %w", err)
	}
	identity, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("an identity is an Ed25519 key")
	}
	return identity, nil
}

// CreateIdentity makes an identity in dir. It fails, wrapping fs.ErrExist, if
// there is one.
func CreateIdentity(dir string) (ed25519.PrivateKey, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	return WriteIdentity(filepath.Join(dir, identityFile))
}

// NewIdentity makes an identity that is kept in memory.
func NewIdentity() (ed25519.PrivateKey, error) {
	_, identity, err := ed25519.GenerateKey(rand.Reader)
	return identity, err
}

// WriteIdentity makes an identity in a file of its own. It fails, wrapping
// fs.ErrExist, if the file exists: an identity that is lost takes its pin along.
func WriteIdentity(path string) (ed25519.PrivateKey, error) {
	identity, err := NewIdentity()
	if err != nil {
		return nil, fmt.Errorf("make an identity: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(identity)
	if err != nil {
		return nil, fmt.Errorf("make an identity: %w", err)
	}
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(text)
	return identity, writePrivate(filepath.Dir(path), filepath.Base(path), text, false)
}
