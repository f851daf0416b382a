package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxReferenced bounds every file that a configuration refers to, in bytes.
const maxReferenced = 64 << 10

// Secret refers to a secret: file:/path or env:NAME. The secret itself is never
// part of a configuration, so printing one prints the reference alone.
type Secret struct {
	ref    string
	lookup func(name string) (string, bool) // of the environment given to Load
}

// IsZero reports whether nothing is referred to.
func (s Secret) IsZero() bool { return s.ref == "" }

// String returns the reference.
func (s Secret) String() string { return s.ref }

// GoString returns the reference.
func (s Secret) GoString() string { return s.ref }

// Read returns the secret as it is now, without one trailing line end. It fails
// if the file is missing, larger than 64 KiB, empty, or readable by others.
func (s Secret) Read() ([]byte, error) {
	if name, ok := strings.CutPrefix(s.ref, "env:"); ok {
		v, ok := s.lookup(name)
		if !ok || v == "" {
			return nil, fmt.Errorf("the environment has no %s", name)
		}
		return []byte(v), nil
	}
	path, ok := strings.CutPrefix(s.ref, "file:")
	if !ok {
		return nil, errors.New("no secret is referred to")
	}
	data, err := readReferenced(path, true)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return []byte(text), nil
}

// readReferenced reads a file of at most 64 KiB. A private one must not be
// readable by accounts that are neither its owner nor of its group. What is
// checked is what is read: the open file, not the name.
func readReferenced(path string, private bool) ([]byte, error) {
	// A name that is no regular file is refused before it is opened, since
	// opening a pipe waits for its other end.
	if info, err := os.Stat(path); err != nil {
		return nil, unwrapPath(path, err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unwrapPath(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unwrapPath(path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case private && worldReadable(info):
		return nil, fmt.Errorf("%s is readable by everybody (mode %04o): chmod o= %s, or defaultMode: 0400 in Kubernetes", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxReferenced+1))
	if err != nil {
		return nil, unwrapPath(path, err)
	}
	if len(data) > maxReferenced {
		return nil, fmt.Errorf("%s is larger than %s", path, Size(maxReferenced))
	}
	return data, nil
}

// unwrapPath gives the cause without the operation's name: "x.pem: no such file or directory".
func unwrapPath(path string, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// resolve makes path absolute, from the directory of the file that names it; in
// environment and flags, from the working directory.
func resolve(path string, at Position) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	if at.Line > 0 && at.Source != "stdin" {
		path = filepath.Join(filepath.Dir(at.Source), path)
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
