package sealkeys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	lockFile = "lock"
	maxFile  = 512 << 10 // bytes; 16 documents of 16 KiB in base64 fit
	lockWait = 10 * time.Second
)

var (
	// ErrExposed says that other users may read or write the folder or a file.
	ErrExposed = errors.New("open to other users")

	// ErrLocked says that somebody else was changing the keys for 10 s.
	ErrLocked = errors.New("somebody else is changing the sealing keys")
)

// Locked makes the folder if there is none, and calls change while nobody else
// changes its keys. It waits 10 s for that. Save and CreateIdentity are called
// inside of it.
func Locked(dir string, change func() error) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, lockFile)
	for end := time.Now().Add(lockWait); ; time.Sleep(50 * time.Millisecond) {
		unlock, err := lock(path)
		if err == nil {
			sweep(dir)
			return errors.Join(change(), unlock())
		}
		if !errors.Is(err, ErrLocked) {
			return fmt.Errorf("%s: %w", path, err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// sweep removes what a crash left half-written: private keys that nothing else
// would ever remove. The caller holds the lock, so that nobody is writing.
func sweep(dir string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), "."+ringFile+"-") || strings.HasPrefix(e.Name(), "."+identityFile+"-") {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// makeDir makes a folder that nobody else can read.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return checkDir(dir)
}

func checkDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a directory", dir)
	}
	return private(dir, info, "700")
}

func private(path string, info fs.FileInfo, mode string) error {
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // there are no such modes
		return fmt.Errorf("%s: %w (mode %04o): chmod %s %s", path, ErrExposed, info.Mode().Perm(), mode, path)
	}
	return nil
}

// readPrivate reads a regular file that nobody else can read. The caller erases
// what it returns.
func readPrivate(path string) ([]byte, error) {
	named, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() { // before it is opened: a pipe would block
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(named, info) {
		return nil, fmt.Errorf("%s: changed while it was opened", path)
	}
	if err := private(path, info, "600"); err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes; at most %d", path, info.Size(), maxFile)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// writePrivate writes a file, which appears as a whole, and waits for the disk.
// Without replace it fails, wrapping fs.ErrExist, if the name is taken.
func writePrivate(dir, name string, data []byte, replace bool) error {
	path := filepath.Join(dir, name)
	f, err := os.CreateTemp(dir, "."+name+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails if it was renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if err != nil || runtime.GOOS == "windows" { // which cannot sync a directory
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
