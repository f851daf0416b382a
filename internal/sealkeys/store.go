package sealkeys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sallyport/sallyport/internal/strictjson"
	"github.com/sallyport/sallyport/seal"
)

// Names in the folder.
const (
	identityFile = "identity.pem"
	ringFile     = "ring.json"
	maxFile      = 512 << 10
)

// stored is ring.json.
type stored struct {
	Version     int               `json:"version"` // 1
	Generation  uint32            `json:"generation"`
	Issued      int64             `json:"issued"` // Unix seconds
	Authorities []string          `json:"authorities"`
	Suites      []seal.Suite      `json:"suites"`
	Keys        []storedKey       `json:"keys"`
	Documents   map[string][]byte `json:"documents"`
}

type storedKey struct {
	Suite   seal.Suite `json:"suite"`
	Private []byte     `json:"private"`
	From    int64      `json:"not_before"`
	Until   int64      `json:"not_after"`
}

// Load reads the set in dir. The error wraps fs.ErrNotExist if there is none.
func Load(dir string) (*Set, error) {
	raw, err := readPrivate(filepath.Join(dir, ringFile))
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	s, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, ringFile), err)
	}
	return s, nil
}

// parse reads ring.json strictly: no unknown or doubled names, nothing behind.
func parse(raw []byte) (*Set, error) {
	if err := strictjson.Check(raw); err != nil {
		return nil, err
	}
	var in stored
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, err
	}
	if in.Version != 1 {
		return nil, fmt.Errorf("version %d is unknown", in.Version)
	}
	s, err := New(in.Authorities, in.Suites)
	if err != nil {
		return nil, err
	}
	if len(in.Keys) > seal.MaxKeys || len(in.Documents) > len(s.Authorities) {
		return nil, errors.New("more keys or documents than there can be")
	}
	s.Generation, s.Issued, s.Documents = in.Generation, time.Unix(in.Issued, 0), in.Documents
	for _, k := range in.Keys {
		key, err := seal.ParseKey(k.Suite, k.Private, time.Unix(k.From, 0), time.Unix(k.Until, 0))
		clear(k.Private)
		if err != nil {
			return nil, err
		}
		s.Keys = append(s.Keys, key)
	}
	return s, nil
}

// Save writes s to dir, which is made if it does not exist. The file changes as
// a whole or not at all.
func Save(dir string, s *Set) error {
	out := stored{
		Version: 1, Generation: s.Generation, Issued: s.Issued.Unix(), Authorities: s.Authorities, Suites: s.Suites, Documents: s.Documents,
	}
	for _, k := range s.Keys {
		private, err := k.Private()
		if err != nil {
			return fmt.Errorf("seal keys: %w", err)
		}
		defer clear(private)
		e := k.Entry()
		out.Keys = append(out.Keys, storedKey{e.Suite, private, e.NotBefore.Unix(), e.NotAfter.Unix()})
	}
	raw, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return fmt.Errorf("seal keys: %w", err)
	}
	defer clear(raw)
	return writePrivate(dir, ringFile, append(raw, '\n'))
}

// LoadIdentity reads the identity in dir. The error wraps fs.ErrNotExist if it is
// kept elsewhere.
func LoadIdentity(dir string) (ed25519.PrivateKey, error) {
	return ReadIdentity(filepath.Join(dir, identityFile))
}

// ReadIdentity reads an identity from a file that only its owner can read.
func ReadIdentity(path string) (ed25519.PrivateKey, error) {
	raw, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s: not one PEM block PRIVATE KEY", path)
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	identity, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: an identity is an Ed25519 key", path)
	}
	return identity, nil
}

// CreateIdentity makes an identity in dir. It fails if there is one.
func CreateIdentity(dir string) (ed25519.PrivateKey, error) {
	return WriteIdentity(filepath.Join(dir, identityFile))
}

// WriteIdentity makes an identity in a file of its own. It fails, wrapping
// fs.ErrExist, if the file exists: an identity that is lost takes its pin along.
func WriteIdentity(path string) (ed25519.PrivateKey, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	_, identity, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("seal keys: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(identity)
	if err != nil {
		return nil, fmt.Errorf("seal keys: %w", err)
	}
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(text)
	return identity, writePrivate(filepath.Dir(path), filepath.Base(path), text)
}

// readPrivate reads a regular file that nobody else can read.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: open to other users (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: %d bytes; at most %d", path, info.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// writePrivate replaces a file as a whole, and waits for the disk.
func writePrivate(dir, name string, data []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
