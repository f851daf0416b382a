package sealkeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/strictjson"
	"github.com/sallyport/sallyport/seal"
)

const ringFile = "ring.json"

// stored is ring.json.
type stored struct {
	Version     int               `json:"version"` // 1
	Generation  uint32            `json:"generation"`
	Issued      int64             `json:"issued"` // Unix seconds, as all times here
	Pins        []string          `json:"pins"`
	Authorities []string          `json:"authorities"`
	Suites      []string          `json:"suites"`
	Keys        []storedKey       `json:"keys"`
	Adopted     int64             `json:"adopted,omitempty"`
	Documents   map[string][]byte `json:"documents,omitempty"`
}

type storedKey struct {
	Suite   string `json:"suite"`
	Private []byte `json:"private"`
	From    int64  `json:"not_before"`
	Until   int64  `json:"not_after"`
}

// ErrNone says that a folder has no sealing keys.
var ErrNone = errors.New("there are no sealing keys")

// Load reads the set in dir. The error wraps [ErrNone] if there is none.
func Load(dir string) (*Set, error) {
	if err := checkDir(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNone)
	} else if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, ringFile)
	raw, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNone)
	}
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	s, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: damaged: %w", path, err)
	}
	return s, nil
}

// strict reads one JSON value: no unknown or doubled names, nothing behind.
func strict(raw []byte, v any) error {
	if err := strictjson.Check(raw); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// parse reads ring.json. It accepts no set that Save would not have written.
func parse(raw []byte) (*Set, error) {
	var in stored
	defer func() {
		for _, k := range in.Keys {
			clear(k.Private)
		}
	}()
	if err := strict(raw, &in); err != nil {
		return nil, err
	}
	if in.Version != 1 {
		return nil, fmt.Errorf("version %d is unknown", in.Version)
	}
	if len(in.Keys) > seal.MaxKeys || len(in.Documents) > MaxAuthorities {
		return nil, errors.New("more keys or documents than there can be")
	}
	s := &Set{Generation: in.Generation, Issued: time.Unix(in.Issued, 0), Authorities: in.Authorities, adopted: time.Unix(in.Adopted, 0)}
	for _, text := range in.Pins {
		p, err := seal.ParsePin(text)
		if err != nil {
			return nil, err
		}
		s.Pins = append(s.Pins, p)
	}
	for _, name := range in.Suites {
		suite, err := ParseSuite(name)
		if err != nil {
			return nil, err
		}
		s.Suites = append(s.Suites, suite)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	for _, k := range in.Keys {
		suite, err := ParseSuite(k.Suite)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(s.Suites, suite) {
			return nil, fmt.Errorf("a key of %v, which is not among the suites", suite)
		}
		key, err := seal.ParseKey(suite, k.Private, time.Unix(k.From, 0), time.Unix(k.Until, 0))
		if err != nil {
			return nil, err
		}
		s.Keys = append(s.Keys, key)
	}
	if _, err := s.Ring(); err != nil {
		return nil, err
	}
	return s, s.verify(in.Documents)
}

// verify reads documents that were adopted earlier, perhaps of an older
// generation. They were in their time then.
func (s *Set) verify(raws map[string][]byte) error {
	s.Documents, s.signed = raws, map[string]seal.Document{}
	for a, raw := range raws {
		d, err := seal.Verify(raw, seal.Policy{Pins: s.Pins, Authority: a, Now: s.adopted})
		if err != nil {
			return err
		}
		if d.Generation > s.Generation {
			return errors.New("a document of a generation to come")
		}
		s.signed[a] = d
	}
	return nil
}

// Save writes s to dir, which is made if it does not exist. The file changes as
// a whole or not at all. The caller holds the folder's lock.
func Save(dir string, s *Set) error {
	out := stored{
		Version: 1, Generation: s.Generation, Issued: s.Issued.Unix(), Authorities: s.Authorities, Documents: s.Documents,
		Keys: []storedKey{},
	}
	if len(s.Documents) > 0 {
		out.Adopted = s.adopted.Unix()
	}
	for _, p := range s.Pins {
		out.Pins = append(out.Pins, p.String())
	}
	for _, suite := range s.Suites {
		out.Suites = append(out.Suites, suite.String())
	}
	defer func() {
		for _, k := range out.Keys {
			clear(k.Private)
		}
	}()
	for _, k := range s.Keys {
		private, err := k.Private()
		if err != nil {
			return fmt.Errorf("save sealing keys: %w", err)
		}
		e := k.Entry()
		out.Keys = append(out.Keys, storedKey{e.Suite.String(), private, e.NotBefore.Unix(), e.NotAfter.Unix()})
	}
	raw, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return fmt.Errorf("save sealing keys: %w", err)
	}
	defer clear(raw)
	return writePrivate(dir, ringFile, raw, true)
}

// Stamp changes whenever the set in a folder does.
type Stamp struct {
	changed time.Time
	size    int64
	info    fs.FileInfo
}

// StampOf returns the stamp of the set in dir; the zero one if there is none.
func StampOf(dir string) Stamp {
	info, err := os.Lstat(filepath.Join(dir, ringFile))
	if err != nil {
		return Stamp{}
	}
	return Stamp{info.ModTime(), info.Size(), info}
}

// Equal reports whether nothing has changed between two stamps. Every Save makes
// another file, so that the resolution of its time does not matter.
func (s Stamp) Equal(t Stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return s.changed.Equal(t.changed) && s.size == t.size && os.SameFile(s.info, t.info)
}
