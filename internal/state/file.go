package state

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/guard"
)

const (
	fileName    = "state.db"
	lockTimeout = time.Second
)

// version is the version of the rows. A program opens its own version only.
const version = "1"

// prepare returns the path of the state file in dir; it exists and is private.
func prepare(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no directory is named")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if err := private(dir, info, "700"); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fileName)
	info, err = os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(dir, path); err != nil {
			return "", fmt.Errorf("create %s: %w", path, err)
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() == 0 {
		return "", fmt.Errorf("%s: %w: it is empty", path, ErrCorrupt) // bbolt would begin anew
	}
	return path, private(path, info, "600")
}

func private(path string, info fs.FileInfo, mode string) error {
	if runtime.GOOS == "windows" { // no such modes
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w (mode %04o): chmod %s %s", path, ErrExposed, info.Mode().Perm(), mode, path)
	}
	return nil
}

// create makes an empty state. It appears under its name when it is complete
// and on disk, and only if the name is free, so that a crash leaves no half a
// file and two processes that start at once agree on one.
func create(dir, path string) (err error) {
	temp, err := os.CreateTemp(dir, fileName+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	if err := temp.Close(); err != nil {
		return err
	}
	b, err := bbolt.Open(temp.Name(), 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = b.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return put(tx, metaBucket, []byte("version"), []byte(version))
	})
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if runtime.GOOS == "windows" { // cannot sync a directory
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// open locks the file and verifies all of it. bbolt maps the file and trusts
// it: damage shows as a panic or a memory fault, which become ErrCorrupt here.
func open(path string) (d *DB, err error) {
	var file *os.File
	var b *bbolt.DB
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
		if err == nil {
			return
		}
		d = nil
		if b != nil {
			_ = b.Close() // the first error tells more
		} else if file != nil {
			_ = file.Close() // lets go of the lock if bbolt panicked
		}
	}()
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			f, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
			file = f
			return f, err
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrInUse
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return nil, err
	}
	d = &DB{bolt: b, path: path, limits: defaultLimits}
	if err := checkHeads(file, int64(b.Info().PageSize)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return d, b.View(func(tx *bbolt.Tx) error {
		if err := verify(tx, &d.have); err != nil {
			return err
		}
		// Last, since it reads in a goroutine of its own, where a fault would end
		// the process; the pages have been read above.
		var damage error
		for err := range tx.Check() {
			damage = errors.Join(damage, err)
		}
		if damage != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, damage)
		}
		return nil
	})
}

// The head ("meta page") of a bbolt file: a page header of 16 bytes, then magic,
// version, page size, flags (4 bytes each), root and its sequence, free list,
// number of pages, transaction and checksum (8 bytes each).
const (
	headStart = 16
	headPages = headStart + 40
	headTx    = headStart + 48
	headSum   = headStart + 56
	headSize  = headStart + 64
)

// checkHeads reads both heads. bbolt is content with one good head and goes
// back to the older one, which would undo the last change in silence. It also
// does not notice that the end of the file is missing.
func checkHeads(f *os.File, pageSize int64) error {
	var pages, newest uint64
	for i := range int64(2) {
		var head [headSize]byte
		if _, err := f.ReadAt(head[:], i*pageSize); err != nil {
			return fmt.Errorf("read head %d: %w", i, err)
		}
		sum := fnv.New64a()
		_, _ = sum.Write(head[headStart:headSum])
		if sum.Sum64() != binary.NativeEndian.Uint64(head[headSum:]) {
			return fmt.Errorf("head %d: wrong checksum", i)
		}
		if tx := binary.NativeEndian.Uint64(head[headTx:]); tx >= newest {
			newest, pages = tx, binary.NativeEndian.Uint64(head[headPages:])
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if have := uint64(info.Size()) / uint64(pageSize); have < pages {
		return fmt.Errorf("%d of %d pages are missing", pages-have, pages)
	}
	return nil
}

// verify reads every row and counts.
func verify(tx *bbolt.Tx, have *counts) error {
	v, err := get(tx, metaBucket, []byte("version"))
	if err != nil {
		return err
	}
	if string(v) != version {
		return fmt.Errorf("%w (%q, this program knows %q)", ErrVersion, v, version)
	}
	rows := map[string]int{}
	for _, name := range buckets {
		err := each(tx, name, func(key, value []byte) error {
			rows[name]++
			switch name {
			case revocationsBucket:
				return json.Unmarshal(value, new(guard.Revocation))
			case sessionsBucket:
				return verifySession(tx, key, value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if n := rows[sessionsBucket]; rows[idsBucket] != n || rows[endsBucket] != n {
		return fmt.Errorf("%w: the indices of sessions differ", ErrCorrupt)
	}
	*have = counts{revocations: rows[revocationsBucket], sessions: rows[sessionsBucket]}
	return nil
}

// verifySession demands that a session is found by its id and by its end.
func verifySession(tx *bbolt.Tx, key, value []byte) error {
	var r session.Record
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	if len(key) != 32 {
		return errors.New("a key of another length")
	}
	byID, err := get(tx, idsBucket, []byte(r.ID))
	if err != nil {
		return err
	}
	byEnd, err := get(tx, endsBucket, endKey(r.Expires, [32]byte(key)))
	if err != nil {
		return err
	}
	if string(byID) != string(key) || byEnd == nil {
		return errors.New("an index does not know it")
	}
	return nil
}
