package sealkeys

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/seal"
)

// folder is one with an identity and a set of its.
func folder(t testing.TB) (dir string, s *Set) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state", "seal")
	identity, err := CreateIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	s = newSet(t, identity)
	if err := Locked(dir, func() error { return Save(dir, s) }); err != nil {
		t.Fatal(err)
	}
	return dir, s
}

func TestSaveAndLoad(t *testing.T) {
	dir, s := folder(t)
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Generation != s.Generation || !got.Issued.Equal(s.Issued) || len(got.Keys) != 1 || got.Keys[0].ID() != s.Keys[0].ID() ||
		string(got.Documents[app]) != string(s.Documents[app]) || !got.Signed() || !got.End(app).Equal(s.End(app)) || got.Pins[0] != s.Pins[0] {
		t.Errorf("got %+v, want %+v", got, s)
	}
	identities, err := Identities(dir)
	if err != nil || len(identities) != 1 || Pin(identities[0]) != s.Pins[0] {
		t.Errorf("identities: %v, %v", identities, err)
	}
	for name, mode := range map[string]fs.FileMode{"": 0o700, ringFile: 0o600, identityFile: 0o600, lockFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	list, _ := os.ReadDir(dir)
	if len(list) != 3 {
		t.Errorf("left behind: %v", list)
	}
}

// TestLoadsDocumentsOfAnOlderGeneration: between a rotation and its signature,
// also after the old document is over.
func TestLoadsDocumentsOfAnOlderGeneration(t *testing.T) {
	dir, s := folder(t)
	if err := s.Rotate(began.Add(25*day), true); err != nil {
		t.Fatal(err)
	}
	if err := Save(dir, s); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil || got.Signed() || len(got.Documents) != 2 || !got.End(app).Equal(began.Add(KeyLife)) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestStampChangesWithEverySave(t *testing.T) {
	dir, s := folder(t)
	one := StampOf(dir)
	if !one.Equal(StampOf(dir)) || one.Equal(Stamp{}) || one.Equal(StampOf(filepath.Join(dir, "none"))) {
		t.Error("a stamp is not what it should be")
	}
	if err := Save(dir, s); err != nil {
		t.Fatal(err)
	}
	if one.Equal(StampOf(dir)) {
		t.Error("the stamp is the same after another file took its place")
	}
}

func TestIdentityIsNeverReplaced(t *testing.T) {
	dir, _ := folder(t)
	before, _ := os.ReadFile(filepath.Join(dir, identityFile))
	if _, err := CreateIdentity(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, identityFile))
	if string(before) != string(after) {
		t.Error("the identity changed")
	}
	next, err := WriteIdentity(filepath.Join(dir, nextFile))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := Identities(dir); err != nil || len(list) != 2 || Pin(list[1]) != Pin(next) {
		t.Errorf("with a next one: %v, %v", list, err)
	}
}

func TestRefusesOthersPermissions(t *testing.T) {
	ring, identity := ringFile, identityFile
	tests := []struct {
		name  string
		spoil func(dir string) error
		want  error
	}{
		{"a folder that the group lists", func(dir string) error { return os.Chmod(dir, 0o750) }, ErrExposed},
		{"a folder that all enter", func(dir string) error { return os.Chmod(dir, 0o701) }, ErrExposed},
		{"keys that the group reads", func(dir string) error { return os.Chmod(filepath.Join(dir, ring), 0o640) }, ErrExposed},
		{"keys that all write", func(dir string) error { return os.Chmod(filepath.Join(dir, ring), 0o602) }, ErrExposed},
		{"no folder", os.RemoveAll, ErrNone},
		{"no keys", func(dir string) error { return os.Remove(filepath.Join(dir, ring)) }, ErrNone},
		{"keys behind a link", func(dir string) error {
			to := filepath.Join(filepath.Dir(dir), "elsewhere")
			return errors.Join(os.Rename(filepath.Join(dir, ring), to), os.Symlink(to, filepath.Join(dir, ring)))
		}, nil},
		{"a folder behind a link", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"-other"), os.Symlink(dir+"-other", dir))
		}, nil},
		{"a folder in the place of keys", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, ring)), os.Mkdir(filepath.Join(dir, ring), 0o700))
		}, nil},
		{"too much", func(dir string) error { return os.Truncate(filepath.Join(dir, ring), maxFile+1) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := folder(t)
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(dir); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("an identity that the group reads", func(t *testing.T) {
		dir, _ := folder(t)
		if err := os.Chmod(filepath.Join(dir, identity), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Identities(dir); !errors.Is(err, ErrExposed) {
			t.Errorf("got %v", err)
		}
	})
}

// TestDamage: what Save did not write is not read.
func TestDamage(t *testing.T) {
	change := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %q in %s", old, s)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	tests := []struct {
		name  string
		spoil func(string) string
		want  string
	}{
		{"empty", func(string) string { return "" }, ""},
		{"cut", func(s string) string { return s[:len(s)/2] }, ""},
		{"more behind it", func(s string) string { return s + "{}" }, ""},
		{"another version", change(`"version": 1`, `"version": 2`), "version 2"},
		{"a name twice", change(`"version": 1,`, `"version": 1, "version": 1,`), ""},
		{"an unknown name", change(`"version": 1,`, `"version": 1, "x": 1,`), "unknown field"},
		{"another suite", change(`"X25519"`, `"P-256"`), "none of"},
		{"a key of the other suite", change(`"suite": "X25519"`, `"suite": "MLKEM768-X25519"`), ""},
		{"a key of no length", change(`"private": "`, `"private": "AAAA`), ""},
		{"a pin of somebody else", change(`"sp1.`, `"sp1.AAAA`), ""},
		{"a document for another name", change(`"`+app+`": "`, `"x.example:443": "`), ""},
		{"a document changed", change(`"`+app+`": "U1BL`, `"`+app+`": "U1BM`), ""},
		{"documents of a generation to come", change(`"generation": 1`, `"generation": 0`), "generation to come"},
		{"no names", change(`"authorities": [`, `"authorities": [], "none": [`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := folder(t)
			path := filepath.Join(dir, ringFile)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tt.spoil(string(raw))), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Load(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestLocked lets many change one set at once: none of the changes is lost.
func TestLocked(t *testing.T) {
	dir, _ := folder(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			err := Locked(dir, func() error {
				s, err := Load(dir)
				if err != nil {
					return err
				}
				return errors.Join(s.Renumber(time.Now()), Save(dir, s))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if s, err := Load(dir); err != nil || s.Generation != 7 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestCrash: what a crash left half-written has private keys in it, and goes with
// the next change.
func TestCrash(t *testing.T) {
	dir, _ := folder(t)
	for _, name := range []string{".ring.json-123", ".identity.pem-123"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Locked(dir, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 3 {
		t.Errorf("left: %v", list)
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
}

func TestLockedReturnsTheErrorAndLetsGo(t *testing.T) {
	dir, _ := folder(t)
	mine := errors.New("mine")
	for range 2 {
		if err := Locked(dir, func() error { return mine }); !errors.Is(err, mine) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzRing(f *testing.F) {
	dir, _ := folder(f)
	raw, err := os.ReadFile(filepath.Join(dir, ringFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parse(raw)
		if err != nil {
			return
		}
		to := filepath.Join(t.TempDir(), "seal")
		if err := makeDir(to); err != nil {
			t.Fatal(err)
		}
		if err := Save(to, s); err != nil {
			t.Fatalf("read, and not to be written: %v", err)
		}
		again, err := Load(to)
		if err != nil || again.Generation != s.Generation || len(again.Keys) != len(s.Keys) || again.Signed() != s.Signed() {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}

func FuzzUnsigned(f *testing.F) {
	identity := newIdentity(f)
	text, err := MarshalUnsigned(newSet(f, identity).Unsigned())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, raw []byte) {
		documents, err := ParseUnsigned(raw)
		if err != nil {
			return
		}
		signed, err := Sign(documents, identity)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range documents {
			if _, err := seal.Verify(signed[d.Authority], seal.Policy{Pins: PinsOf([]ed25519.PrivateKey{identity}), Authority: d.Authority, Now: d.Issued}); err != nil {
				t.Fatalf("signed, and no client takes it: %v", err)
			}
		}
	})
}

func FuzzIdentity(f *testing.F) {
	dir, _ := folder(f)
	raw, _ := os.ReadFile(filepath.Join(dir, identityFile))
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if identity, err := parseIdentity(raw); err == nil && len(identity) != 64 {
			t.Fatalf("%d bytes", len(identity))
		}
	})
}
