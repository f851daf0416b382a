package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/guard"
)

const childDir = "SALLYPORT_TEST_STATE_DIR"

// TestMain lets the test program be a second process: it opens the state,
// revokes, says so and waits to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

func child(dir string) {
	d, err := Open(dir)
	if err == nil {
		err = d.Revocations().Add(context.Background(), guard.Revocation{Match: guard.Match{Credential: "stolen"}, At: time.Now()})
	}
	fmt.Println("acknowledged", err)
	_, _ = os.Stdin.Read(make([]byte, 1)) // until killed
}

func TestAnotherProcess(t *testing.T) {
	where := dir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+where)
	in, err := cmd.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "acknowledged <nil>\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	start := time.Now()
	if d, err := Open(where); d != nil || !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("two processes have one state: %v", err)
	}
	if took := time.Since(start); took < lockTimeout/2 || took > 10*lockTimeout {
		t.Errorf("waited %s", took)
	}
	must(t, cmd.Process.Kill()) // SIGKILL: no deferred function, no Close
	_ = cmd.Wait()
	if got := revoked(t, openIn(t, where)); len(got) != 1 || got[0].Credential != "stolen" {
		t.Errorf("an acknowledged revocation was lost: %v", got)
	}
}

// The file at any moment after an acknowledgement is complete: what a process
// that dies leaves behind.
func TestACopyOfTheOpenFileIsComplete(t *testing.T) {
	where := dir(t)
	d := openIn(t, where)
	for i := range 20 {
		want := revoke(t, d, fmt.Sprint(i), time.Now())
		create(t, d, fmt.Sprint(i), time.Hour)
		b, err := os.ReadFile(d.Path())
		must(t, err)
		copied := dir(t)
		must(t, os.Mkdir(copied, 0o700))
		must(t, os.WriteFile(filepath.Join(copied, fileName), b, 0o600))
		c := openIn(t, copied)
		if got := revoked(t, c); len(got) != i+1 || got[i].Match != want.Match || c.have != d.have {
			t.Fatalf("after %d: got %v", i, got)
		}
		must(t, c.Close())
	}
}

func TestWhoMayReadTheState(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	t.Run("a new state is the owner's alone", func(t *testing.T) {
		where := dir(t)
		openIn(t, where)
		for path, want := range map[string]fs.FileMode{where: 0o700, filepath.Join(where, fileName): 0o600} {
			info, err := os.Stat(path)
			must(t, err)
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s: got %04o, want %04o", path, got, want)
			}
		}
		names, err := os.ReadDir(where)
		if err != nil || len(names) != 1 {
			t.Errorf("something is left over: %v, %v", names, err)
		}
	})
	for _, tt := range []struct {
		name      string
		dir, file fs.FileMode
		want      error
	}{
		{"the owner alone", 0o700, 0o600, nil},
		{"a directory that the group lists", 0o750, 0o600, ErrExposed},
		{"a directory that all enter", 0o701, 0o600, ErrExposed},
		{"a file that the group reads", 0o700, 0o640, ErrExposed},
		{"a file that all write", 0o700, 0o602, ErrExposed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			where := dir(t)
			must(t, openIn(t, where).Close())
			must(t, os.Chmod(filepath.Join(where, fileName), tt.file))
			must(t, os.Chmod(where, tt.dir))
			d, err := Open(where)
			if !errors.Is(err, tt.want) || (d != nil) != (tt.want == nil) {
				t.Fatalf("got %v", err)
			}
			if tt.want != nil && !strings.Contains(err.Error(), "chmod ") {
				t.Errorf("%v names no way out", err)
			}
			if d != nil {
				must(t, d.Close())
			}
		})
	}
}

func TestPlacesThatCannotHoldAState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	linked := dir(t)
	must(t, os.Mkdir(linked, 0o700))
	must(t, os.Symlink(file, filepath.Join(linked, fileName)))
	folder := dir(t)
	must(t, os.MkdirAll(filepath.Join(folder, fileName), 0o700))
	for name, where := range map[string]string{"no name": "", "a file": file, "a link for a file": linked, "a directory for a file": folder} {
		if d, err := Open(where); err == nil {
			_ = d.Close()
			t.Errorf("opened %s", name)
		}
	}
}

// filled returns a closed state with some of everything, and its bytes.
func filled(t *testing.T) (where string, file []byte) {
	t.Helper()
	where = dir(t)
	d := openIn(t, where)
	must(t, d.update(t.Context(), func(tx *bbolt.Tx, have *counts) error { // one sync, not 400
		for i := range 200 {
			k, id := key(fmt.Sprint(i)), fmt.Sprint("id", i)
			end := time.Now().Add(time.Hour)
			rec := fmt.Sprintf(`{"id":%q,"sub":"s","created":"2026-01-01T00:00:00Z","expires":%q}`, id, end.Format(time.RFC3339Nano))
			row := fmt.Sprintf(`{"credential":"c%d","at":%q}`, i, time.Now().Format(time.RFC3339Nano))
			have.sessions++
			have.revocations++
			must(t, errors.Join(
				put(tx, sessionsBucket, k[:], []byte(rec)),
				put(tx, idsBucket, []byte(id), k[:]),
				put(tx, endsBucket, endKey(end, k), []byte("1")),
				put(tx, revocationsBucket, append(stamp(time.Now()), stamp(time.Unix(0, int64(i)))...), []byte(row)),
			))
		}
		return nil
	}))
	_, err := d.Secret("token", func() ([]byte, error) { return []byte("a signing key"), nil })
	must(t, err)
	must(t, d.Close())
	file, err = os.ReadFile(filepath.Join(where, fileName))
	must(t, err)
	must(t, openIn(t, where).Close())
	return where, file
}

func TestDamage(t *testing.T) {
	where, good := filled(t)
	path := filepath.Join(where, fileName)
	page := os.Getpagesize()
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"an empty file", func([]byte) []byte { return nil }},
		{"a byte", func([]byte) []byte { return []byte{1} }},
		{"some text", func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 9999)) }},
		{"zeros", func(b []byte) []byte { clear(b); return b }},
		{"the first head", func(b []byte) []byte { b[headTx]++; return b }},
		{"the second head, which bbolt would pass over", func(b []byte) []byte { b[page+headTx]++; return b }},
		{"both heads", func(b []byte) []byte { clear(b[:2*page]); return b }},
		{"half of the file is missing", func(b []byte) []byte { return b[:len(b)/2] }},
		{"all but the heads is missing", func(b []byte) []byte { return b[:2*page] }},
		{"the pages after the heads are zero", func(b []byte) []byte { clear(b[2*page:]); return b }},
		{"the pages after the heads are noise", func(b []byte) []byte {
			r := rand.New(rand.NewPCG(1, 2))
			for i := range b[2*page:] {
				b[2*page+i] = byte(r.Uint32())
			}
			return b
		}},
		{"a letter of a revocation", func(b []byte) []byte { return flip(b, `"credential":"c100"`) }},
		{"a letter of a session", func(b []byte) []byte { return flip(b, `"id":"id100"`) }},
		{"a letter of a key", func(b []byte) []byte { return flip(b, "a signing key") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			damaged := tt.damage(append([]byte(nil), good...))
			must(t, os.WriteFile(path, damaged, 0o600))
			for range 2 { // the first refusal lets go of the lock and repairs nothing
				d, err := Open(where)
				if !errors.Is(err, ErrCorrupt) || d != nil {
					t.Fatalf("got %v, want a refusal", err)
				}
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != string(damaged) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	must(t, os.WriteFile(path, good, 0o600))
	if got := revoked(t, openIn(t, where)); len(got) != 200 {
		t.Errorf("the good file has %d revocations", len(got))
	}
}

// flip changes a bit in every copy of a text.
func flip(b []byte, text string) []byte {
	changed := text[:len(text)-2] + string(text[len(text)-2]^1) + text[len(text)-1:]
	return []byte(strings.ReplaceAll(string(b), text, changed))
}

// Whatever bit changes, opening must not crash, and must not forget a revocation.
func TestDamageAtRandom(t *testing.T) {
	where, good := filled(t)
	path := filepath.Join(where, fileName)
	r := rand.New(rand.NewPCG(7, 11))
	const rounds = 60
	refused := 0
	for range rounds {
		b := append([]byte(nil), good...)
		at, bit := r.IntN(len(b)), byte(1)<<r.IntN(8)
		b[at] ^= bit
		if r.IntN(2) == 0 { // the head of a page: its kind, number of rows and length
			b[at], at = good[at], at/os.Getpagesize()*os.Getpagesize()+8+r.IntN(8)
			b[at] ^= bit
		}
		must(t, os.WriteFile(path, b, 0o600))
		d, err := Open(where)
		if err != nil {
			refused++
			continue
		}
		if got := revoked(t, d); len(got) != 200 || d.have.sessions != 200 {
			t.Errorf("bit %d of byte %d: %d revocations, %+v", bit, at, len(got), d.have)
		}
		must(t, d.Close())
	}
	if refused == 0 {
		t.Error("no damage was seen")
	}
	t.Logf("%d of %d were refused; the rest hit unused bytes", refused, rounds)
}

func TestRowsThatDoNotFit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(tx *bbolt.Tx) error
		want   error
	}{
		{"a newer version", func(tx *bbolt.Tx) error { return put(tx, metaBucket, []byte("version"), []byte("2")) }, ErrVersion},
		{"no version", func(tx *bbolt.Tx) error { return remove(tx, metaBucket, []byte("version")) }, ErrVersion},
		{"fewer revocations than there were", func(tx *bbolt.Tx) error {
			keys, err := before(tx, revocationsBucket, time.Now().Add(time.Hour), 1)
			return errors.Join(err, remove(tx, revocationsBucket, keys[0]))
		}, ErrCorrupt},
		{"no key where there was one", func(tx *bbolt.Tx) error { return remove(tx, secretsBucket, []byte("token")) }, ErrCorrupt},
		{"no revocations", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(revocationsBucket)) }, ErrCorrupt},
		{"no sessions", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(sessionsBucket)) }, ErrCorrupt},
		{"a session that no id leads to", func(tx *bbolt.Tx) error { return remove(tx, idsBucket, []byte("id7")) }, ErrCorrupt},
		{"an id that leads nowhere", func(tx *bbolt.Tx) error { return put(tx, idsBucket, []byte("x"), []byte("y")) }, ErrCorrupt},
		{"a session that has no end", func(tx *bbolt.Tx) error {
			ends, err := before(tx, endsBucket, time.Now().Add(999*time.Hour), 1)
			return errors.Join(err, remove(tx, endsBucket, ends[0]))
		}, ErrCorrupt},
		{"a session with a short key", func(tx *bbolt.Tx) error { return put(tx, sessionsBucket, []byte("k"), []byte(`{"id":"k"}`)) }, ErrCorrupt},
		{"a session that is no JSON", func(tx *bbolt.Tx) error {
			k := key("0")
			return put(tx, sessionsBucket, k[:], []byte("{"))
		}, ErrCorrupt},
		{"a revocation that is no JSON", func(tx *bbolt.Tx) error { return put(tx, revocationsBucket, []byte("12345678"), []byte("?")) }, ErrCorrupt},
		{"a row without a checksum", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(secretsBucket)).Put([]byte("x"), []byte("y"))
		}, ErrCorrupt},
		{"a row of another bucket", func(tx *bbolt.Tx) error {
			row := tx.Bucket([]byte(metaBucket)).Get([]byte("version"))
			return tx.Bucket([]byte(secretsBucket)).Put([]byte("version"), append([]byte(nil), row...))
		}, ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			where, _ := filled(t)
			d := openIn(t, where)
			must(t, d.bolt.Update(tt.change))
			must(t, d.Close())
			if d, err := Open(where); d != nil || !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestTwoFirstStartsAtOnce(t *testing.T) {
	where := dir(t)
	path := filepath.Join(where, fileName)
	must(t, os.Mkdir(where, 0o700))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := createFile(where, path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	names, err := os.ReadDir(where)
	if err != nil || len(names) != 1 {
		t.Errorf("got %v, %v", names, err)
	}
	d := openIn(t, where)
	revoke(t, d, "ada", time.Now())
	must(t, createFile(where, path)) // a late one does not replace it
	if got := revoked(t, d); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// A file with a past, of several levels, free pages and a list of them, must pass.
func TestAnOldFileIsNotDamaged(t *testing.T) {
	where := dir(t)
	r := rand.New(rand.NewPCG(3, 4))
	left := map[string]bool{}
	for round := range 6 {
		d := openIn(t, where)
		d.bolt.NoSync = true // the test is of the pages
		for range 4 {
			must(t, d.update(t.Context(), func(tx *bbolt.Tx, have *counts) error {
				for range 1500 {
					name := fmt.Sprint("secret ", r.IntN(4000))
					if r.IntN(4) < round {
						delete(left, name)
						must(t, remove(tx, secretsBucket, []byte(name)))
						continue
					}
					left[name] = true
					must(t, put(tx, secretsBucket, []byte(name), make([]byte, r.IntN(round*2000+1))))
				}
				have.secrets = len(left)
				return nil
			}))
		}
		must(t, d.Close())
	}
	d := openIn(t, where)
	n := 0
	must(t, d.bolt.View(func(tx *bbolt.Tx) error {
		return each(tx, secretsBucket, func(key, _ []byte) error {
			n++
			if !left[string(key)] {
				t.Errorf("%s came back", key)
			}
			return nil
		})
	}))
	if n != len(left) || n == 0 {
		t.Errorf("got %d rows, want %d", n, len(left))
	}
}
